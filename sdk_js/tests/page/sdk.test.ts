// @vitest-environment happy-dom
// The script tag: calls before and after it, and a shop page that never notices our troubles.

import { beforeEach, expect, it, vi } from "vitest";
import { createBrowser, createServer, settle } from "./world";

let server: ReturnType<typeof createServer>;

beforeEach(() => {
  localStorage.clear();
  document.head.innerHTML = "";
  delete (window as any).homing;
  server = createServer();
  vi.stubGlobal("fetch", server.fetch);
  createBrowser();
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
});

async function load(): Promise<any> {
  const script = document.createElement("script");
  script.dataset.site = "pk_1";
  script.type = "text/plain"; // the test runs the module itself
  script.setAttribute("src", "https://push.example/sdk.js");
  document.head.append(script);
  vi.resetModules();
  await import("../../src/page/sdk");
  return (window as any).homing;
}

it("takes calls made before it loaded and after, by queue and by name", async () => {
  const early: unknown[] = ((window as any).homing = []);
  early.push(["track", "before"]);
  const homing = await load();
  await homing.push(["track", "queued"]);
  await homing.track("named");
  early.push(["track", "through the old reference"]);
  await settle();
  expect(server.events().map(({ event }) => event)).toEqual(["before", "queued", "named", "through the old reference"]);
  expect(server.to("/v1/batch")[0]!.url).toBe("https://push.example/v1/batch");
});

it("runs a queued function once it has loaded", async () => {
  const seen: unknown[] = [];
  (window as any).homing = [
    () => seen.push((window as any).homing.loaded),
    () => {
      throw new Error("the shop's own");
    },
  ];
  await load();
  await settle();
  expect(seen).toEqual([true]);
});

it("answers with promises, and rejects with a code what it does not know", async () => {
  const homing = await load();
  expect(await homing.permission()).toBe("default");
  expect(await homing.subscription()).toBeNull();
  await expect(homing.push(["preferences"])).rejects.toMatchObject({ code: "unknown_method" });
  await expect(homing.push(["constructor"])).rejects.toMatchObject({ code: "unknown_method" });
  await expect(homing.on("no-such-event", () => 0)).rejects.toMatchObject({ code: "bad_argument" });
});

it("survives nonsense in the queue and a second script tag", async () => {
  (window as any).homing = [null, 7, {}, ["track"], ["track", "fine"]];
  const homing = await load();
  const again = await load();
  expect(again).toBe(homing);
  await settle();
  expect(server.events().map(({ event }) => event)).toEqual(["fine"]);
});

it("adds no global but homing", async () => {
  const before = Object.keys(window);
  await load();
  expect(Object.keys(window).filter((name) => !before.includes(name))).toEqual(["homing"]);
});
