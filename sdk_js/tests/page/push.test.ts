// @vitest-environment happy-dom
// The subscription: made, refreshed, moved to a new key, ended; and each hindrance with its code.

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type SiteRecord, read } from "../../src/shared/database";
import { API, createBrowser, createServer, openPage, settle, VAPID } from "./world";

let server: ReturnType<typeof createServer>;
let browser: ReturnType<typeof createBrowser>["state"];
let container: EventTarget;

beforeEach(() => {
  localStorage.clear();
  server = createServer();
  vi.stubGlobal("fetch", server.fetch);
  ({ state: browser, container } = createBrowser());
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});

afterEach(() => vi.useRealTimers());

const posts = () => server.to("/v1/subscriptions").filter(({ method }) => method === "POST");

it("subscribes and tells the server who, with which key, and leaves the worker what it needs", async () => {
  const { calls } = openPage();
  await calls.identify("u1", {}, { userHash: "ff" });
  expect(await calls.subscribe({ topics: ["sales"] })).toEqual({ id: "sub_1", topics: ["sales"] });
  const endpoint = "https://push.service/1";
  expect(posts()[0]).toMatchObject({
    type: "text/plain;charset=UTF-8",
    body: { writeKey: "pk_1", userId: "u1", userHash: "ff", topics: ["sales"], subscription: { endpoint }, applicationServerKey: VAPID + "=" },
  });
  expect(posts()[0]!.body.context).toMatchObject({ locale: navigator.language, page: { url: location.href } });
  expect(await calls.subscription()).toEqual({ id: "sub_1", topics: ["sales"] });
  const left = await read<SiteRecord>("site");
  expect(left).toMatchObject({ api: API, key: "pk_1", name: "Paws & Co", endpoint, applicationServerKey: VAPID + "=" });
});

it("tells again only when a day has passed, or the person or the endpoint changed", async () => {
  await openPage().calls.subscribe();
  const visit = async (): Promise<ReturnType<typeof openPage>> => {
    const page = openPage();
    await settle();
    return page;
  };
  const page = await visit();
  expect(posts()).toHaveLength(1);
  expect(browser.posted).toContainEqual({ homing: "flush" });
  await page.calls.identify("u1");
  await settle();
  expect(posts()[1]!.body.userId).toBe("u1");
  await browser.subscription.unsubscribe(); // the browser dropped it
  await visit();
  expect(posts()[2]!.body).toMatchObject({
    previousEndpoint: "https://push.service/1",
    subscription: { endpoint: "https://push.service/2" },
  });
  vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 90_000_000 });
  await visit();
  expect(posts()).toHaveLength(4);
});

it("makes one subscription when a refresh and a click meet", async () => {
  await openPage().calls.subscribe();
  await browser.subscription.unsubscribe();
  const { calls } = openPage(); // refreshes
  await calls.identify("u1"); // refreshes again
  await calls.subscribe();
  await settle();
  expect(browser.made).toBe(2);
  expect(posts().at(-1)!.body).toMatchObject({ userId: "u1", subscription: { endpoint: "https://push.service/2" } });
});

it("moves a subscription to the site's new key", async () => {
  await openPage().calls.subscribe();
  browser.subscription.options.applicationServerKey = new Uint8Array(65).buffer;
  openPage();
  await settle();
  expect(posts()[1]!.body).toMatchObject({
    previousEndpoint: "https://push.service/1",
    subscription: { endpoint: "https://push.service/2" },
  });
});

it("unsubscribes on the server, then in the browser, and stays so", async () => {
  const { calls } = openPage();
  await calls.subscribe();
  server.answers["/v1/subscriptions"] = ["offline"];
  await expect(calls.unsubscribe()).rejects.toMatchObject({ code: "network" });
  expect(browser.subscription).not.toBeNull();
  expect(await calls.unsubscribe()).toBe(true);
  expect(server.to("/v1/subscriptions").at(-1)).toMatchObject({
    method: "DELETE",
    body: { endpoint: "https://push.service/1" },
  });
  expect(browser.subscription).toBeNull();
  expect(await calls.subscription()).toBeNull();
  openPage();
  await settle();
  expect(posts()).toHaveLength(1);
});

it("gives each hindrance its code", async () => {
  const { calls } = openPage();
  browser.workerMissing = true;
  server.answers["/homing-sw.js"] = [{ status: 404 }, { status: 200 }];
  await expect(calls.subscribe()).rejects.toMatchObject({ code: "no_worker" });
  await expect(calls.subscribe()).rejects.toMatchObject({ code: "worker_failed" });
  browser.workerMissing = false;
  browser.script = location.origin + "/the-shops-own-worker.js";
  await expect(calls.subscribe()).rejects.toMatchObject({ code: "worker_taken" });
  await expect(openPage({ worker: "/the-shops-own-worker.js" }).calls.subscribe()).resolves.toBeDefined();
  server.answers["/v1/subscriptions"] = [{ status: 403, body: { code: "origin_not_allowed", detail: "No." } }];
  await expect(openPage({ worker: "/the-shops-own-worker.js" }).calls.subscribe()).rejects.toMatchObject({
    code: "origin_not_allowed",
    message: "No.",
  });
  const unknown = { status: 401, body: { code: "unknown_key" } };
  server.answers["/v1/sdk/config"] = [unknown, unknown]; // the refresh at loading, and the call
  await expect(openPage().calls.subscribe()).rejects.toMatchObject({ code: "not_configured" });
  browser.permission = "denied";
  await expect(calls.subscribe()).rejects.toMatchObject({ code: "denied" });
});

it("knows an iPhone that needs the home screen", async () => {
  vi.stubGlobal("PushManager", undefined);
  Reflect.deleteProperty(window, "PushManager");
  vi.spyOn(navigator, "platform", "get").mockReturnValue("iPhone");
  vi.spyOn(navigator, "maxTouchPoints", "get").mockReturnValue(5);
  const { calls } = openPage();
  expect(await calls.permission()).toBe("needs-install");
  await expect(calls.subscribe()).rejects.toMatchObject({ code: "needs_install" });
});

it("passes a click on a notification to the page", async () => {
  const { calls } = openPage();
  const heard: unknown[] = [];
  await calls.on("notification-clicked", (detail) => heard.push(detail));
  container.dispatchEvent(new MessageEvent("message", { data: { homing: "clicked", detail: { url: "/x" } } }));
  container.dispatchEvent(new MessageEvent("message", { data: "the shop's own" }));
  expect(heard).toEqual([{ url: "/x" }]);
});
