// What this browser remembers: its latest orders, the cart, and the token until the tab is closed.

const ORDERS = "saga.orders";
const CART = "saga.cart";
const TOKEN = "saga.token";
const MOST_ORDERS = 12;

/** Each `{orderid, items, status, time, rest}`, the latest first. */
export const orders = () => recall(localStorage, ORDERS, []);

/** Writes down what is known of an order; one that is not known comes first. */
export function note(orderid, known) {
  const before = orders();
  const found = before.find((each) => each.orderid === orderid);
  const after = found
    ? before.map((each) => (each === found ? { ...each, ...known } : each))
    : [{ orderid, ...known }, ...before];
  keep(localStorage, ORDERS, after.slice(0, MOST_ORDERS));
}

export function forget(orderid) {
  keep(localStorage, ORDERS, orders().filter((each) => each.orderid !== orderid));
}

/** Nothing is known of anybody any more. */
export function forgetAll() {
  keep(localStorage, ORDERS, []);
  keepCart({});
  keepToken(null);
}

/** Pieces by itemid. */
export const cart = () => recall(sessionStorage, CART, {});

export const keepCart = (pieces) => keep(sessionStorage, CART, pieces);

export const token = () => recall(sessionStorage, TOKEN, null);

export const keepToken = (given) => keep(sessionStorage, TOKEN, given);

// A browser may refuse to remember anything; then the page does without.
function recall(storage, name, otherwise) {
  try {
    return JSON.parse(storage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(storage, name, value) {
  try {
    storage.setItem(name, JSON.stringify(value));
  } catch {
    // Full, or not allowed.
  }
}
