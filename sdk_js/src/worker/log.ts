// What the worker remembers between events: deliveries it has seen, and receipts the server has not acknowledged.
// Both live in one small record, so that "shown for the first time" and its receipt are one transaction.

import { read, update } from "../shared/database";

export interface Receipt {
  delivery: string;
  kind: "shown" | "clicked" | "closed";
  action?: string;
  at: string;
}

interface Entry extends Receipt {
  api: string;
}

interface Log {
  /** [delivery, whether its shown receipt is written], newest last. */
  seen: [string, boolean][];
  receipts: Entry[];
}

const SEEN = 300;
const RECEIPTS = 300;

const change = (work: (log: Log) => void): Promise<unknown> =>
  update<Log>("log", (stored) => {
    const log = stored || { seen: [], receipts: [] };
    work(log);
    return { seen: log.seen.slice(-SEEN), receipts: log.receipts.slice(-RECEIPTS) };
  });

/** Note the delivery; whether it was here before. */
export async function seenBefore(delivery: string): Promise<boolean> {
  let before = false;
  await change(({ seen }) => {
    before = seen.some(([known]) => known === delivery);
    if (!before) seen.push([delivery, false]);
  });
  return before;
}

/** Queue a receipt; of `shown` there is one for a delivery, however often it arrives. */
export const note = (entry: Entry): Promise<unknown> =>
  change(({ seen, receipts }) => {
    if (entry.kind === "shown") {
      const known = seen.find(([delivery]) => delivery === entry.delivery);
      if (known?.[1]) return;
      if (known) known[1] = true;
      else seen.push([entry.delivery, true]);
    }
    receipts.push(entry);
  });

/** The receipts that wait, oldest first. */
export const waiting = async (): Promise<Entry[]> => (await read<Log>("log"))?.receipts ?? [];

/** Forget these: the server has them, or refuses them for good. */
export const settle = (done: Entry[]): Promise<unknown> =>
  change((log) => {
    const keys = new Set(done.map((entry) => JSON.stringify(entry)));
    log.receipts = log.receipts.filter((entry) => !keys.has(JSON.stringify(entry)));
  });
