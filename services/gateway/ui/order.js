// The order that is shown: followed until it is settled, drawn, announced to screen readers, canceled on request.

import { sleep } from "./api.js";
import { byId, element, prefersReducedMotion, setText } from "./dom.js";
import { capitalize, contents, describe, duration, shortId } from "./format.js";
import { followOrder } from "./order-stream.js";
import * as saga from "./saga-model.js";

const TICK_MILLISECONDS = 100;
const EVENT_MILLISECONDS = 120;
const RESERVED_POLL_MILLISECONDS = 100;
const RESERVED_ATTEMPTS = 50;
const TITLE = "Saga suite";
const NO_ORDER = "Check out to see what each service does, live.";
const CONNECTIONS = {
  live: "Live updates.",
  reconnecting: "Connection lost; reconnecting …",
  polling: "Live updates are unavailable; polling every 2 s.",
  closed: "Complete: no further events.",
};
const OUTCOMES = {
  approved: { title: "Approved" },
  "reserve-failed": { title: "Out of stock", compensation: "Nothing was reserved or charged." },
  "payment-failed": { title: "Payment declined", compensation: "The reserved items were released." },
  canceled: { title: "Canceled", compensation: "Any reserved items were released and any charge was refunded." },
};

/** Shows one order at a time. */
export class Order {
  #events = [];
  #following = new AbortController();
  #isSettled = true;
  #notice = "";

  /** `onChange` is called with the orderid and what has become known of the order. */
  constructor(api, timeline, inventory, onChange) {
    Object.assign(this, { api, timeline, inventory, onChange });
    byId("cancel").addEventListener("click", () => this.cancel(this.orderid));
    setInterval(() => this.#showElapsed(), TICK_MILLISECONDS);
  }

  /**
   * Show an order; resolve once it is settled or another is shown. Rejects if it does not exist.
   * `atOnce`: whether its events are shown as they arrive, not one after another.
   */
  async show(orderid, atOnce) {
    this.#reset(orderid);
    const { signal } = this.#following;
    try {
      const { cart_items: items } = await this.api.get(`/v1/orders/${encodeURIComponent(orderid)}`, signal);
      if (signal.aborted) return;
      setText(byId("order-contents"), contents(items));
      this.onChange(orderid, { items });
      this.inventory.open(orderid, items);
      // One after another, each with the status that it leads to, even if they arrive together.
      const onEvent = (event) => this.#add(event, signal) && !atOnce && isAnimated() && sleep(EVENT_MILLISECONDS, signal);
      await followOrder(this.api, orderid, { signal, onEvent, onConnection: showConnection });
      this.#settle();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Show no order. */
  hide() {
    this.#reset("");
    this.inventory.close();
  }

  /** Cancel an order as soon as its items are reserved; one that is still open after a while, as it is. */
  async cancelReserved(orderid) {
    for (let attempt = 1; attempt <= RESERVED_ATTEMPTS; attempt += 1) {
      const { status } = await this.api.get(`/v1/orders/${encodeURIComponent(orderid)}`);
      if (status !== "pre-approved") break;
      await sleep(RESERVED_POLL_MILLISECONDS);
    }
    await this.cancel(orderid);
  }

  /** Cancel an order; if it is final already, say so. */
  async cancel(orderid) {
    try {
      await this.api.change("POST", `/v1/orders/${encodeURIComponent(orderid)}:cancel`);
    } catch (error) {
      if (error.status !== 409) throw error;
      this.#notice = "Too late to cancel: the order is already final.";
      this.#draw();
    }
  }

  #reset(orderid) {
    this.#following.abort();
    this.#following = new AbortController();
    this.orderid = orderid;
    this.#events = [];
    this.#notice = "";
    this.#isSettled = !orderid;
    this.timeline.clear(Boolean(orderid));
    byId("event-log").replaceChildren();
    byId("order").dataset.settled = "false";
    byId("order-title").textContent = orderid ? `Order ${shortId(orderid)}` : "No order yet";
    setText(byId("order-contents"), orderid ? " " : NO_ORDER);
    showConnection("");
    this.#draw();
  }

  /** Show an event; return whether it is new. */
  #add(event, signal) {
    if (this.#events.some((known) => saga.keyOf(known) === saga.keyOf(event))) return false;
    this.#events = saga.sortByTime([...this.#events, event]);
    this.#draw();
    this.#announce(event);
    this.inventory.onEvent(event, signal);
    this.onChange(this.orderid, { status: saga.statusOf(this.#events), time: this.#events[0].time });
    return true;
  }

  #settle() {
    this.#isSettled = true;
    showConnection("closed");
    this.#draw();
    byId("order").dataset.settled = "true";
  }

  #draw() {
    const status = this.#events.length ? saga.statusOf(this.#events) : "";
    Object.assign(byId("order-status").dataset, { status, class: saga.classOf(status) });
    setText(byId("order-status"), status);
    byId("cancel").hidden = !status || saga.isTerminal(status);
    this.timeline.show(this.#events, this.#isSettled);
    document.title = status ? `${shortId(this.orderid)} ${status} – ${TITLE}` : TITLE;
    const outcome = saga.isTerminal(status) ? this.#outcome(status) : "";
    setText(byId("outcome"), [outcome, this.#notice].filter(Boolean).join(" "));
    this.#showElapsed();
  }

  #outcome(status) {
    const { title, compensation } = OUTCOMES[status] ?? { title: `Order ${status}` };
    const summary = `${title} after ${duration(saga.durationOf(this.#events))}`;
    const reason = saga.classOf(status) === "failed" && saga.reasonOf(this.#events);
    const sentence = reason ? `${summary}: ${reason}.` : `${summary}.`;
    return compensation && this.#isSettled ? `${sentence} ${compensation}` : sentence;
  }

  #showElapsed() {
    const elapsed = this.#events.length ? duration(saga.durationOf(this.#events, Date.now())) : "";
    setText(byId("order-elapsed"), elapsed);
  }

  #announce(event) {
    const latency = saga.latencyOf(event, this.#events);
    const after = latency === undefined ? "" : ` after ${duration(latency)}`;
    const text = `${capitalize(event.service)}: ${event.status}${after}. ${describe(event)}`;
    byId("event-log").append(element("p", {}, text));
  }
}

const isAnimated = () => !document.hidden && !prefersReducedMotion();

function showConnection(state) {
  byId("connection").dataset.state = state;
  setText(byId("connection"), CONNECTIONS[state] ?? "");
}
