// @vitest-environment happy-dom
// The soft prompt: whom it asks and when, and that everybody can use it.

import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { createBrowser, createServer, dialog, openPage, settle, TEXTS } from "./world";

let server: ReturnType<typeof createServer>;
let browser: ReturnType<typeof createBrowser>["state"];

beforeEach(() => {
  localStorage.clear();
  document.body.innerHTML = "<input id=search><button id=buy>Buy</button>";
  server = createServer();
  vi.stubGlobal("fetch", server.fetch);
  browser = createBrowser().state;
});

afterEach(() => vi.useRealTimers());

const escape = (): boolean => dispatchEvent(new KeyboardEvent("keydown", { key: "Escape" }));

it("asks in the shop's words, as text, and subscribes inside the click", async () => {
  const { calls } = openPage();
  const heard: string[] = [];
  for (const name of ["prompt-shown", "prompt-accepted", "subscribed"]) await calls.on(name, () => heard.push(name));
  const outcome = calls.prompt({ title: "<b>Deals</b>" });
  await settle();
  const { element, root, yes } = dialog()!;
  const text = (attribute: string) => root.getElementById(element.getAttribute(attribute)!)!.textContent;
  expect([text("aria-labelledby"), text("aria-describedby")]).toEqual(["<b>Deals</b>", TEXTS.body]);
  expect(browser.asked).toBe(0);
  yes.click();
  expect(browser.asked).toBe(1); // at once: a browser asks only within the click
  expect(await outcome).toBe("accepted");
  expect(heard).toEqual(["prompt-shown", "prompt-accepted", "subscribed"]);
  expect(dialog()).toBeUndefined();
});

it("takes the focus and gives it back, and Escape means no", async () => {
  const { calls } = openPage();
  document.getElementById("buy")!.focus();
  const outcome = calls.prompt();
  await settle();
  expect(document.activeElement?.localName).toBe("homing-prompt");
  escape();
  expect(await outcome).toBe("declined");
  expect(document.activeElement?.id).toBe("buy");
  expect(browser.asked).toBe(0);
});

it("leaves the focus, and Escape, to a visitor who is typing", async () => {
  const { calls } = openPage();
  document.getElementById("search")!.focus();
  calls.prompt();
  await settle();
  expect(document.activeElement?.id).toBe("search");
  escape();
  expect(dialog()).toBeDefined();
  dialog()!.no.click();
});

it("rests for 7, 30, then 180 days after a no", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  let now = Date.now();
  for (const days of [7, 30, 180, 180]) {
    const asked = openPage().calls.prompt();
    await settle();
    dialog()!.no.click();
    expect(await asked).toBe("declined");
    vi.setSystemTime((now += days * 86_400_000 - 60_000));
    expect(await openPage().calls.prompt()).toBe("suppressed");
    vi.setSystemTime((now += 120_000));
  }
  const again = openPage().calls.prompt();
  await settle();
  expect(dialog()).toBeDefined();
  dialog()!.yes.click();
  await again;
});

it("asks at once when the visitor himself clicked for it", async () => {
  const { calls } = openPage();
  const first = calls.prompt();
  await settle();
  dialog()!.no.click();
  await first;
  const second = calls.prompt({ force: true });
  await settle();
  expect(dialog()).toBeDefined();
  dialog()!.no.click();
  await second;
});

it("shows one dialog for two calls", async () => {
  const { calls } = openPage();
  const both = [calls.prompt(), calls.prompt()];
  await settle();
  expect(document.querySelectorAll("homing-prompt")).toHaveLength(1);
  dialog()!.no.click();
  expect(await Promise.all(both)).toEqual(["declined", "declined"]);
});

it("never asks who has said yes, or whom the browser would not ask", async () => {
  const { calls } = openPage();
  browser.permission = "granted";
  expect(await calls.prompt()).toBe("suppressed");
  browser.permission = "denied";
  await expect(calls.prompt()).rejects.toMatchObject({ code: "denied" });
  vi.stubGlobal("isSecureContext", false);
  await expect(calls.prompt()).rejects.toMatchObject({ code: "unsupported" });
  expect(dialog()).toBeUndefined();
});

it("counts a dismissed browser question as a no", async () => {
  browser.answer = "default";
  const { calls } = openPage();
  const outcome = calls.prompt();
  await settle();
  dialog()!.yes.click();
  await expect(outcome).rejects.toMatchObject({ code: "dismissed" });
  expect(await calls.prompt()).toBe("suppressed");
});

it("keeps a handler's fault from the others", async () => {
  vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const { calls } = openPage();
  const heard: string[] = [];
  await calls.on("prompt-declined", () => {
    throw new Error("the shop's own");
  });
  const off = await calls.on("prompt-declined", () => heard.push("gone"));
  await calls.on("prompt-declined", () => heard.push("second"));
  off();
  const outcome = calls.prompt();
  await settle();
  dialog()!.no.click();
  await outcome;
  expect(heard).toEqual(["second"]);
});
