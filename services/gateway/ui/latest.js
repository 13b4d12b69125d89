// The list of the latest orders, as this browser remembers them.

import { byId, element } from "./dom.js";
import * as memory from "./memory.js";
import { parcel } from "./shop.js";
import { contents, short } from "./words.js";

const ENDED = new Set(["approved", "reserve-failed", "payment-failed", "canceled"]);

/** A link for each order; the one that is shown is the current one. */
export class Latest {
  current = "";

  constructor(api) {
    this.api = api;
  }

  /** Writes down what became known of an order. */
  note(orderid, known) {
    memory.note(orderid, known);
    this.show(this.current);
  }

  show(current) {
    this.current = current;
    const orders = memory.orders();
    byId("orders").replaceChildren(...orders.map((order) => this.#row(order)));
    byId("no-orders").hidden = orders.length > 0;
  }

  /** Asks how those do that had not ended when they were seen last; forgets what is not there any more. */
  async catchUp() {
    const open = memory.orders().filter((order) => !ENDED.has(order.status));
    for (const { orderid } of open) {
      try {
        const { status, cart_items: items } = await this.api.get(`/v1/orders/${encodeURIComponent(orderid)}`);
        this.note(orderid, { status, items });
      } catch (error) {
        if (error.status === 404) memory.forget(orderid);
      }
    }
    this.show(this.current);
  }

  #row({ orderid, items = [], status = "pre-approved", time }) {
    const isCurrent = orderid === this.current;
    return element(
      "li",
      {},
      element(
        "a",
        { href: `#${orderid}`, data: { orderid }, "aria-current": isCurrent ? "true" : undefined },
        element("span", { class: "parcels", "aria-hidden": "true" }, ...items.slice(0, 3).map((each) => parcel(each.itemid))),
        element("span", { class: "what" }, contents(items) || "…"),
        element("code", {}, short(orderid)),
        element("time", { datetime: time }, time ? new Date(time).toLocaleTimeString("en-GB") : ""),
        element("span", { class: "pill", data: { status } }, status),
      ),
    );
  }
}
