// The soft prompt: one small dialog in the shop's own words, shown before the browser's question, since a "no" to
// the browser is for ever and a "no" to us is not. It lives in a shadow root, out of reach of the shop's styles.

import type { Texts } from "./config";
import type { Store } from "./store";

const DAY = 86_400_000;
/** How long a first, second, and every further "no" is respected. */
const REST = [7 * DAY, 30 * DAY, 180 * DAY];

// System colours follow the visitor's dark mode and forced colours; nothing moves, so nothing need be reduced;
// logical insets follow the shop's writing direction. A shadow root's !important beats the page's.
const CSS =
  ":host{all:initial!important}" +
  "section{position:fixed;z-index:2147483647;bottom:16px;inset-inline-end:16px;box-sizing:border-box;width:380px;max-width:calc(100% - 32px);max-height:calc(100% - 32px);overflow:auto;padding:20px;border:1px solid GrayText;border-radius:14px;color-scheme:light dark;background:Canvas;color:CanvasText;box-shadow:0 9px 40px #0005;font:16px/1.4 system-ui,sans-serif;overflow-wrap:anywhere}" +
  "h2{margin:0;font-size:18px}" +
  "p{margin:6px 0 16px}" +
  "div{display:flex;flex-wrap:wrap;gap:10px}" +
  "button{flex:1;min-height:44px;padding:8px 16px;border:1px solid GrayText;border-radius:10px;background:none;color:inherit;font:inherit;cursor:pointer}" +
  "button+button{border-color:#2457d6;background:#2457d6;color:#fff}" +
  ":focus-visible{outline:3px solid #5b8cff;outline-offset:2px}";

/** Whether an earlier "no" is still respected. */
export function resting(store: Store): boolean {
  const no = store.get<{ times: number; at: number }>("no");
  return !!no && Date.now() - no.at < REST[Math.min(no.times, REST.length) - 1]!;
}

/** Remember a "no". */
export function rest(store: Store): void {
  store.set("no", { times: (store.get<{ times: number }>("no")?.times ?? 0) + 1, at: Date.now() });
}

/**
 * Show the dialog. `accept` is called inside the click, while the browser still takes it for the visitor's gesture.
 * The focus moves into the dialog unless the visitor is typing, and back to where it was when the dialog goes.
 */
export function ask(texts: Texts, accept: () => void, decline: () => void, nonce: string): void {
  const host = document.createElement("homing-prompt");
  const root = host.attachShadow({ mode: "open" });
  const make = (tag: string, text = "", id = ""): HTMLElement => {
    const element = document.createElement(tag);
    element.textContent = text;
    if (id) element.id = id;
    return element;
  };
  const dialog = make("section");
  for (const [name, value] of Object.entries({
    role: "dialog",
    "aria-modal": "false",
    "aria-labelledby": "t",
    "aria-describedby": "b",
    tabindex: "-1",
  }))
    dialog.setAttribute(name, value);
  const buttons = make("div");
  const no = make("button", texts.decline);
  const yes = make("button", texts.accept);
  buttons.append(no, yes);
  dialog.append(make("h2", texts.title, "t"), make("p", texts.body, "b"), buttons);
  dress(root, nonce);
  root.append(dialog);

  const before = document.activeElement as HTMLElement | null;
  const typing = !!before && (before.isContentEditable || /^(input|textarea|select|iframe)$/i.test(before.tagName));
  const close = (then: () => void): void => {
    const inside = document.activeElement === host;
    removeEventListener("keydown", escape);
    host.remove();
    if (inside) before?.focus({ preventScroll: true });
    then();
  };
  // Escape elsewhere may be meant for the shop's own dialog.
  const escape = (event: KeyboardEvent): void => {
    const active = document.activeElement;
    if (event.key === "Escape" && !event.defaultPrevented && (!active || active === host || active === document.body))
      close(decline);
  };
  no.onclick = () => close(decline);
  yes.onclick = () => close(accept);
  addEventListener("keydown", escape);
  document.body.append(host);
  if (!typing) dialog.focus({ preventScroll: true });
}

/** A constructed sheet passes any Content-Security-Policy; older browsers get a style element with the script's nonce. */
function dress(root: ShadowRoot, nonce: string): void {
  try {
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
    root.adoptedStyleSheets = [sheet];
  } catch {
    const style = document.createElement("style");
    style.nonce = nonce;
    style.textContent = CSS;
    root.append(style);
  }
}
