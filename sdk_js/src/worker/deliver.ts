// Sends what waits: receipts, and a renewed subscription. What fails stays for the next event or Background Sync.

import { type SiteRecord, read, update } from "../shared/database";
import { passing, post } from "../shared/post";
import { settle, waiting } from "./log";

interface Syncing {
  sync?: { register(tag: string): Promise<void> };
}

let running: Promise<void> = Promise.resolve();

/** One after the other, so that nothing is sent twice. Never rejects. */
export function flush(registration: ServiceWorkerRegistration): Promise<void> {
  return (running = running
    .then(async () => {
      const site = await read<SiteRecord>("site");
      const all = [await sendSubscription(site), await sendReceipts(site)];
      if (!all.every(Boolean)) await (registration as Syncing).sync?.register("homing");
    })
    .catch(() => undefined));
}

/** Whether the server took it, or refused it for good. */
async function delivered(url: string, body: unknown): Promise<boolean> {
  try {
    return !passing((await post(url, body)).status);
  } catch {
    return false;
  }
}

async function sendSubscription(site: SiteRecord | undefined): Promise<boolean> {
  if (!site?.pending) return true;
  const { pending } = site;
  if (!(await delivered(site.api + "/v1/subscriptions", pending))) return false;
  await update<SiteRecord>("site", (now) => {
    if (now?.pending === pending) delete now.pending;
    return now;
  });
  return true;
}

async function sendReceipts(site: SiteRecord | undefined): Promise<boolean> {
  for (;;) {
    const all = await waiting();
    const api = all[0]?.api;
    if (!api) return true;
    const some = all.filter((entry) => entry.api === api).slice(0, 100);
    const receipts = some.map(({ api: _, ...receipt }) => receipt);
    const writeKey = site?.api === api ? site.key : undefined;
    if (!(await delivered(api + "/v1/receipts", { writeKey, receipts }))) return false;
    await settle(some);
  }
}
