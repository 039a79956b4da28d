// What a call rejects with. Codes of the server's problem details pass through as they are.

export type Code =
  | "unsupported" // the browser has no web push, or the page is not on https
  | "needs_install" // iOS: web push works once the shop is on the home screen
  | "denied" // the visitor blocked notifications; only he can undo that, in the browser's settings
  | "dismissed" // the visitor closed the browser's prompt without an answer
  | "consent_required" // the shop asked for consent first, and it is not given
  | "no_worker" // the worker's file is not on the shop's origin
  | "worker_failed" // it is, but the browser would not run it
  | "worker_taken" // another worker holds that scope; see data-worker and data-scope
  | "not_configured" // data-site is missing or not known to the server
  | "subscribe_failed" // the browser's push service refused
  | "bad_argument"
  | "unknown_method"
  | "network";

export class HomingError extends Error {
  readonly code: string;

  constructor(code: Code | (string & {}), message: string) {
    super(message);
    this.name = "HomingError";
    this.code = code;
  }
}

/** The console's word on something that the shop's developer should know. */
export const warn = (message: string, detail: unknown = ""): void => console.warn("[homing] " + message, detail);
