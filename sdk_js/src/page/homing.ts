// What `window.homing` can do: the calls, and the order in which the parts act on them.

import { type Texts, configuration } from "./config";
import { HomingError, warn } from "./errors";
import { createEvents } from "./events";
import { createIdentity } from "./identity";
import { type Permission, type Subscription, createPush, hindrance, permission } from "./push";
import { ask, rest, resting } from "./prompt";
import { createStore } from "./store";

export interface Options {
  api: string;
  key: string;
  worker?: string | undefined;
  scope?: string | undefined;
  needsConsent?: boolean;
  nonce?: string | undefined;
}

export interface PromptOptions extends Partial<Texts> {
  /** Ask although an earlier "no" is recent: for a button that the visitor clicked himself. */
  force?: boolean;
}

export type Outcome = "accepted" | "declined" | "suppressed";

const EVENTS = ["prompt-shown", "prompt-accepted", "prompt-declined", "subscribed", "unsubscribed", "notification-clicked"];

type Call = (...given: any[]) => Promise<unknown>;
type Properties = Record<string, unknown>;

const named = (value: unknown, what: string): string => {
  if (typeof value === "string" && value) return value;
  if (typeof value === "number") return String(value);
  throw new HomingError("bad_argument", `${what} must be a text that is not empty.`);
};

/** The calls of one page. Those of them that cannot work reject; none throws. */
export function createHoming(options: Options) {
  const store = createStore(!!options.needsConsent);
  const identity = createIdentity(store);
  const events = createEvents(options.api, options.key, store, identity);
  const config = configuration(options.api, options.key);
  const push = createPush(options, store, identity, config);
  const handlers: [string, (detail: unknown) => void][] = [];
  let asking: Promise<Outcome> | undefined;

  const emit = (event: string, detail?: unknown): void => {
    for (const [name, handler] of handlers)
      if (name === event)
        try {
          handler(detail);
        } catch (error) {
          warn(`a handler of ${event} threw`, error);
        }
  };
  const refresh = (): void => store.whenGranted(() => push.refresh().catch((error) => warn(error.message)));
  const consented = (): void => {
    if (!store.granted()) throw new HomingError("consent_required", 'Call homing.consent("granted") first.');
  };

  async function subscribe(how: { topics?: string[] } = {}): Promise<Subscription> {
    consented();
    const subscription = await push.subscribe(how.topics);
    store.set("no");
    emit("subscribed", subscription);
    return subscription;
  }

  async function prompt(wishes: PromptOptions): Promise<Outcome> {
    consented();
    const hindered = permission() !== "default" && hindrance(permission());
    if (hindered) throw hindered;
    if (permission() === "granted" || (resting(store) && !wishes.force)) return "suppressed";
    const texts = { ...(await config()).prompt, ...wishes };
    return new Promise((resolve, reject) => {
      const accept = (): void => {
        const subscribing = subscribe();
        emit("prompt-accepted");
        subscribing.then(
          () => resolve("accepted"),
          (error) => {
            if (error.code === "dismissed") rest(store);
            reject(error);
          },
        );
      };
      const decline = (): void => {
        rest(store);
        emit("prompt-declined");
        resolve("declined");
      };
      ask(texts, accept, decline, options.nonce || "");
      emit("prompt-shown");
    });
  }

  const calls = {
    async track(event: string, properties: Properties = {}): Promise<void> {
      events.add("track", { event: named(event, "The event's name"), properties });
    },
    async page(name?: string, properties: Properties = {}): Promise<void> {
      events.add("page", { ...(name && { name: named(name, "The page's name") }), properties });
    },
    async identify(userId?: string | null, traits: Properties = {}, proof: { userHash?: string } = {}): Promise<void> {
      const id = userId == null ? userId : named(userId, "userId");
      store.whenGranted(() => {
        if (id == null) return;
        identity.know(id, proof.userHash);
        refresh();
      });
      events.add("identify", { traits });
    },
    async reset(): Promise<void> {
      store.whenGranted(() => {
        identity.forget();
        refresh();
      });
    },
    async consent(decision: "granted" | "denied"): Promise<void> {
      if (decision !== "granted" && decision !== "denied")
        throw new HomingError("bad_argument", 'consent takes "granted" or "denied".');
      const before = store.granted();
      store.decide(decision === "granted");
      if (store.granted() && !before) start();
    },
    prompt: (wishes: PromptOptions = {}): Promise<Outcome> =>
      (asking ||= prompt(wishes).finally(() => (asking = undefined))),
    subscribe,
    async unsubscribe(): Promise<boolean> {
      consented();
      const done = await push.unsubscribe();
      if (done) emit("unsubscribed");
      return done;
    },
    permission: async (): Promise<Permission> => permission(),
    async subscription(): Promise<Subscription | null> {
      consented();
      return push.current();
    },
    /** Resolves with a function that takes the handler off again. */
    async on(event: string, handler: (detail: unknown) => void): Promise<() => void> {
      if (!EVENTS.includes(event) || typeof handler !== "function")
        throw new HomingError("bad_argument", `on takes a handler and one of: ${EVENTS.join(", ")}.`);
      const entry: (typeof handlers)[number] = [event, handler];
      handlers.push(entry);
      return () => void handlers.splice(handlers.indexOf(entry) >>> 0, 1);
    },
  };

  /** What is due once there is consent: the former page's events, and the subscription's refresh. */
  function start(): void {
    events.start();
    refresh();
    // Loaded ahead, so that a click need not wait for it: browsers forget the gesture while we wait.
    if (permission() === "default") config().catch(() => undefined);
  }

  if (store.granted()) start();
  if ("serviceWorker" in navigator) {
    navigator.serviceWorker.addEventListener("message", ({ data }) => {
      if (data?.homing === "clicked") emit("notification-clicked", data.detail);
    });
    navigator.serviceWorker.startMessages();
  }

  /** Run `[name, ...arguments]`, or a function. All of it at once, since a click's gesture does not last. */
  async function act(call: unknown): Promise<unknown> {
    if (typeof call === "function") return call();
    const [name, ...given] = Array.isArray(call) ? call : [call];
    if (Object.keys(calls).includes(name as string)) return (calls as Record<string, Call>)[name as string]!(...given);
    throw new HomingError("unknown_method", `homing.${String(name)} does not exist.`);
  }

  /** The same; a rejection that nobody handles stays out of the page's error reports. */
  function run(call: unknown): Promise<unknown> {
    const result = act(call);
    result.catch(() => undefined);
    return result;
  }

  return { calls, run };
}
