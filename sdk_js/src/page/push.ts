// The browser's subscription: made in a click, told to the server, refreshed quietly at later visits.

import { type SiteRecord, update } from "../shared/database";
import { bytesOf, post } from "../shared/post";
import { type Config, refusal } from "./config";
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
  worker: string | undefined;
  scope: string | undefined;
}

const DAY = 86_400_000;
const DEFAULT_WORKER = "/homing-sw.js";

/** The browser's state, without asking anybody. */
export function permission(): Permission {
  const ios = /iP(hone|ad|od)/.test(navigator.userAgent) || (/Mac/.test(navigator.platform) && navigator.maxTouchPoints > 1);
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

export class Push {
  constructor(
    private readonly where: Where,
    private readonly store: Store,
    private readonly identity: Identity,
    private readonly config: () => Promise<Config>,
  ) {}

  /** Ask the browser (this must be the first thing in the click: a wait before it would lose the gesture). */
  async subscribe(topics?: string[]): Promise<Subscription> {
    if (permission() === "default") await Notification.requestPermission();
    const hindered = hindrance(permission());
    if (hindered) throw hindered;
    return this.tell(topics, true);
  }

  /** End it, on the server first: a browser that keeps the subscription can be told again, a lost one cannot. */
  async unsubscribe(): Promise<boolean> {
    const subscription = await this.existing();
    if (!subscription) {
      this.store.set("told", undefined);
      return false;
    }
    const { endpoint } = subscription;
    await this.reach(() =>
      fetch(this.where.api + "/v1/subscriptions", {
        method: "DELETE",
        headers: { "Content-Type": "application/json", Authorization: "Basic " + btoa(this.where.key + ":") },
        body: JSON.stringify({ endpoint }),
        credentials: "omit",
      }).then((answer) => (answer.status === 404 ? new Response() : answer)),
    );
    await subscription.unsubscribe();
    this.store.set("told", undefined);
    return true;
  }

  /** What this browser has, or null. */
  async current(): Promise<Subscription | null> {
    const told = this.store.get<Told>("told");
    return told && (await this.existing()) ? { id: told.id, topics: told.topics } : null;
  }

  /** At a page load, and when the person changed: tell the server if there is anything to tell. */
  async refresh(): Promise<void> {
    if (permission() !== "granted") return;
    if (this.store.get("told") || (await this.existing())) await this.tell(undefined, false);
    (await this.registration())?.active?.postMessage({ homing: "flush" });
  }

  private async tell(topics: string[] | undefined, always: boolean): Promise<Subscription> {
    const { site, vapid_public_key } = await this.config();
    const told = this.store.get<Told>("told");
    const { subscription, former } = await this.ensure(vapid_public_key);
    const { endpoint } = subscription;
    const who = this.identity.who();
    const known = told && told.endpoint === endpoint && told.who === JSON.stringify(who) && !former;
    if (known && !always && Date.now() - told.at < DAY) return { id: told.id, topics: told.topics };
    const previousEndpoint = former || (told && told.endpoint !== endpoint ? told.endpoint : undefined);
    const record: SiteRecord = {
      ...who,
      api: this.where.api,
      key: this.where.key,
      name: site,
      applicationServerKey: vapid_public_key,
      endpoint,
    };
    await update<SiteRecord>("site", () => record).catch(() => undefined);
    const body = { writeKey: this.where.key, subscription, ...who, previousEndpoint, topics, context: context() };
    const response = await this.reach(() => post(this.where.api + "/v1/subscriptions", body));
    const now: Subscription = { id: (await response.json()).id, topics: topics || told?.topics || [] };
    this.store.set("told", { ...now, endpoint, who: JSON.stringify(who), at: Date.now() } satisfies Told);
    return now;
  }

  /** The browser's subscription under the site's present key; `former` is the endpoint that it replaces. */
  private async ensure(key: string): Promise<{ subscription: PushSubscription; former?: string }> {
    const { pushManager } = await this.register();
    const applicationServerKey = bytesOf(key);
    const existing = await pushManager.getSubscription();
    const theirs = existing?.options.applicationServerKey;
    if (existing && (!theirs || String(new Uint8Array(theirs)) === String(applicationServerKey)))
      return { subscription: existing };
    try {
      await existing?.unsubscribe();
      const subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey });
      return existing ? { subscription, former: existing.endpoint } : { subscription };
    } catch (error) {
      throw new HomingError("subscribe_failed", `The browser did not subscribe: ${error}`);
    }
  }

  private async existing(): Promise<PushSubscription | null> {
    if (!("serviceWorker" in navigator)) return null;
    const registration = await this.registration();
    return (registration && registration.pushManager?.getSubscription()) || null;
  }

  /** Our worker's registration, if this browser has it; somebody else's at the same scope is not ours to touch. */
  private async registration(): Promise<ServiceWorkerRegistration | undefined> {
    const registration = await navigator.serviceWorker.getRegistration(this.scope());
    return registration?.scope === this.scope() && scriptOf(registration) === this.script() ? registration : undefined;
  }

  private script(): string {
    return new URL(this.where.worker || DEFAULT_WORKER, location.href).href;
  }

  private scope(): string {
    return new URL(this.where.scope || "./", this.where.scope ? location.href : this.script()).href;
  }

  private async register(): Promise<ServiceWorkerRegistration> {
    const script = this.script();
    const there = await navigator.serviceWorker.getRegistration(this.scope());
    if (there?.scope === this.scope() && scriptOf(there) !== script && !this.where.worker)
      throw new HomingError("worker_taken", `${scriptOf(there)} holds ${there.scope}: set data-worker or data-scope.`);
    const registration = await navigator.serviceWorker.register(script, { scope: this.scope() }).catch(async (error) => {
      const response = await fetch(script, { method: "HEAD" }).catch(() => undefined);
      throw response?.ok
        ? new HomingError("worker_failed", `${script} did not start: ${error}`)
        : new HomingError("no_worker", `There is no ${script}.`);
    });
    await activation(registration);
    return registration;
  }

  private async reach(request: () => Promise<Response>): Promise<Response> {
    const response = await request().catch((error) => {
      throw new HomingError("network", String(error));
    });
    if (!response.ok) throw await refusal(response);
    return response;
  }
}

const workerOf = (registration: ServiceWorkerRegistration): ServiceWorker | null =>
  registration.active || registration.waiting || registration.installing;

const scriptOf = (registration: ServiceWorkerRegistration): string | undefined => workerOf(registration)?.scriptURL;

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
