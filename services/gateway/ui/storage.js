// Browser storage: the recent orders; until the tab is closed the cart, checkouts without an answer, and the token.

const ORDERS = "saga.orders";
const CART = "saga.cart";
const CHECKOUTS = "saga.checkouts";
const TOKEN = "saga.token";
const MAX_ORDERS = 12;

/** Recent orders as `{orderid, items, status, time}`, newest first. */
export const orders = () => load(localStorage, ORDERS, []);

/** Update an order with `changes`, or add it as the newest. */
export function saveOrder(orderid, changes) {
  const saved = orders();
  const known = saved.some((order) => order.orderid === orderid);
  const updated = known
    ? saved.map((order) => (order.orderid === orderid ? { ...order, ...changes } : order))
    : [{ orderid, ...changes }, ...saved];
  save(localStorage, ORDERS, updated.slice(0, MAX_ORDERS));
}

export const removeOrder = (orderid) =>
  save(localStorage, ORDERS, orders().filter((order) => order.orderid !== orderid));

/** Remove everything, so that the next user of this browser sees nothing of this one. */
export function clear() {
  save(localStorage, ORDERS, []);
  saveCart({});
  save(sessionStorage, CHECKOUTS, {});
  saveToken(null);
}

/** Quantities by itemid. */
export const cart = () => load(sessionStorage, CART, {});

export const saveCart = (quantities) => save(sessionStorage, CART, quantities);

/** A checkout that has no answer yet, as `{cartid, quantities}`, or undefined. */
export const checkout = (name) => load(sessionStorage, CHECKOUTS, {})[name];

/** Save a checkout, or undefined once it is answered. */
export const saveCheckout = (name, begun) =>
  save(sessionStorage, CHECKOUTS, { ...load(sessionStorage, CHECKOUTS, {}), [name]: begun });

export const token = () => load(sessionStorage, TOKEN, null);

export const saveToken = (token) => save(sessionStorage, TOKEN, token);

// Storage can be disabled or full; the page then works without it.
function load(storage, name, fallback) {
  try {
    return JSON.parse(storage.getItem(name)) ?? fallback;
  } catch {
    return fallback;
  }
}

function save(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch {
    // Disabled or full.
  }
}
