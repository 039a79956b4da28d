// @vitest-environment happy-dom
// Events: what is sent, what is kept, and what consent holds back.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createStore } from "../../src/page/store";
import { createBrowser, createServer, openPage, settle } from "./world";

let server: ReturnType<typeof createServer>;

beforeEach(() => {
  localStorage.clear();
  server = createServer();
  vi.stubGlobal("fetch", server.fetch);
  createBrowser();
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});

afterEach(() => vi.useRealTimers());

describe("sending", () => {
  it("sends a batch that needs no preflight, with who, when and where", async () => {
    const { calls } = openPage();
    await calls.track("Product Viewed", { product_id: "p1" });
    await calls.identify("u1", { email: "a@b.example" }, { userHash: "ff" });
    await calls.track("Product Added");
    await settle();
    const [first] = server.to("/v1/batch");
    expect(first).toMatchObject({ method: "POST", type: "text/plain;charset=UTF-8", body: { writeKey: "pk_1" } });
    expect(Date.parse(first!.body.sentAt)).toBeGreaterThan(0);
    const [viewed, identify, added] = server.events();
    expect(viewed).toMatchObject({ type: "track", event: "Product Viewed", properties: { product_id: "p1" } });
    expect(viewed.userId).toBeUndefined();
    expect(viewed.context).toMatchObject({ page: { url: location.href }, library: { name: "homing" } });
    expect(viewed.messageId).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(identify).toMatchObject({ userId: "u1", userHash: "ff", traits: { email: "a@b.example" } });
    expect(identify.anonymousId).toBe(viewed.anonymousId);
    expect(added).toMatchObject({ event: "Product Added", userId: "u1", userHash: "ff" });
  });

  it("keeps the anonymous id over pages, until reset", async () => {
    await openPage().calls.track("a");
    await openPage().calls.track("b");
    const page = openPage();
    await page.calls.reset();
    await page.calls.track("c");
    await settle();
    const id = (event: string) => server.events().find((message) => message.event === event).anonymousId;
    expect(id("b")).toBe(id("a"));
    expect(id("c")).not.toBe(id("a"));
  });

  it("sends the same message again after trouble, from the next page too, until it is acknowledged", async () => {
    server.answers["/v1/batch"] = [{ status: 503 }];
    await openPage().calls.track("Order Completed", { order_id: "1" });
    await settle();
    openPage();
    await settle();
    openPage();
    await settle();
    const [one, two, ...more] = server.events();
    expect(two.messageId).toBe(one.messageId);
    expect(more).toEqual([]);
  });

  it("waits as long as Retry-After says, whatever happens meanwhile", async () => {
    vi.useFakeTimers();
    server.answers["/v1/batch"] = [{ status: 429, headers: { "Retry-After": "3600" } }];
    const { calls } = openPage();
    await calls.track("a");
    await vi.advanceTimersByTimeAsync(1000);
    await calls.track("b");
    await vi.advanceTimersByTimeAsync(3_590_000);
    expect(server.to("/v1/batch")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(20_000);
    expect(server.to("/v1/batch")[1]!.body.batch).toHaveLength(2);
  });

  it("tries again by itself when the network comes back", async () => {
    server.answers["/v1/batch"] = ["offline"];
    await openPage().calls.track("a");
    await settle();
    dispatchEvent(new Event("online"));
    await settle();
    expect(server.to("/v1/batch")).toHaveLength(2);
  });

  it("loses only the faulty event of a refused batch", async () => {
    server.answers["/v1/batch"] = [{ status: 422 }, {}, { status: 422 }, {}];
    const { calls } = openPage();
    for (const name of ["good", "bad", "fine"]) await calls.track(name);
    await settle(60);
    expect(server.to("/v1/batch").map(({ body }) => body.batch.map(({ event }: any) => event))).toEqual([
      ["good", "bad", "fine"],
      ["good"],
      ["bad"],
      ["fine"],
    ]);
    expect(localStorage.getItem("homing.queue")).toBeNull();
    expect(console.warn).toHaveBeenCalledOnce();
  });

  it("hands what is unsent to a beacon when the page goes away", async () => {
    const beacons: [string, string][] = [];
    navigator.sendBeacon = (url, body) => beacons.push([String(url), String(body)]) > 0;
    await openPage().calls.track("Product Clicked");
    dispatchEvent(new Event("pagehide"));
    expect(beacons).toHaveLength(1);
    expect(JSON.parse(beacons[0]![1])).toMatchObject({ writeKey: "pk_1", batch: [{ event: "Product Clicked" }] });
  });

  it("works where the browser refuses storage", async () => {
    vi.stubGlobal("localStorage", undefined);
    const { calls } = openPage();
    await calls.track("a");
    await calls.track("b");
    await settle();
    const [a, b] = server.events();
    expect(a.anonymousId).toBe(b.anonymousId);
  });

  it("refuses an event without a name, or over 32 KB", async () => {
    const { calls } = openPage();
    await expect(calls.track("")).rejects.toMatchObject({ code: "bad_argument" });
    await expect(calls.track("a", { text: "é".repeat(17_000) })).rejects.toMatchObject({ code: "bad_argument" });
  });
});

describe("consent", () => {
  it("stores and sends nothing before it, and then what waited", async () => {
    const { calls } = openPage({ needsConsent: true });
    await calls.track("Product Viewed");
    await calls.identify("u1");
    await settle();
    expect([server.sent, Object.keys(localStorage)]).toEqual([[], []]);
    await expect(calls.prompt()).rejects.toMatchObject({ code: "consent_required" });
    await expect(calls.subscribe()).rejects.toMatchObject({ code: "consent_required" });
    await calls.consent("granted");
    await settle();
    expect(server.events().map(({ type }) => type)).toEqual(["track", "identify"]);
  });

  it("keeps to memory without it, whoever stores", () => {
    const store = createStore(true);
    store.set("told", { id: "1" });
    expect(store.get("told")).toEqual({ id: "1" });
    expect(localStorage.length).toBe(0);
  });

  it("forgets everything when it is denied", async () => {
    const { calls } = openPage({ needsConsent: true });
    await calls.track("a");
    await calls.consent("granted");
    await settle();
    expect(localStorage.getItem("homing.anon")).not.toBeNull();
    await calls.consent("denied");
    await calls.track("b");
    await settle();
    expect(Object.keys(localStorage)).toEqual([]);
    expect(server.events()).toHaveLength(1);
  });
});
