// The browser and the server around a page, as far as the SDK sees them: what was sent, and what push would do.

import "fake-indexeddb/auto";
import { vi } from "vitest";
import { createHoming } from "../../src/page/homing";

export const API = "https://push.example";
export const VAPID = "BP" + "A".repeat(85);
export const TEXTS = { title: "Deals?", body: "Now and then.", accept: "Yes", decline: "No" };

export interface Sent {
  url: string;
  method: string;
  type: string | null;
  body: any;
}

type Answer = { status?: number; body?: unknown; headers?: Record<string, string> } | "offline";

/** Records requests; `answers` holds the next answers by path; without one the path's ordinary answer is given, from `state`. */
export function createServer() {
  const sent: Sent[] = [];
  const answers: Record<string, Answer[]> = {};
  const state = { vapid: VAPID };
  const ordinary: Record<string, () => unknown> = {
    "/v1/sdk/config": () => ({ site: "Paws & Co", vapid_public_key: state.vapid, prompt: TEXTS }),
    "/v1/subscriptions": () => ({ id: "sub_1", created: true }),
  };
  const fetch = async (input: string, init: RequestInit = {}): Promise<Response> => {
    const { pathname } = new URL(input);
    const body = init.body === undefined ? undefined : JSON.parse(String(init.body));
    sent.push({ url: input, method: init.method ?? "GET", type: new Headers(init.headers).get("content-type"), body });
    const answer = answers[pathname]?.shift() ?? {};
    if (answer === "offline") throw new TypeError("Failed to fetch");
    const text = JSON.stringify(answer.body ?? ordinary[pathname]?.() ?? {});
    return new Response(text, { status: answer.status ?? 200, headers: answer.headers ?? {} });
  };
  const to = (path: string): Sent[] => sent.filter(({ url }) => new URL(url).pathname === path);
  return { sent, answers, state, fetch, to, events: () => to("/v1/batch").flatMap(({ body }) => body.batch) };
}

export const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes)).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");

/** One browser's push: a permission that a question changes, a worker file, subscriptions. */
export function createBrowser() {
  const browser = {
    permission: "default" as NotificationPermission,
    /** What the visitor answers to the browser's question. */
    answer: "granted" as NotificationPermission,
    asked: 0,
    workerMissing: false,
    /** The script of the worker that holds the shop's scope, if one does. */
    script: undefined as string | undefined,
    subscription: null as any,
    made: 0,
    /** Keys that the push service refuses. */
    refusedKeys: new Set<string>(),
    posted: [] as unknown[],
  };
  const pushManager = {
    getSubscription: async () => browser.subscription,
    subscribe: async ({ applicationServerKey }: { applicationServerKey: Uint8Array }) => {
      if (browser.subscription) throw new DOMException("under another key", "InvalidStateError");
      if (browser.refusedKeys.has(base64url(applicationServerKey))) throw new DOMException("refused", "AbortError");
      const endpoint = `https://push.service/${++browser.made}`;
      return (browser.subscription = {
        endpoint,
        options: { applicationServerKey: applicationServerKey.slice().buffer },
        toJSON: () => ({ endpoint, keys: { p256dh: "p", auth: "a" } }),
        unsubscribe: async () => ((browser.subscription = null), true),
      });
    },
  };
  const registration = () => ({
    scope: location.origin + "/",
    active: { scriptURL: browser.script, state: "activated", addEventListener() {}, postMessage: (data: unknown) => browser.posted.push(data) },
    pushManager,
  });
  const container = new EventTarget();
  Object.assign(container, {
    startMessages() {},
    getRegistration: async () => (browser.script ? registration() : undefined),
    register: async (script: string) => {
      if (browser.workerMissing) throw new TypeError("404");
      browser.script = script;
      return registration();
    },
  });
  const Notification = {
    get permission() {
      return browser.permission;
    },
    requestPermission: async () => {
      browser.asked++;
      return (browser.permission = browser.answer);
    },
  };
  Object.defineProperty(navigator, "serviceWorker", { value: container, configurable: true });
  vi.stubGlobal("Notification", Notification);
  vi.stubGlobal("PushManager", class {});
  vi.stubGlobal("isSecureContext", true);
  return { ...{ container, state: browser } };
}

/** A fresh page on this browser: nothing stored, nothing sent. */
export function openPage(options: Partial<Parameters<typeof createHoming>[0]> = {}) {
  return createHoming({ api: API, key: "pk_1", ...options });
}

/** Let everything run that is ready to: answers, storage, timers of no delay. */
export const settle = (milliseconds = 20): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

export const dialog = () => {
  const root = document.querySelector("homing-prompt")?.shadowRoot;
  const element = root?.querySelector("[role=dialog]");
  if (!root || !element) return undefined;
  const [no, yes] = Array.from(root.querySelectorAll("button"));
  return { root, element: element as HTMLElement, no: no!, yes: yes! };
};
