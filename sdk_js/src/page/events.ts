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

export class Events {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private sending = false;
  private failures = 0;

  constructor(
    private readonly api: string,
    private readonly key: string,
    private readonly store: Store,
    private readonly identity: Identity,
  ) {}

  /** Take an event as of now; it is stored and sent once there is consent. */
  add(type: Message["type"], fields: Record<string, unknown>): void {
    const message: Message = {
      type,
      messageId: uuid(),
      timestamp: new Date().toISOString(),
      ...fields,
      context: context(),
    };
    if (size(JSON.stringify(message)) > MAX_EVENT) throw new HomingError("bad_argument", "An event takes 32 KB at most.");
    this.store.whenGranted(() => {
      this.save([...this.queued(), { ...message, ...this.identity.who() }].slice(-MAX_QUEUED));
      this.later(0);
    });
  }

  /** Send what a former page left, and whatever comes when the network is back or the page goes away. */
  start(): void {
    addEventListener("online", () => this.later(0));
    addEventListener("pagehide", () => this.last());
    if (this.queued().length) this.later(0);
  }

  private queued(): Message[] {
    const queue = this.store.get<Message[]>("queue");
    return Array.isArray(queue) ? queue : [];
  }

  private save(queue: Message[]): void {
    this.store.set("queue", queue.length ? queue : undefined);
  }

  private remove(sent: Message[]): void {
    const ids = new Set(sent.map((message) => message.messageId));
    this.save(this.queued().filter((message) => !ids.has(message.messageId)));
  }

  private later(delay: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.flush();
    }, delay);
  }

  private batch(): { messages: Message[]; body: string } {
    const messages: Message[] = [];
    let room = MAX_BATCH;
    for (const message of this.queued()) {
      room -= size(JSON.stringify(message));
      if (room < 0 && messages.length) break;
      messages.push(message);
    }
    const body = { writeKey: this.key, sentAt: new Date().toISOString(), batch: messages };
    return { messages, body: JSON.stringify(body) };
  }

  private async flush(): Promise<void> {
    if (this.sending || !this.store.granted) return;
    const { messages, body } = this.batch();
    if (!messages.length) return;
    this.sending = true;
    let wait = 0;
    try {
      const response = await post(this.api + "/v1/batch", body);
      if (passing(response.status)) wait = Number(response.headers.get("Retry-After")) * 1000 || this.backoff();
      else {
        this.failures = 0;
        this.remove(messages);
        if (!response.ok) warn(`${messages.length} events were refused with ${response.status}`, await response.text());
      }
    } catch {
      wait = this.backoff();
    }
    this.sending = false;
    if (this.queued().length) this.later(wait);
  }

  /** 1 s, 2 s, 4 s … 5 min, each between half and the whole of it. */
  private backoff(): number {
    return Math.min(1000 * 2 ** this.failures++, 300_000) * (0.5 + Math.random() / 2);
  }

  private last(): void {
    if (this.timer === undefined || this.failures || !this.store.granted) return;
    const { messages, body } = this.batch();
    if (messages.length && navigator.sendBeacon(this.api + "/v1/batch", body) && navigator.onLine) this.remove(messages);
  }
}
