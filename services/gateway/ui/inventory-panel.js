// The panel beside an order: the stock of its items, and its payment.

import { byId, element, flash } from "./dom.js";
import { capitalize, count, money } from "./format.js";

const STOCK_COLUMNS = ["available", "reserved", "sold"];
const PAYMENT_ROWS = { status: "Payment", amount: "Amount", refunded: "Refunded" };

/** Read again after each event of stock or payment. */
export class InventoryPanel {
  #itemids = [];
  #cells = new Map();
  #lastRequest = 0;
  #shownRequest = 0;

  constructor(api, catalogue) {
    Object.assign(this, { api, catalogue });
    catalogue.onChange((items) => this.#showStock(items));
  }

  /** Show an order's items and payment. */
  open(orderid, items) {
    this.orderid = orderid;
    this.#itemids = [...new Set(items.map((item) => item.itemid))];
    this.#cells.clear();
    byId("inventory-panel").replaceChildren(this.#stockTable(), this.#paymentList());
    byId("inventory-panel").hidden = false;
    this.#showStock(this.catalogue.items.values());
    this.#showPayment({ status: "nothing charged" });
    return this.catalogue.refresh(this.#itemids);
  }

  close() {
    byId("inventory-panel").hidden = true;
    this.orderid = undefined;
  }

  async onEvent(event, signal) {
    if (event.service === "stock") await this.catalogue.refresh(this.#itemids);
    if (event.service === "payment") await this.#readPayment(signal);
  }

  async #readPayment(signal) {
    const { orderid } = this;
    const request = ++this.#lastRequest;
    try {
      const { payment } = await this.api.query("/payment/api/get_payment", { orderid }, signal);
      if (this.orderid !== orderid || request < this.#shownRequest) return;
      this.#shownRequest = request;
      this.#showPayment(payment);
    } catch {
      // Additional information only: it is read again after the next event.
    }
  }

  #showStock(items) {
    for (const item of items) {
      for (const column of STOCK_COLUMNS) this.#write(`${item.itemid}.${column}`, count(item[column]));
    }
  }

  #showPayment({ status, amount, refunded }) {
    this.#write("payment.status", status);
    this.#write("payment.amount", amount === undefined ? "–" : money(amount));
    this.#write("payment.refunded", refunded ? money(refunded) : "–");
  }

  #write(field, text) {
    const cell = this.#cells.get(field);
    if (!cell || cell.textContent === text) return;
    if (cell.textContent) flash(cell);
    cell.textContent = text;
  }

  #stockTable() {
    const head = ["Stock", ...STOCK_COLUMNS].map((title) => element("th", { scope: "col" }, title));
    const rows = this.#itemids.map((itemid) => {
      const cells = STOCK_COLUMNS.map((column) => this.#cell("td", `${itemid}.${column}`));
      return element("tr", {}, element("th", { scope: "row" }, capitalize(itemid)), ...cells);
    });
    const body = element("tbody", {}, ...rows);
    return element("table", { class: "record" }, element("thead", {}, element("tr", {}, ...head)), body);
  }

  #paymentList() {
    const rows = Object.entries(PAYMENT_ROWS).map(([field, title]) =>
      element("div", {}, element("dt", {}, title), this.#cell("dd", `payment.${field}`)),
    );
    return element("dl", { class: "record" }, ...rows);
  }

  #cell(tag, field) {
    const cell = element(tag, { data: { field } });
    this.#cells.set(field, cell);
    return cell;
  }
}
