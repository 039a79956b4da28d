// @vitest-environment happy-dom
// The site has a new VAPID key: the subscription moves to it at the next visit, whatever fails in between.

import { beforeEach, expect, it, vi } from "vitest";
import { base64url, createBrowser, createServer, openPage, settle, VAPID } from "./world";

const NEW = "BN" + "A".repeat(85);

let server: ReturnType<typeof createServer>;
let browser: ReturnType<typeof createBrowser>["state"];

beforeEach(async () => {
  localStorage.clear();
  server = createServer();
  vi.stubGlobal("fetch", server.fetch);
  browser = createBrowser().state;
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  await openPage().calls.subscribe({ topics: ["sales"] });
  server.state.vapid = NEW;
});

const posts = () => server.to("/v1/subscriptions").map(({ body }) => body);
const visit = async (): Promise<ReturnType<typeof openPage>> => {
  const page = openPage();
  await settle();
  return page;
};
const key = (): string => base64url(new Uint8Array(browser.subscription.options.applicationServerKey));
const endpoint = (number: number): string => `https://push.service/${number}`;

it("moves without asking, and names the endpoint that ends", async () => {
  await visit();
  expect(key()).toBe(NEW);
  expect(browser.asked).toBe(1);
  expect(posts()[1]).toMatchObject({
    previousEndpoint: endpoint(1),
    subscription: { endpoint: endpoint(2) },
    applicationServerKey: NEW + "=",
  });
  await visit();
  expect(posts()).toHaveLength(2);
});

it("makes up at the next visit for a push service that failed when the old one had ended", async () => {
  browser.refusedKeys = new Set([NEW, VAPID]);
  localStorage.clear(); // not even what the server was told is known
  await visit();
  expect(browser.subscription).toBeNull();
  browser.refusedKeys.clear();
  await visit();
  expect(key()).toBe(NEW);
  expect(posts()[1]).toMatchObject({ previousEndpoint: endpoint(1), subscription: { endpoint: endpoint(2) } });
});

it("goes back to the old key when the new one fails, and says so", async () => {
  browser.refusedKeys.add(NEW);
  await visit();
  expect(key()).toBe(VAPID);
  expect(posts()[1]).toMatchObject({ previousEndpoint: endpoint(1), applicationServerKey: VAPID + "=" });
  browser.refusedKeys.clear();
  await visit();
  expect(posts()[2]).toMatchObject({ previousEndpoint: endpoint(2), applicationServerKey: NEW + "=" });
});

it("names the old endpoint until the server has taken the new one", async () => {
  server.answers["/v1/subscriptions"] = ["offline"];
  await visit();
  expect(key()).toBe(NEW);
  localStorage.removeItem("homing.told");
  await visit();
  expect(posts()[2]).toMatchObject({ previousEndpoint: endpoint(1), subscription: { endpoint: endpoint(2) } });
  await visit();
  expect(posts()).toHaveLength(3);
});

it("keeps the old one while the server cannot say which key holds now", async () => {
  server.answers["/v1/sdk/config"] = [{}, "offline"];
  await visit();
  expect(browser.subscription.endpoint).toBe(endpoint(1));
});

it("does not move back in a page that is open since before the rotation", async () => {
  server.state.vapid = VAPID;
  const before = await visit();
  server.state.vapid = NEW;
  await visit();
  expect(key()).toBe(NEW);
  await before.calls.identify("u1");
  await settle();
  expect(key()).toBe(NEW);
  expect(browser.made).toBe(2);
  expect(posts().at(-1)).toMatchObject({ userId: "u1", applicationServerKey: NEW + "=", subscription: { endpoint: endpoint(2) } });
});
