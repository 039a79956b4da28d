// Who this browser is: an anonymous id of its own, and the shop's user id once the shop said so.

import type { Store } from "./store";

export interface Who {
  anonymousId: string;
  userId?: string;
  userHash?: string;
}

interface User {
  userId: string;
  userHash?: string;
}

/** A UUID; crypto.randomUUID exists in secure contexts of newer browsers only. */
export function uuid(): string {
  if (crypto.randomUUID) return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 15) | 64;
  bytes[8] = (bytes[8]! & 63) | 128;
  const hex = Array.from(bytes, (byte) => (byte + 256).toString(16).slice(1)).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export class Identity {
  constructor(private readonly store: Store) {}

  who(): Who {
    let anonymousId = this.store.get<string>("anon");
    if (typeof anonymousId !== "string") this.store.set("anon", (anonymousId = uuid()));
    return { anonymousId, ...this.store.get<User>("user") };
  }

  /** The shop's word that this is `userId`; the hash proves it where the site asks for proof. */
  know(userId: string, userHash?: string): void {
    this.store.set("user", userHash ? { userId, userHash } : { userId });
  }

  /** Nobody again, with a new anonymous id. */
  forget(): void {
    this.store.set("anon", undefined);
    this.store.set("user", undefined);
  }
}
