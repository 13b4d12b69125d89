// Formats values for people: durations, amounts, ids, and a sentence for each event.

/** What each service does; shown beside its name. */
export const ROLES = {
  purchase: "owns the order",
  stock: "reserves items",
  payment: "takes payment",
  delivery: "ships the items",
};

const DESCRIPTIONS = {
  "purchase.pre-approved": "Order opened.",
  "purchase.approved": "Order approved; it can no longer be canceled.",
  "purchase.reserve-failed": "Order failed: out of stock.",
  "purchase.payment-failed": "Order failed: payment declined.",
  "purchase.canceled": "Order canceled.",
  "stock.reserved": "Items reserved.",
  "stock.reserve-failed": "Not enough stock.",
  "stock.paid": "Items reserved; no payment needed.",
  "stock.sold": "Items sold.",
  "stock.released": "Reserved items released.",
  "payment.paid": "Amount charged.",
  "payment.payment-failed": "Charge declined.",
  "payment.settled": "Charge settled.",
  "payment.canceled": "Any charge was refunded.",
  "delivery.delivery-arranged": "Delivery arranged.",
};

export const describe = (event) => DESCRIPTIONS[`${event.service}.${event.status}`] ?? "";

export const capitalize = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** The first eight characters of an orderid: enough to tell the orders of one browser apart. */
export const shortId = (orderid) => orderid.slice(0, 8);

/** An amount in minor units, with two decimals. */
export const money = (amount) =>
  (amount / 100).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (number) => number.toLocaleString("en");

/** Milliseconds as text: "12 ms", "3.4 s", "2 min 5 s". */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  return `${minutes} min ${Math.floor((milliseconds % 60_000) / 1000)} s`;
}

/** The items of an order: "3 blue, 1 red". */
export const contents = (items) => items.map((item) => `${item.count} ${item.itemid}`).join(", ");

/** The time of day with milliseconds. */
export function timeOfDay(time) {
  const date = new Date(time);
  return `${date.toLocaleTimeString("en-GB")}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
