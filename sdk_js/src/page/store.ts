// First-party storage behind consent. Without consent, or where the browser has no storage, memory takes its place.

const PREFIX = "homing.";

export class Store {
  private readonly memory = new Map<string, string>();
  private waiting: (() => void)[] = [];
  private state: "pending" | "granted" | "denied";

  constructor(needsConsent: boolean) {
    this.state = needsConsent ? "pending" : "granted";
  }

  get granted(): boolean {
    return this.state === "granted";
  }

  /** Run now, or once consent is given; never, if it is denied. */
  whenGranted(work: () => void): void {
    if (this.granted) work();
    else if (this.state === "pending" && this.waiting.length < 100) this.waiting.push(work);
  }

  /** The visitor's decision. A denial forgets what waited, and all that was stored. */
  decide(granted: boolean): void {
    const waiting = this.waiting;
    this.waiting = [];
    this.state = granted ? "granted" : "denied";
    if (granted) {
      for (const work of waiting) work();
      return;
    }
    this.memory.clear();
    try {
      for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key);
    } catch {
      // no storage, nothing to forget
    }
  }

  get<T>(name: string): T | undefined {
    let text = this.memory.get(name);
    try {
      if (this.granted) text = localStorage.getItem(PREFIX + name) ?? text;
      return text === undefined ? undefined : JSON.parse(text);
    } catch {
      return undefined;
    }
  }

  /** Undefined removes. */
  set(name: string, value: unknown): void {
    const text = JSON.stringify(value);
    if (text === undefined) this.memory.delete(name);
    else this.memory.set(name, text);
    if (!this.granted) return;
    try {
      if (text === undefined) localStorage.removeItem(PREFIX + name);
      else {
        localStorage.setItem(PREFIX + name, text);
        this.memory.delete(name);
      }
    } catch {
      // full or forbidden: memory has it
    }
  }
}
