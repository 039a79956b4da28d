// The service worker's side: show what arrives, follow clicks, report both, and renew a subscription that changed.

import { type SiteRecord, read, update } from "../shared/database";
import { configUrl } from "../shared/post";
import { alone, ensure, keyOf } from "../shared/subscribing";
import { flush } from "./deliver";
import { note, seenBefore } from "./log";

interface Action {
  action: string;
  title: string;
  icon?: string;
  navigate?: string;
}

/** The payload of the contract: the declarative web push document, read here by browsers that do not. */
interface Message extends Omit<NotificationOptions, "data"> {
  title?: string;
  navigate?: string;
  actions?: Action[];
  data?: { homing?: { delivery?: string; api?: string } } & Record<string, unknown>;
}

/** What a click needs to know, kept in the notification's own data. */
interface Carried extends Record<string, unknown> {
  homing: { delivery?: string; api?: string; links?: Record<string, string | undefined> };
}

interface SubscriptionChange extends ExtendableEvent {
  oldSubscription?: PushSubscription | null;
}

/** Storage may hang or fail (private windows, a full disk); a notification must be shown all the same. */
const soon = <T>(work: Promise<T>, otherwise: T): Promise<T> =>
  Promise.race([work, new Promise<T>((resolve) => setTimeout(resolve, 2000, otherwise))]).catch(() => otherwise);

export function install(self: ServiceWorkerGlobalScope): void {
  const { registration, clients } = self;
  /** Deliveries clicked: Firefox reports a close after the click that closed it, and that is no dismissal. */
  const clicked = new Set<string>();

  const safely = (work: Promise<unknown>): Promise<unknown> => work.catch(() => undefined);

  async function receipt(kind: "shown" | "clicked" | "closed", carried: Carried, action = ""): Promise<void> {
    const { delivery, api } = carried.homing;
    if (!delivery || !api) return;
    await soon(note({ delivery, kind, ...(action && { action }), at: new Date().toISOString(), api }), undefined);
    await flush(registration);
  }

  async function show(data: PushMessageData | null): Promise<void> {
    let message: Message = {};
    try {
      message = data?.json().notification || {};
    } catch {
      // unreadable: shown as a neutral one below
    }
    const { title, navigate, actions = [], data: own = {}, ...options } = message;
    const delivery = own.homing?.delivery;
    const again = !!delivery && (await soon(seenBefore(delivery), false));
    const links: Record<string, string | undefined> = { "": navigate };
    for (const { action, navigate: link } of actions) links[action] = link;
    const carried: Carried = { ...own, homing: { ...own.homing, links } };
    const tag = options.tag || delivery || "";
    const heading = title || (await soon(read<SiteRecord>("site"), undefined))?.name || "New message";
    const full = { ...options, actions, tag, data: carried, silent: again || !!options.silent } as NotificationOptions;
    // Options that this browser refuses must not cost the notification.
    await registration
      .showNotification(heading, full)
      .catch(() => registration.showNotification(heading, { body: options.body || "", tag, data: carried }));
    await receipt("shown", carried);
  }

  async function follow(carried: Carried, action: string): Promise<void> {
    const { delivery, links } = carried.homing;
    const url = target(links?.[action] || links?.[""], registration.scope);
    const recorded = receipt("clicked", carried, action);
    const windows = await clients.matchAll({ type: "window", includeUncontrolled: true });
    for (const client of windows) client.postMessage({ homing: "clicked", detail: { url, action, delivery } });
    const open = windows.find((client) => client.url === url);
    await safely(open ? open.focus() : clients.openWindow(url));
    await recorded;
  }

  async function renew(event: SubscriptionChange): Promise<void> {
    const site = await read<SiteRecord>("site");
    if (!site) return;
    const old = event.oldSubscription;
    const asked = presentKey(site);
    const known = (old && keyOf(old)) || site.applicationServerKey;
    const key = await asked.catch(() => known);
    const subscription = await alone(() => ensure(registration.pushManager, key, () => asked, () => undefined));
    const { key: writeKey, anonymousId, userId, userHash } = site;
    const previousEndpoint = old?.endpoint || site.endpoint;
    const applicationServerKey = keyOf(subscription);
    const { endpoint } = subscription;
    const body = { writeKey, subscription, applicationServerKey, anonymousId, userId, userHash, previousEndpoint };
    await update<SiteRecord>("site", (now) => ({ ...(now || site), applicationServerKey: key, endpoint, pending: JSON.stringify(body) }));
    await flush(registration);
  }

  const on = <E extends ExtendableEvent>(name: string, handle: (event: E) => Promise<unknown>): void =>
    self.addEventListener(name, (event) => (event as E).waitUntil(safely(handle(event as E))));

  on<PushEvent>("push", (event) => show(event.data));
  on<NotificationEvent>("notificationclick", ({ notification, action }) => {
    const carried = carriedBy(notification);
    if (carried.homing.delivery) clicked.add(carried.homing.delivery);
    notification.close();
    return follow(carried, action || "");
  });
  on<NotificationEvent>("notificationclose", async ({ notification }) => {
    const carried = carriedBy(notification);
    if (!clicked.has(carried.homing.delivery || "")) await receipt("closed", carried);
  });
  on<SubscriptionChange>("pushsubscriptionchange", renew);
  on("sync", () => flush(registration));
  on<ExtendableMessageEvent>("message", async ({ data }) => data?.homing === "flush" && flush(registration));
  on("activate", () => flush(registration));
}

/** The site's VAPID key as the server names it now. */
async function presentKey({ api, key }: SiteRecord): Promise<string> {
  const response = await fetch(configUrl(api, key), { credentials: "omit", cache: "no-cache" });
  return (await response.json()).vapid_public_key || Promise.reject(response.status);
}

const carriedBy = ({ data }: Notification): Carried => (data?.homing ? data : { homing: {} });

/** Where a click leads: a web address, or else the shop's front page. */
function target(link: string | undefined, scope: string): string {
  try {
    const url = new URL(link || "", scope);
    if (/^https?:$/.test(url.protocol)) return url.href;
  } catch {
    // not an address
  }
  return scope;
}
