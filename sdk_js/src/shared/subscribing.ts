// The browser's one subscription, under the site's present key: the same on a page and in the worker.

import { bytesOf } from "./post";

/** One at a time in this browser: two tabs that move the subscription at once would end each other's. */
export const alone = <T>(work: () => Promise<T>): Promise<T> =>
  navigator.locks ? (navigator.locks.request("homing", work) as Promise<T>) : work();

/** The key that the browser says it subscribed with, in base64, which the server takes for base64url too; if it tells. */
export const keyOf = ({ options: { applicationServerKey: key } }: PushSubscription): string | undefined =>
  key ? btoa(String.fromCharCode(...new Uint8Array(key))) : undefined;

const same = (one: string, other: string): boolean => String(bytesOf(one)) === String(bytesOf(other));

/**
 * The subscription, made or moved where needed. `key` may be a former one, since pages stay open for days: what was made
 * with another is moved only to the key that the server names now (`present`), which also tells that we are online.
 * `leaving` hears of the endpoint that is about to end. A browser keeps one subscription, so the old one must end first;
 * if then the new key fails, the old key is tried, and if that fails too, the next visit has to make up for it.
 */
export async function ensure(
  pushManager: PushManager,
  key: string,
  present: () => Promise<string>,
  leaving: (endpoint: string) => void,
): Promise<PushSubscription> {
  const make = (key: string): Promise<PushSubscription> =>
    pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
  const old = await pushManager.getSubscription();
  if (!old) return make(key);
  const theirs = keyOf(old);
  if (!theirs || same(theirs, key)) return old;
  const now = await present().catch(() => theirs);
  if (same(theirs, now)) return old;
  leaving(old.endpoint);
  await old.unsubscribe().catch(() => false);
  return make(now).catch(() => make(theirs));
}
