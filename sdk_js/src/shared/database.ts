// The one IndexedDB store that page and worker share: a few records by name, each small and bounded.

/** What the worker needs to speak for this browser when no page is open. Written by the page at each subscribe. */
export interface SiteRecord {
  api: string;
  key: string;
  name: string;
  anonymousId: string;
  userId?: string;
  userHash?: string;
  applicationServerKey: string;
  endpoint: string;
  /** A renewed subscription that the server has not acknowledged yet. */
  pending?: string;
}

const open = (): Promise<IDBDatabase> =>
  new Promise((resolve, reject) => {
    const request = indexedDB.open("homing", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("records");
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

/**
 * Read a record and store what `change` makes of it, in one transaction, so that two events at once cannot lose
 * each other's work. `change` returning undefined leaves the record as it is. Resolves with the value now stored.
 * Each call has a connection of its own: one kept open would stand in the way of a visitor who clears the site's data.
 */
export async function update<T>(name: string, change: (value: T | undefined) => T | undefined): Promise<T | undefined> {
  const database = await open();
  return new Promise<T | undefined>((resolve, reject) => {
    const transaction = database.transaction("records", "readwrite");
    const store = transaction.objectStore("records");
    const request = store.get(name);
    let value: T | undefined;
    request.onsuccess = () => {
      value = request.result;
      const next = change(value);
      if (next !== undefined) store.put((value = next), name);
    };
    transaction.oncomplete = () => resolve(value);
    transaction.onabort = () => reject(transaction.error);
  }).finally(() => database.close());
}

/** The record of that name, if there is one. */
export const read = <T>(name: string): Promise<T | undefined> => update<T>(name, () => undefined);
