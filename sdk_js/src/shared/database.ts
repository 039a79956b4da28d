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

let opened: Promise<IDBDatabase> | undefined;

function open(): Promise<IDBDatabase> {
  opened ||= new Promise<IDBDatabase>((resolve, reject) => {
    const request = indexedDB.open("homing", 1);
    request.onupgradeneeded = () => request.result.createObjectStore("records");
    request.onsuccess = () => {
      const database = request.result;
      // Another context deletes or upgrades the database: let it, and open anew the next time.
      database.onversionchange = () => {
        database.close();
        opened = undefined;
      };
      database.onclose = () => (opened = undefined);
      resolve(database);
    };
    request.onerror = () => reject(request.error);
  }).catch((error) => {
    opened = undefined;
    throw error;
  });
  return opened;
}

/**
 * Read a record and store what `change` makes of it, in one transaction, so that two events at once cannot lose
 * each other's work. `change` returning undefined leaves the record as it is. Resolves with the value now stored.
 */
export async function update<T>(name: string, change: (value: T | undefined) => T | undefined): Promise<T | undefined> {
  const database = await open();
  return new Promise((resolve, reject) => {
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
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

/** The record of that name, if there is one. */
export const read = <T>(name: string): Promise<T | undefined> => update<T>(name, () => undefined);
