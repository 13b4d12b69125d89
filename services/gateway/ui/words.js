// How things are said: durations, sums, ids, and what each move means.

export const SERVICES = ["purchase", "stock", "payment", "delivery"];

/** What each service is there for. */
export const DUTIES = {
  purchase: "keeps the ticket",
  stock: "holds the items",
  payment: "charges for them",
  delivery: "sends them",
};

const MEANINGS = {
  "purchase.pre-approved": "The order is open.",
  "purchase.approved": "The order is approved: no way back.",
  "purchase.reserve-failed": "The order is closed: it cannot be had.",
  "purchase.payment-failed": "The order is closed: it was not paid.",
  "purchase.canceled": "The order is called off.",
  "stock.reserved": "The items are held for the order.",
  "stock.reserve-failed": "The items are not there.",
  "stock.paid": "The items are held, and need not be paid.",
  "stock.sold": "The items are sold.",
  "stock.released": "The items are given back.",
  "payment.paid": "The sum is charged.",
  "payment.payment-failed": "The charge was declined.",
  "payment.settled": "The charge is settled.",
  "payment.canceled": "Whatever was charged is given back.",
  "delivery.delivery-arranged": "The items are on their way.",
};

export const meaning = (move) => MEANINGS[`${move.service}.${move.status}`] ?? "";

export const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1);

/** The first part of an orderid: enough to tell those of one browser apart. */
export const short = (orderid) => orderid.slice(0, 8);

/** An amount in minor units as people write it. */
export const money = (amount) =>
  (amount / 100).toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const count = (number) => number.toLocaleString("en");

/** Milliseconds, as exact as they matter. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const minutes = Math.floor(milliseconds / 60_000);
  return `${minutes} min ${Math.floor((milliseconds % 60_000) / 1000)} s`;
}

/** What is in an order: "3 blue, 1 red". */
export const contents = (items) => items.map((each) => `${each.count} ${each.itemid}`).join(", ");

/** The time of day at which something happened, to the millisecond. */
export function moment(time) {
  const at = new Date(time);
  const clock = at.toLocaleTimeString("en-GB");
  return `${clock}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
