// The event queue: stored before it is sent, sent in batches, kept until the server says it is committed.
// A message sent twice (two tabs, an answer lost at page unload) is dropped by its messageId on the server.

import { passing, post } from "../shared/post";
import { HomingError, warn } from "./errors";
import { type Identity, uuid } from "./identity";
import type { Store } from "./store";

declare const __VERSION__: string;

export interface Message {
  type: "track" | "identify" | "page";
  messageId: string;
  timestamp: string;
  [field: string]: unknown;
}

const MAX_QUEUED = 200;
const MAX_EVENT = 32_000; // bytes; the server takes 32 KB an event
const MAX_BATCH = 48_000; // bytes; browsers allow 64 KB of keepalive bodies at a time

const size = (text: string): number => new Blob([text]).size;

/** Where and in what the visitor is. */
export function context(): Record<string, unknown> {
  return {
    page: { url: location.href, path: location.pathname, title: document.title, referrer: document.referrer },
    locale: navigator.language,
    timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
    userAgent: navigator.userAgent,
    library: { name: "homing", version: __VERSION__ },
  };
}

export type Events = ReturnType<typeof createEvents>;

export function createEvents(api: string, key: string, store: Store, identity: Identity) {
  const url = api + "/v1/batch";
  let timer: ReturnType<typeof setTimeout> | undefined;
  let sending = false;
  let failures = 0;
  /** After a refused batch one event a request, so that only the faulty one is lost. */
  let single = false;

  const queued = (): Message[] => {
    const queue = store.get<Message[]>("queue");
    return Array.isArray(queue) ? queue : [];
  };

  const save = (queue: Message[]): void => store.set("queue", queue.length ? queue : undefined);

  const remove = (sent: Message[]): void =>
    save(queued().filter(({ messageId }) => !sent.some((message) => message.messageId === messageId)));

  /** 1 s, 2 s, 4 s … 5 min, each between half and the whole of it. */
  const backoff = (): number => Math.min(1000 * 2 ** failures++, 300_000) * (0.5 + Math.random() / 2);

  function later(delay: number): void {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = undefined;
      flush();
    }, delay);
  }

  function batch(): { messages: Message[]; body: string } {
    const messages: Message[] = [];
    let room = MAX_BATCH;
    for (const message of queued()) {
      room -= size(JSON.stringify(message));
      if (messages.length && (room < 0 || single)) break;
      messages.push(message);
    }
    return { messages, body: JSON.stringify({ writeKey: key, sentAt: new Date().toISOString(), batch: messages }) };
  }

  async function flush(): Promise<void> {
    const { messages, body } = batch();
    if (sending || !store.granted() || !messages.length) return;
    sending = true;
    let wait = 0;
    try {
      const { status, headers, ok } = await post(url, body);
      if (passing(status)) wait = Math.max(backoff(), Number(headers.get("Retry-After")) * 1000 || 0);
      else {
        failures = 0;
        const faulty = status === 400 || status === 413 || status === 422;
        if (faulty && messages.length > 1) single = true;
        else {
          remove(messages);
          if (!ok) warn(`${messages.length} event(s) refused with ${status}`, messages);
        }
      }
    } catch {
      wait = backoff();
    }
    sending = false;
    if (queued().length) later(wait);
    else single = false;
  }

  addEventListener("online", () => later(0));
  addEventListener("pagehide", () => {
    if (!timer || failures || !store.granted()) return;
    const { messages, body } = batch();
    if (messages.length && navigator.sendBeacon(url, body) && navigator.onLine) remove(messages);
  });

  return {
    /** Take an event as of now; it is stored and sent once there is consent. */
    add(type: Message["type"], fields: Record<string, unknown>): void {
      const timestamp = new Date().toISOString();
      const message: Message = { type, messageId: uuid(), timestamp, ...fields, context: context() };
      if (size(JSON.stringify(message)) > MAX_EVENT) throw new HomingError("bad_argument", "An event takes 32 KB at most.");
      store.whenGranted(() => {
        save([...queued(), { ...message, ...identity.who() }].slice(-MAX_QUEUED));
        if (!failures) later(0);
      });
    },

    /** Send what waits, of a former page too. */
    start: (): void => later(0),
  };
}
