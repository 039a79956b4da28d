// The service worker on a fake scope: what it shows, what it reports, and what it keeps for later.

import "fake-indexeddb/auto";
import { IDBFactory } from "fake-indexeddb";
import { beforeEach, expect, it, vi } from "vitest";
import { type SiteRecord, update } from "../../src/shared/database";
import { install } from "../../src/worker/worker";

const SHOP = "https://shop.example/";
const API = "https://push.example";

interface Shown {
  title: string;
  options: any;
}

let shown: Shown[];
let sent: { url: string; type: string; body: any }[];
let online: boolean;
let opened: string[];
let windows: any[];
let synced: string[];
let presentKey: string;
let subscription: any;
let made: number;
let fire: (name: string, event?: object) => Promise<void>;

const payload = (notification: object): { data: { json(): unknown } } => ({
  data: { json: () => ({ web_push: 8030, notification }) },
});
const sale = { title: "Sale", body: "Árvíztűrő", navigate: "/sale", data: { homing: { delivery: "d1", api: API } } };
const receipts = (): any[] =>
  sent.filter(({ url }) => url === API + "/v1/receipts").flatMap(({ body }) => body.receipts);

beforeEach(async () => {
  vi.stubGlobal("indexedDB", new IDBFactory());
  shown = [];
  sent = [];
  opened = [];
  windows = [];
  synced = [];
  online = true;
  presentKey = "BPAA";
  subscription = null;
  made = 0;
  vi.stubGlobal("fetch", async (url: string, init: { body: string; headers: Record<string, string> }) => {
    if (url === API + "/v1/sdk/config?key=pk_1") {
      if (!online) throw new TypeError("Failed to fetch");
      return new Response(JSON.stringify({ vapid_public_key: presentKey }));
    }
    sent.push({ url, type: init.headers["Content-Type"]!, body: JSON.parse(init.body) });
    if (!online) throw new TypeError("Failed to fetch");
    return new Response("{}");
  });
  const listeners = new Map<string, (event: object) => void>();
  install({
    addEventListener: (name: string, listener: (event: object) => void) => listeners.set(name, listener),
    clients: { matchAll: async () => windows, openWindow: async (url: string) => void opened.push(url) },
    registration: {
      scope: SHOP,
      showNotification: async (title: string, options: any) => {
        if (options.badge === "refused") throw new TypeError("badge");
        shown.push({ title, options });
      },
      pushManager: {
        getSubscription: async () => subscription,
        subscribe: async (options: { applicationServerKey: Uint8Array }) => {
          const endpoint = `https://push.service/new${++made}`;
          return (subscription = {
            endpoint,
            options: { applicationServerKey: options.applicationServerKey.buffer },
            unsubscribe: async () => ((subscription = null), true),
            toJSON: () => ({ endpoint }),
          });
        },
      },
      sync: { register: async (tag: string) => void synced.push(tag) },
    },
  } as unknown as ServiceWorkerGlobalScope);
  fire = async (name, event = {}) => {
    const work: Promise<unknown>[] = [];
    listeners.get(name)!({ ...event, waitUntil: (promise: Promise<unknown>) => work.push(promise) });
    await Promise.all(work);
  };
  await update<SiteRecord>("site", () => ({
    api: API,
    key: "pk_1",
    name: "Paws & Co",
    anonymousId: "anon",
    userId: "u1",
    applicationServerKey: "BPAA",
    endpoint: "https://push.service/old",
  }));
});

const notification = (index = 0) => ({ data: shown[index]!.options.data, close: vi.fn() });

it("shows what the payload says and reports it", async () => {
  await fire("push", payload({ ...sale, icon: "/i.png", lang: "hu", tag: "t", requireInteraction: true }));
  expect(shown[0]).toMatchObject({
    title: "Sale",
    options: { body: "Árvíztűrő", icon: "/i.png", lang: "hu", tag: "t", requireInteraction: true, silent: false },
  });
  expect(sent[0]).toMatchObject({ type: "text/plain;charset=UTF-8", body: { writeKey: "pk_1" } });
  expect(receipts()).toMatchObject([{ delivery: "d1", kind: "shown", at: expect.stringMatching(/^\d{4}-.*Z$/) }]);
});

it("shows a neutral notification for anything unreadable", async () => {
  await fire("push", { data: { json: () => JSON.parse("{") } });
  await fire("push", { data: null });
  await fire("push", payload({ title: "Odd", badge: "refused" }));
  expect(shown.map(({ title }) => title)).toEqual(["Paws & Co", "Paws & Co", "Odd"]);
});

it("shows a notification even when storage fails", async () => {
  vi.stubGlobal("indexedDB", undefined);
  await fire("push", payload(sale));
  await fire("push", { data: null });
  expect(shown.map(({ title }) => title)).toEqual(["Sale", "New message"]);
});

it("shows a delivery that comes again silently, under the same tag, with one receipt", async () => {
  await Promise.all([fire("push", payload(sale)), fire("push", payload(sale))]);
  await fire("push", payload(sale));
  expect(shown.map(({ options }) => options.silent).sort()).toEqual([false, true, true]);
  expect(new Set(shown.map(({ options }) => options.tag))).toEqual(new Set(["d1"]));
  expect(receipts()).toHaveLength(1);
});

it("follows a click to the page, tells open pages, and counts no dismissal after it", async () => {
  await fire("push", payload({ ...sale, actions: [{ action: "buy", title: "Buy", navigate: "/buy" }] }));
  const page = { url: SHOP + "sale", focus: vi.fn(async () => undefined), postMessage: vi.fn() };
  windows = [page];
  const clicked = notification();
  await fire("notificationclick", { notification: clicked, action: "" });
  expect(clicked.close).toHaveBeenCalled();
  expect(page.focus).toHaveBeenCalled();
  expect(page.postMessage).toHaveBeenCalledWith({ homing: "clicked", detail: { url: SHOP + "sale", action: "", delivery: "d1" } });
  await fire("notificationclose", { notification: notification() });
  await fire("notificationclick", { notification: notification(), action: "buy" });
  expect(opened).toEqual([SHOP + "buy"]);
  expect(receipts().map(({ kind, action }) => [kind, action])).toEqual([
    ["shown", undefined],
    ["clicked", undefined],
    ["clicked", "buy"],
  ]);
});

it("reports a close that is a dismissal", async () => {
  await fire("push", payload(sale));
  await fire("notificationclose", { notification: notification() });
  expect(receipts().map(({ kind }) => kind)).toEqual(["shown", "closed"]);
});

it("opens web addresses only", async () => {
  await fire("push", payload({ ...sale, navigate: "javascript:alert(1)" }));
  await fire("notificationclick", { notification: notification(), action: "" });
  expect(opened).toEqual([SHOP]);
});

it("keeps receipts while offline and sends each once, later", async () => {
  online = false;
  await fire("push", payload(sale));
  expect(synced).toEqual(["homing"]);
  online = true;
  sent = [];
  await fire("sync", { tag: "homing" });
  await fire("activate");
  await fire("message", { data: { homing: "flush" } });
  expect(receipts()).toMatchObject([{ delivery: "d1", kind: "shown" }]);
});

it("renews a subscription that the browser dropped, and tells the server until it knows", async () => {
  online = false;
  await fire("pushsubscriptionchange", { oldSubscription: null });
  online = true;
  sent = [];
  await fire("activate");
  await fire("activate");
  expect(sent).toHaveLength(1);
  expect(sent[0]).toMatchObject({
    url: API + "/v1/subscriptions",
    body: {
      writeKey: "pk_1",
      anonymousId: "anon",
      userId: "u1",
      previousEndpoint: "https://push.service/old",
      applicationServerKey: "BPAA",
      subscription: { endpoint: "https://push.service/new1" },
    },
  });
});

it("renews under the key that the site has now, also what the browser renewed by itself", async () => {
  presentKey = "BNAA";
  await fire("pushsubscriptionchange", {});
  expect(sent[0]!.body).toMatchObject({
    previousEndpoint: "https://push.service/old",
    applicationServerKey: "BNAA",
    subscription: { endpoint: "https://push.service/new1" },
  });
  presentKey = "BMAA";
  await fire("pushsubscriptionchange", { newSubscription: subscription });
  expect(sent[1]!.body).toMatchObject({
    previousEndpoint: "https://push.service/new1",
    applicationServerKey: "BMAA",
    subscription: { endpoint: "https://push.service/new2" },
  });
});
