// The list of recent orders, as stored in this browser.

import { byId, element } from "./dom.js";
import { contents, shortId } from "./format.js";
import { classOf, isTerminal } from "./saga-model.js";
import { parcel } from "./shop.js";
import * as storage from "./storage.js";

export class RecentOrders {
  current = "";

  constructor(api) {
    this.api = api;
  }

  /** Store what has become known of an order, and show it. */
  save(orderid, changes) {
    storage.saveOrder(orderid, changes);
    this.show(this.current);
  }

  /** Whether an order was final when last seen. */
  isFinal(orderid) {
    return storage.orders().some((order) => order.orderid === orderid && isTerminal(order.status));
  }

  /** Show the list, with `current` marked. */
  show(current) {
    this.current = current;
    const orders = storage.orders();
    byId("orders").replaceChildren(...orders.map((order) => this.#row(order)));
    byId("no-orders").hidden = orders.length > 0;
  }

  /** Read the orders that were open when last seen; remove those that no longer exist. */
  async refresh() {
    for (const { orderid } of storage.orders().filter((order) => !isTerminal(order.status))) {
      try {
        const { status, cart_items: items } = await this.api.get(`/v1/orders/${encodeURIComponent(orderid)}`);
        this.save(orderid, { status, items });
      } catch (error) {
        if (error.status === 404) storage.removeOrder(orderid);
      }
    }
    this.show(this.current);
  }

  #row({ orderid, items = [], status = "pre-approved", time }) {
    const parcels = items.slice(0, 3).map((item) => parcel(item.itemid));
    const attributes = { href: `#${orderid}`, data: { orderid }, "aria-current": orderid === this.current && "true" };
    const link = element(
      "a",
      attributes,
      element("span", { class: "parcels", "aria-hidden": "true" }, ...parcels),
      element("span", { class: "contents" }, contents(items) || "…"),
      element("code", {}, shortId(orderid)),
      element("time", { datetime: time }, time ? new Date(time).toLocaleTimeString("en-GB") : ""),
      element("span", { class: "pill", data: { status, class: classOf(status) } }, status),
    );
    return element("li", {}, link);
  }
}
