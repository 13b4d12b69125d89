// What the moves of an order mean together: in which order they came, which caused which, who is next.

const CLOSED = new Set(["approved", "reserve-failed", "payment-failed", "canceled"]);
const AFTER_PAYMENT = ["payment.paid", "payment.payment-failed", "stock.paid", "stock.reserve-failed"];

export const wordOf = (move) => `${move.service}.${move.status}`;

/** How the ticket was closed, or undefined. */
export const closed = (moves) =>
  moves.findLast((move) => move.service === "purchase" && CLOSED.has(move.status))?.status;

/** The ticket's status, as far as the moves tell. */
export const statusOf = (moves) =>
  closed(moves) ?? (moves.some((move) => move.status === "reserved") ? "reserved" : "pre-approved");

/** In the order in which they happened, by the clocks of the services. */
export function inTime(moves) {
  return [...moves].sort((one, other) => Date.parse(one.time) - Date.parse(other.time));
}

/** The one among the earlier moves that caused it, or undefined. */
export function causeOf(move, moves) {
  const words = causesOf(move);
  const earlier = moves.slice(0, moves.indexOf(move));
  return earlier.findLast((each) => words.includes(wordOf(each)));
}

/** Milliseconds since the move that caused it; clocks may differ, but nothing precedes its cause. */
export function gapOf(move, moves) {
  const cause = causeOf(move, moves);
  return cause && Math.max(0, Date.parse(move.time) - Date.parse(cause.time));
}

/** The trace a move happened in: where nobody could say, that of what caused it, which it is part of. */
export function traceOf(move, moves) {
  const cause = causeOf(move, moves);
  return move.trace_id ?? (cause && traceOf(cause, moves));
}

/** The services from which a move is still to come. */
export function awaited(moves) {
  const known = new Set(moves.map(wordOf));
  const end = closed(moves);
  if (!moves.length) return ["purchase"];
  if (end === "approved") return awaitedOfApproved(known);
  if (end) return awaitedOfFailed(end, known);
  if (AFTER_PAYMENT.some((word) => known.has(word))) return ["purchase"];
  return known.has("stock.reserved") ? ["payment"] : ["stock"];
}

/** How long it took, in milliseconds: from the first move to the one that closed the ticket, else to `now`. */
export function tookOf(moves, now) {
  const begin = Date.parse(moves[0].time);
  const end = moves.findLast((move) => move.service === "purchase" && CLOSED.has(move.status));
  return Math.max(0, (end ? Date.parse(end.time) : now) - begin);
}

const SAID_SHORTLY = { client: "as the customer asked", timeout: "it took too long" };

/** Why it came to that, in the words of whoever said so. */
export function reasonOf(moves) {
  const order = closed(moves) === "canceled" ? ["purchase"] : ["stock", "payment", "purchase"];
  const reason = order.flatMap((service) => moves.filter((each) => each.service === service && each.reason))[0]?.reason;
  return SAID_SHORTLY[reason] ?? reason;
}

function causesOf(move) {
  const causes = {
    "purchase.pre-approved": [],
    "purchase.approved": ["payment.paid", "stock.paid"],
    "purchase.reserve-failed": ["stock.reserve-failed"],
    "purchase.payment-failed": ["payment.payment-failed"],
    "purchase.canceled": ["purchase.pre-approved"],
    "stock.reserved": ["purchase.pre-approved"],
    "stock.paid": ["purchase.pre-approved"],
    "stock.reserve-failed": ["purchase.pre-approved"],
    "payment.paid": ["stock.reserved"],
    "payment.payment-failed": ["stock.reserved"],
  };
  return causes[wordOf(move)] ?? [...CLOSED].map((status) => `purchase.${status}`);
}

function awaitedOfApproved(known) {
  return [
    ...(known.has("stock.sold") ? [] : ["stock"]),
    ...(known.has("payment.settled") || known.has("stock.paid") ? [] : ["payment"]),
    ...(known.has("delivery.delivery-arranged") ? [] : ["delivery"]),
  ];
}

function awaitedOfFailed(end, known) {
  const stockIsDone = known.has("stock.released") || known.has("stock.reserve-failed");
  const paymentIsDone =
    end === "reserve-failed" || known.has("payment.canceled") || known.has("payment.payment-failed");
  return [...(stockIsDone ? [] : ["stock"]), ...(paymentIsDone ? [] : ["payment"])];
}
