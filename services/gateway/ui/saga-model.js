// The model of an order: what its events mean together, by the vocabulary that the gateway takes from the contract.

import { money } from "./format.js";

const vocabulary = await (await fetch("/ui/vocabulary.json")).json();

const REASONS = {
  client: "at the customer's request",
  timeout: "the deadline passed",
  "too-many-items": "too many different items",
};
// In minor units of the currency, like every amount in events.
const ABOVE_LIMIT = /^(\d+) is above the limit of (\d+)$/;
// Follows from a request or the deadline, not from an event: never awaited.
const CANCELLATION = "purchase.canceled";

export const services = vocabulary.services;

/** The class of an order's status: "open", "approved" or "failed". */
export const classOf = (status) => vocabulary.statuses[status]?.class;

export const isTerminal = (status) => vocabulary.terminal.includes(status);

/** The events (`service.status`) that can cause an event. */
export const causesOf = (key) => vocabulary.causes[key] ?? [];

/** Identifies an event within its order: a service publishes each status once. */
export const keyOf = (event) => `${event.service}.${event.status}`;

/** The service that published the event recorded by an entry of a ticket's history. */
export const publisherOf = (status) =>
  ["purchase", ...services].find((service) => vocabulary.published_by[service].includes(status)) ?? "purchase";

/** "success", "failure" or "compensation". */
export function kindOf(event) {
  const isFailure = (status) => vocabulary.failed.includes(status);
  const causes = causesOf(keyOf(event));
  if (causes.length && causes.every((cause) => isFailure(cause.replace(/^purchase\./, "")))) return "compensation";
  return isFailure(event.status) ? "failure" : "success";
}

const finalEvent = (events) => events.findLast((event) => event.service === "purchase" && isTerminal(event.status));

/** The terminal status, or undefined while the order is open. */
export const finalStatus = (events) => finalEvent(events)?.status;

export const statusOf = (events) =>
  finalStatus(events) ?? (events.some((event) => event.status === "reserved") ? "reserved" : "pre-approved");

/** Sorted by the services' clocks. */
export const sortByTime = (events) => [...events].sort((one, other) => Date.parse(one.time) - Date.parse(other.time));

/** The earlier event that caused this one, or undefined. */
export function causeOf(event, events) {
  const causes = causesOf(keyOf(event));
  return events.slice(0, events.indexOf(event)).findLast((earlier) => causes.includes(keyOf(earlier)));
}

/** Milliseconds since the cause; at least 0, because the services' clocks can differ. */
export function latencyOf(event, events) {
  const cause = causeOf(event, events);
  return cause && Math.max(0, Date.parse(event.time) - Date.parse(cause.time));
}

/** The trace of an event; without one of its own, the trace of its cause. */
export function traceOf(event, events) {
  const cause = causeOf(event, events);
  return event.trace_id ?? (cause && traceOf(cause, events));
}

/** The services whose next event is still to come. */
export function awaitedServices(events) {
  if (!events.length) return ["purchase"];
  const known = new Set(events.map(keyOf));
  const final = finalStatus(events);
  const triggers = final ? [`purchase.${final}`] : [...known];
  const isPending = (service, trigger) => {
    const replies = Object.keys(vocabulary.causes).filter(
      (key) => key !== CANCELLATION && key.startsWith(`${service}.`) && causesOf(key).includes(trigger),
    );
    return replies.length > 0 && !replies.some((key) => known.has(key));
  };
  return services.filter(
    (service) => !hasNothingToSettle(service, events, known) && triggers.some((trigger) => isPending(service, trigger)),
  );
}

/** A rejected reservation or charge has nothing to settle; nor has payment if the items waive it. */
function hasNothingToSettle(service, events, known) {
  const own = events.filter((event) => event.service === service);
  const isRejected = service !== "purchase" && own.some((event) => kindOf(event) === "failure");
  return isRejected || (service === "payment" && known.has("stock.paid"));
}

/** Milliseconds from the first event to the final one, or to `now` while the order is open. */
export function durationOf(events, now) {
  const final = finalEvent(events);
  return Math.max(0, (final ? Date.parse(final.time) : now) - Date.parse(events[0].time));
}

/** Why the order failed, as text, or undefined. */
export function reasonOf(events) {
  const sources = finalStatus(events) === "canceled" ? ["purchase"] : ["stock", "payment", "purchase"];
  const reasons = sources.flatMap((service) => events.filter((event) => event.service === service && event.reason));
  const reason = reasons[0]?.reason;
  const withMoney = (_, amount, limit) => `${money(amount)} is above the limit of ${money(limit)}`;
  return REASONS[reason] ?? reason?.replace(/^(sold-out|declined): /, "").replace(ABOVE_LIMIT, withMoney);
}
