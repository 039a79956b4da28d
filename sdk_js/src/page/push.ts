// The browser's subscription: made in a click, told to the server, refreshed quietly at later visits.

import { type SiteRecord, update } from "../shared/database";
import { post } from "../shared/post";
import { alone, ensure, keyOf } from "../shared/subscribing";
import { type Configuration, refusal } from "./config";
import { type Code, HomingError } from "./errors";
import { context } from "./events";
import type { Identity } from "./identity";
import type { Store } from "./store";

export type Permission = NotificationPermission | "unsupported" | "needs-install";

export interface Subscription {
  id: string;
  topics: string[];
}

/** What the server was last told, so that it is told again only when something changed, or once a day. */
interface Told extends Subscription {
  endpoint: string;
  who: string;
  at: number;
}

export interface Where {
  api: string;
  key: string;
  worker?: string | undefined;
  scope?: string | undefined;
}

const DAY = 86_400_000;
const DEFAULT_WORKER = "/homing-sw.js";

/** The browser's state, without asking anybody. */
export function permission(): Permission {
  const ios = /iP|Mac/.test(navigator.platform) && navigator.maxTouchPoints > 1; // iPads say that they are Macs
  const push = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  if (!push) return ios && isSecureContext && !matchMedia("(display-mode: standalone)").matches ? "needs-install" : "unsupported";
  return isSecureContext ? Notification.permission : "unsupported";
}

const REASONS: Partial<Record<Permission, [Code, string]>> = {
  unsupported: ["unsupported", "This browser has no web push, or the page is not on https."],
  "needs-install": ["needs_install", "On iOS, web push works once the shop is added to the home screen."],
  denied: ["denied", "Notifications are blocked in the browser's settings."],
  default: ["dismissed", "The browser's question was closed without an answer."],
};

/** Why web push cannot work, as an Error; undefined when the permission is not among the hindrances. */
export function hindrance(state: Permission): HomingError | undefined {
  const reason = REASONS[state];
  return reason && new HomingError(...reason);
}

const workerOf = (registration: ServiceWorkerRegistration): ServiceWorker | null =>
  registration.active || registration.waiting || registration.installing;

function activation(registration: ServiceWorkerRegistration): Promise<void> {
  return new Promise((resolve, reject) => {
    const worker = workerOf(registration);
    const look = (): void => {
      if (registration.active) resolve();
      else if (!worker || worker.state === "redundant")
        reject(new HomingError("worker_failed", "The worker did not activate."));
    };
    worker?.addEventListener("statechange", look);
    look();
  });
}

export function createPush(where: Where, store: Store, identity: Identity, config: Configuration) {
  const { api, key } = where;
  const url = api + "/v1/subscriptions";
  let turn: Promise<any> = Promise.resolve();
  const script = new URL(where.worker || DEFAULT_WORKER, location.href).href;
  const scope = new URL(where.scope || ".", where.scope ? location.href : script).href;

  const reach = async (request: Promise<Response>): Promise<Response> => {
    const response = await request.catch((error) => {
      throw new HomingError("network", String(error));
    });
    if (!response.ok) throw await refusal(response);
    return response;
  };

  const atScope = async (): Promise<ServiceWorkerRegistration | undefined> => {
    const registration = await navigator.serviceWorker.getRegistration(scope);
    return registration?.scope === scope ? registration : undefined;
  };

  /** Our worker's registration, if this browser has it; somebody else's is not ours to touch. */
  const ours = async (): Promise<ServiceWorkerRegistration | undefined> => {
    const registration = "serviceWorker" in navigator ? await atScope() : undefined;
    return registration && workerOf(registration)?.scriptURL === script ? registration : undefined;
  };

  const existing = async (): Promise<PushSubscription | null> => (await ours())?.pushManager?.getSubscription() ?? null;

  async function register(): Promise<ServiceWorkerRegistration> {
    const there = await atScope();
    const holder = there && workerOf(there)?.scriptURL;
    if (holder && holder !== script && !where.worker)
      throw new HomingError("worker_taken", `${holder} holds ${scope}: set data-worker or data-scope.`);
    const registration = await navigator.serviceWorker.register(script, { scope }).catch(async (error) => {
      const answer = await fetch(script, { method: "HEAD" }).catch(() => undefined);
      throw answer?.ok
        ? new HomingError("worker_failed", `${script} did not start: ${error}`)
        : new HomingError("no_worker", `There is no ${script}.`);
    });
    await activation(registration);
    return registration;
  }

  /** The browser's subscription under the site's present key. */
  async function held(publicKey: string): Promise<PushSubscription> {
    const { pushManager } = await register();
    const present = async (): Promise<string> => (await config(true)).vapid_public_key;
    // Remembered until the server knows, so that no failure in between leaves the former one active beside the new one.
    const leaving = (endpoint: string): void => store.set("left", endpoint);
    return alone(() => ensure(pushManager, publicKey, present, leaving)).catch((error) => {
      throw new HomingError("subscribe_failed", `The browser did not subscribe: ${error}`);
    });
  }

  /** One at a time: a refresh and a click at once would each make a subscription. */
  const tell = (topics?: string[], always?: boolean): Promise<Subscription> =>
    (turn = turn.catch(() => undefined).then(() => tellNow(topics, always)));

  async function tellNow(topics?: string[], always?: boolean): Promise<Subscription> {
    const { site, vapid_public_key: publicKey } = await config();
    const subscription = await held(publicKey);
    const applicationServerKey = keyOf(subscription);
    const told = store.get<Told>("told");
    const { endpoint } = subscription;
    const person = identity.who();
    const who = JSON.stringify(person);
    if (!always && told && told.endpoint === endpoint && told.who === who && Date.now() - told.at < DAY)
      return { id: told.id, topics: told.topics };
    const previousEndpoint = [told?.endpoint, store.get<string>("left")].find((known) => known && known !== endpoint);
    const record = { ...person, api, key, name: site, applicationServerKey: applicationServerKey || publicKey, endpoint };
    await update<SiteRecord>("site", () => record).catch(() => undefined);
    const body = {
      ...person,
      writeKey: key,
      subscription,
      applicationServerKey,
      previousEndpoint,
      topics,
      context: context(),
    };
    const { id } = await (await reach(post(url, body))).json();
    const now: Subscription = { id, topics: topics || told?.topics || [] };
    store.set("told", { ...now, endpoint, who, at: Date.now() } satisfies Told);
    store.set("left");
    return now;
  }

  return {
    /** Ask the browser (this must be the first thing in the click: a wait before it would lose the gesture). */
    async subscribe(topics?: string[]): Promise<Subscription> {
      if (permission() === "default") await Notification.requestPermission();
      const hindered = hindrance(permission());
      if (hindered) throw hindered;
      return tell(topics, true);
    },

    /** End it, on the server first: while the browser keeps the subscription, a failed call can be made again. */
    async unsubscribe(): Promise<boolean> {
      const subscription = await existing();
      if (subscription) {
        const { endpoint } = subscription;
        const headers = { "Content-Type": "application/json", Authorization: `Basic ${btoa(key + ":")}` };
        const request = fetch(url, { method: "DELETE", headers, body: JSON.stringify({ endpoint }), credentials: "omit" });
        await reach(request.then((answer) => (answer.status === 404 ? new Response() : answer)));
        await subscription.unsubscribe();
      }
      store.set("told");
      store.set("left");
      return !!subscription;
    },

    /** What this browser has, or null. */
    async current(): Promise<Subscription | null> {
      const told = store.get<Told>("told");
      return told && (await existing()) ? { id: told.id, topics: told.topics } : null;
    },

    /** At a page load, and when the person changed: tell the server if there is anything to tell. */
    async refresh(): Promise<void> {
      if (permission() !== "granted") return;
      if (store.get("told") || store.get("left") || (await existing())) await tell();
      (await ours())?.active?.postMessage({ homing: "flush" });
    },
  };
}
