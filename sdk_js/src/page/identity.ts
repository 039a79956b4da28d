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

/** A random UUID (version 4); crypto.randomUUID is missing in browsers of before 2022. */
export const uuid = (): string =>
  "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () =>
    (crypto.getRandomValues(new Uint8Array(1))[0]! & 15).toString(16),
  );

export type Identity = ReturnType<typeof createIdentity>;

export const createIdentity = (store: Store) => ({
  who(): Who {
    let anonymousId = store.get<string>("anon");
    if (typeof anonymousId !== "string") store.set("anon", (anonymousId = uuid()));
    return { anonymousId, ...store.get<User>("user") };
  },

  /** The shop's word that this is `userId`; the hash proves it where the site asks for proof. */
  know(userId: string, userHash?: string): void {
    store.set("user", { userId, userHash });
  },

  /** Nobody again, with a new anonymous id. */
  forget(): void {
    store.set("anon");
    store.set("user");
  },
});
