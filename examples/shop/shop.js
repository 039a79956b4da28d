// A small shop. Whatever a visitor does is told to Homing under the usual e-commerce event names; the panel on the
// right shows what was told. Only `homing.…` below has to do with Homing.

const RECORDS = [
  { product_id: "ja1", name: "Slow Tram to Óbuda", brand: "The Lantern Quartet", category: "Jazz", price: 13.99 },
  { product_id: "cl1", name: "Winter Suites", brand: "Tavasz Ensemble", category: "Classical", price: 16.99 },
  { product_id: "ro2", name: "Neon Allotment", brand: "Kite Department", category: "Rock", price: 10.99 },
  { product_id: "fo4", name: "Hazafelé", brand: "Patak Zenekar", category: "Folk", price: 12.99 },
  { product_id: "el1", name: "Capacitor Dreams", brand: "Null Island", category: "Electronic", price: 10.49 },
  { product_id: "so2", name: "Red Kites over Kent", brand: "Original Score", category: "Soundtrack", price: 13.99 },
];
const CURRENCY = "USD";

const byId = (id) => document.getElementById(id);
const money = (amount) => new Intl.NumberFormat(undefined, { style: "currency", currency: CURRENCY }).format(amount);

/** An element with properties and children. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// --- telling Homing ---------------------------------------------------------------------------------------------

/** Tell Homing and show that it was told. Calls before the SDK has loaded wait in the queue. */
function tell(name, properties) {
  homing.push(["track", name, properties]);
  note(name);
}

function note(text) {
  byId("log").prepend(make("li", { textContent: `${new Date().toLocaleTimeString()}  ${text}` }));
}

// --- the shop ---------------------------------------------------------------------------------------------------

const cart = { id: crypto.randomUUID(), lines: new Map() };

function showRecords() {
  RECORDS.forEach((record, index) => {
    const sleeve = make("div", { className: "sleeve" });
    sleeve.style.setProperty("--hue", String((index * 67 + 20) % 360));
    const add = make("button", { textContent: "Add to cart", onclick: () => addToCart(record) });
    add.setAttribute("aria-label", `Add ${record.name} to cart`);
    const price = make("strong", { textContent: money(record.price) });
    const card = make(
      "li",
      { id: record.product_id },
      sleeve,
      make("a", { href: `#${record.product_id}`, textContent: record.name }),
      make("span", { className: "artist", textContent: `${record.brand} · ${record.category}` }),
      make("div", { className: "buy" }, price, add),
    );
    byId("records").append(card);
  });
}

function addToCart(record) {
  const quantity = (cart.lines.get(record) ?? 0) + 1;
  cart.lines.set(record, quantity);
  showCart();
  tell("Product Added", { cart_id: cart.id, currency: CURRENCY, ...record, quantity: 1 });
}

function total() {
  return Math.round([...cart.lines].reduce((sum, [record, quantity]) => sum + record.price * 100 * quantity, 0)) / 100;
}

function showCart() {
  const lines = [...cart.lines].map(([record, quantity]) =>
    make(
      "li",
      {},
      make("span", { textContent: `${quantity} × ${record.name}` }),
      make("span", { textContent: money(record.price * quantity) }),
    ),
  );
  byId("lines").replaceChildren(...lines);
  byId("total").textContent = lines.length ? money(total()) : "Nothing yet.";
  byId("checkout").disabled = !lines.length;
}

function checkOut() {
  tell("Order Completed", {
    order_id: `web-${Date.now()}`,
    cart_id: cart.id,
    currency: CURRENCY,
    revenue: total(),
    products: [...cart.lines].map(([record, quantity]) => ({ ...record, quantity })),
  });
  cart.lines.clear();
  cart.id = crypto.randomUUID();
  showCart();
}

// --- who, and what Homing knows ------------------------------------------------------------------------------------

const customer = () => localStorage.getItem("shop.customer");

function signIn(number) {
  localStorage.setItem("shop.customer", number);
  homing.push(["identify", number, {}]);
  note(`identify ${number}`);
  showState();
}

function signOut() {
  localStorage.removeItem("shop.customer");
  homing.push(["reset"]);
  note("reset");
  showState();
}

const STATES = {
  default: "Off. One click, and we tell you when a record you like gets cheaper.",
  granted: "Allowed by your browser.",
  denied: "Blocked. Your browser’s site settings can undo that.",
  unsupported: "This browser has no web push here.",
  "needs-install": "Add this shop to your home screen first.",
};

/** Runs once the SDK has loaded, and after whatever may have changed the answers. */
async function showState() {
  if (!homing.loaded) return;
  const permission = await homing.permission();
  const subscription = await homing.subscription();
  byId("state").textContent = subscription ? "On. You will hear from us." : STATES[permission];
  byId("notify").disabled = !!subscription || !["default", "granted"].includes(permission);
  byId("stop").hidden = !subscription;
  byId("logout").hidden = !customer();
  const known = { Customer: customer() || "not signed in", Permission: permission, Subscription: subscription?.id || "none" };
  const rows = Object.entries(known).flatMap(([term, value]) => [
    make("dt", { textContent: term }),
    make("dd", { textContent: value }),
  ]);
  byId("known").replaceChildren(...rows);
}

/** Ask first in our words, then the browser asks. Who allowed it already is only subscribed again. */
async function notifyMe() {
  try {
    const allowed = (await homing.permission()) === "granted";
    const outcome = allowed ? await homing.subscribe() : await homing.prompt({ force: true });
    note(typeof outcome === "string" ? `prompt: ${outcome}` : "subscribed");
  } catch (error) {
    note(`${error.code}: ${error.message}`);
  }
  showState();
}

async function stop() {
  await homing.unsubscribe().catch((error) => note(`${error.code}: ${error.message}`));
  showState();
}

byId("login").onsubmit = (event) => {
  event.preventDefault();
  const number = new FormData(event.target).get("user").trim();
  if (number) signIn(number);
};
byId("logout").onclick = signOut;
byId("checkout").onclick = checkOut;
byId("notify").onclick = notifyMe;
byId("stop").onclick = stop;
addEventListener("hashchange", viewed);

function viewed() {
  const record = RECORDS.find(({ product_id }) => product_id === location.hash.slice(1));
  if (record) tell("Product Viewed", { currency: CURRENCY, ...record });
}

showRecords();
showCart();
homing.push(["page", document.title]);
note("page");
viewed();
for (const name of ["subscribed", "unsubscribed", "notification-clicked"])
  homing.push(["on", name, () => { note(name); showState(); }]);
homing.push(showState);
