// First-party storage behind consent. Without consent, or where the browser has no storage, memory takes its place.

const PREFIX = "homing.";

export type Store = ReturnType<typeof createStore>;

export function createStore(needsConsent: boolean) {
  const memory = new Map<string, string>();
  let waiting: (() => void)[] = [];
  let granted: boolean | undefined = needsConsent ? undefined : true;

  return {
    granted: (): boolean => !!granted,

    /** Run now, or once consent is given; never, if it is denied. */
    whenGranted(work: () => void): void {
      if (granted) work();
      else if (granted === undefined && waiting.length < 100) waiting.push(work);
    },

    /** The visitor's decision. A denial forgets what waited, and all that was stored. */
    decide(yes: boolean): void {
      const held = waiting;
      waiting = [];
      granted = yes;
      if (yes) {
        for (const work of held) work();
        return;
      }
      memory.clear();
      try {
        for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key);
      } catch {
        // no storage, nothing to forget
      }
    },

    get<T>(name: string): T | undefined {
      let text = memory.get(name);
      try {
        if (granted) text ??= localStorage.getItem(PREFIX + name) ?? undefined;
        return text && JSON.parse(text);
      } catch {
        return undefined;
      }
    },

    /** Undefined removes. */
    set(name: string, value?: unknown): void {
      const text = JSON.stringify(value);
      memory.delete(name);
      try {
        if (!granted) throw 0;
        if (text) localStorage.setItem(PREFIX + name, text);
        else localStorage.removeItem(PREFIX + name);
      } catch {
        if (text) memory.set(name, text);
      }
    },
  };
}
