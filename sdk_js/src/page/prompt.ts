// The soft prompt: one small dialog in the shop's own words, shown before the browser's question, since a "no" to
// the browser is for ever and a "no" to us is not. It lives in a shadow root, out of reach of the shop's styles.

import type { Texts } from "./config";
import type { Store } from "./store";

const DAY = 86_400_000;
/** How long a first, second, and every further "no" is respected. */
const REST = [7 * DAY, 30 * DAY, 180 * DAY];

const CSS = `:host{all:initial!important}
section{position:fixed;z-index:2147483647;box-sizing:border-box;inset-block-end:16px;inset-inline-end:16px;width:min(380px,100vw - 32px);max-height:calc(100vh - 32px);overflow:auto;padding:20px;border:1px solid #0002;border-radius:14px;background:#fff;color:#1b1b1f;box-shadow:0 12px 40px #0004;font:16px/1.45 system-ui,sans-serif;text-align:start;overflow-wrap:anywhere}
h2{margin:0 0 6px;font-size:18px;line-height:1.3}
p{margin:0 0 16px}
div{display:flex;flex-wrap:wrap;gap:10px;justify-content:end}
button{flex:0 1 auto;min-height:44px;padding:8px 18px;border:1px solid #767680;border-radius:10px;background:none;color:inherit;font:inherit;cursor:pointer}
button:last-child{border-color:#1f4fd8;background:#1f4fd8;color:#fff;font-weight:600}
:focus-visible{outline:3px solid #5b8cff;outline-offset:2px}
@media(max-width:440px){button{flex:1 1 40%}}
@media(prefers-color-scheme:dark){section{background:#1f2024;color:#f2f2f5;border-color:#fff3}button:last-child{border-color:#8fb0ff;background:#8fb0ff;color:#10131c}}
@media(prefers-reduced-motion:no-preference){section{animation:i .2s ease-out}@keyframes i{from{opacity:0;transform:translateY(12px)}}}`;

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
