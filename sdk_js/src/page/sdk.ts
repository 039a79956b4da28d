// Entry of /sdk.js: finds its script tag, takes over the `window.homing` queue, and keeps every fault to itself.

import { createHoming } from "./homing";
import { warn } from "./errors";

type Queue = unknown[] & Record<string, unknown>;

function take(script: HTMLScriptElement): void {
  const page = window as unknown as { homing?: Queue };
  const queue: Queue = Array.isArray(page.homing) ? page.homing : ([] as unknown as Queue);
  if (queue.loaded) return; // a second script tag
  const { site = "", worker, scope, consent } = script.dataset;
  const { calls, run } = createHoming({
    api: new URL(script.src).origin,
    key: site,
    worker,
    scope,
    needsConsent: consent === "required",
    nonce: script.nonce,
  });
  const report = (call: unknown): Promise<unknown> => {
    const result = run(call);
    result.catch((error) => warn(error.message, error));
    return result;
  };
  const waiting = queue.splice(0);
  // The array itself stays, since the shop may hold on to it.
  for (const name of Object.keys(calls)) queue[name] = (...given: unknown[]) => run([name, ...given]);
  queue.push = ((...given: unknown[]) =>
    given.length === 1 ? report(given[0]) : Promise.all(given.map(report))) as unknown as Queue["push"];
  queue.loaded = true;
  page.homing = queue;
  waiting.forEach(report);
}

try {
  const script = document.currentScript || document.querySelector("script[data-site][src*='/sdk.js']");
  if (script) take(script as HTMLScriptElement);
} catch (error) {
  warn("did not start", error);
}
