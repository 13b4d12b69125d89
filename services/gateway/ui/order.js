// The order that is looked at: followed to its end, drawn, told to those who listen, and canceled on demand.

import { Problem } from "./api.js";
import { byId, element, say } from "./dom.js";
import { follow } from "./follow.js";
import { closed, gapOf, inTime, reasonOf, statusOf, tookOf, wordOf } from "./journey.js";
import { capital, contents, duration, meaning, short } from "./words.js";

const TICK_MILLISECONDS = 100;
const WAYS = {
  live: "Live: each move as it happens.",
  broken: "The connection broke off; trying again …",
  reading: "No stream gets through: the history is read every 2 s.",
  over: "Nothing more will happen.",
};
const OUTCOMES = {
  approved: "Approved",
  "reserve-failed": "Cannot be had",
  "payment-failed": "Not paid",
  canceled: "Canceled",
};

/** Shows one order at a time. */
export class Order {
  #moves = [];
  #following = new AbortController();
  #isOver = true;
  #remark = "";

  /** `onNews` is called whenever something became known that is worth writing down. */
  constructor(api, lanes, books, onNews) {
    Object.assign(this, { api, lanes, books, onNews });
    byId("cancel").addEventListener("click", () => this.cancel(this.orderid));
    setInterval(() => this.#tick(), TICK_MILLISECONDS);
  }

  /** Follows the order to its end; resolves then, or once another is shown. Rejects where there is none. */
  async show(orderid) {
    this.#begin(orderid);
    const { signal } = this.#following;
    try {
      const ticket = await this.api.get(`/v1/orders/${encodeURIComponent(orderid)}`, signal);
      if (signal.aborted) return;
      say(byId("order-what"), contents(ticket.cart_items));
      this.onNews(orderid, { items: ticket.cart_items });
      this.books.open(orderid, ticket.cart_items);
      await follow(this.api, orderid, { signal, onMove: (move) => this.#take(move), onWay: (way) => this.#way(way) });
      this.#end();
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** Shows none. */
  hide() {
    this.#begin("");
    this.books.close();
  }

  /** Calls the order off, if it still can be. */
  async cancel(orderid) {
    try {
      await this.api.change("POST", `/v1/orders/${encodeURIComponent(orderid)}:cancel`);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 409) throw error;
      this.#remark = "Too late to cancel: it was decided before.";
      this.#draw();
    }
  }

  #begin(orderid) {
    this.#following.abort();
    this.#following = new AbortController();
    Object.assign(this, { orderid });
    this.#moves = [];
    this.#remark = "";
    this.#isOver = !orderid;
    this.lanes.clear(Boolean(orderid));
    byId("moves-log").replaceChildren();
    byId("order").dataset.over = "false";
    byId("order-title").textContent = orderid ? `Order ${short(orderid)}` : "No order yet";
    say(byId("order-what"), orderid ? " " : "Check out, and each service’s move is drawn here as it happens.");
    this.#way("");
    this.#draw();
  }

  #take(move) {
    if (this.#moves.some((each) => wordOf(each) === wordOf(move))) return;
    this.#moves = inTime([...this.#moves, move]);
    this.#draw();
    this.#tell(move);
    this.books.heard(move, this.#following.signal);
    this.onNews(this.orderid, { status: statusOf(this.#moves), time: this.#moves[0].time });
  }

  #end() {
    this.#isOver = true;
    this.#way("over");
    this.#draw();
    byId("order").dataset.over = "true";
    this.onNews(this.orderid, { status: statusOf(this.#moves), isOver: true });
  }

  #draw() {
    const status = this.#moves.length ? statusOf(this.#moves) : "";
    const end = closed(this.#moves);
    byId("order").dataset.status = status;
    byId("order-status").dataset.status = status;
    say(byId("order-status"), status);
    byId("cancel").hidden = !status || Boolean(end);
    this.lanes.show(this.#moves, this.#isOver);
    document.title = status ? `${short(this.orderid)} ${status} – Saga suite` : "Saga suite";
    const how = end ? this.#outcome(end) : "";
    say(byId("outcome"), [how, this.#remark].filter(Boolean).join(" "));
    this.#tick();
  }

  #outcome(end) {
    const took = `${OUTCOMES[end]} after ${duration(tookOf(this.#moves))}`;
    if (end === "approved") return `${took}.`;
    const why = reasonOf(this.#moves);
    return `${took}${why ? `: ${why}` : ""}.${this.#isOver ? " All that was taken is given back." : ""}`;
  }

  #tick() {
    const [first] = this.#moves;
    say(byId("order-elapsed"), first ? duration(tookOf(this.#moves, Date.now())) : "");
  }

  #way(way) {
    byId("connection").dataset.way = way;
    say(byId("connection"), WAYS[way] ?? "");
  }

  #tell(move) {
    const gap = gapOf(move, this.#moves);
    const after = gap === undefined ? "" : ` after ${duration(gap)}`;
    const said = `${capital(move.service)}: ${move.status}${after}. ${meaning(move)}`;
    byId("moves-log").append(element("p", {}, said));
  }
}
