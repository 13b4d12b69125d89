// What stands in the books beside an order: the stock of its items, and its payment.

import { byId, element, flash } from "./dom.js";
import { capital, count, money } from "./words.js";

const STOCK = ["available", "reserved", "sold"];

/** Looks the books up again whenever stock or payment moved. */
export class Books {
  #itemids = [];
  #cells = new Map();
  #asked = 0;
  #answered = 0;

  constructor(api, catalogue) {
    this.api = api;
    this.catalogue = catalogue;
    catalogue.onChange((items) => this.#showStock(items));
  }

  /** Of another order, which has those items. */
  open(orderid, items) {
    this.orderid = orderid;
    this.#itemids = [...new Set(items.map((each) => each.itemid))];
    this.#cells.clear();
    byId("books").replaceChildren(this.#stockTable(), this.#paymentList());
    byId("books").hidden = false;
    this.#showStock(this.catalogue.items.values());
    this.#showPayment({ status: "nothing charged" });
    return this.catalogue.refresh(this.#itemids);
  }

  close() {
    byId("books").hidden = true;
    this.orderid = undefined;
  }

  /** A move may have changed them. */
  async heard(move, signal) {
    if (move.service === "stock") await this.catalogue.refresh(this.#itemids);
    if (move.service === "payment") await this.#lookAtPayment(signal);
  }

  async #lookAtPayment(signal) {
    const { orderid } = this;
    const asked = ++this.#asked;
    try {
      const { payment } = await this.api.ask("/payment/api/get_payment", { orderid }, signal);
      if (this.orderid !== orderid || asked < this.#answered) return;
      this.#answered = asked;
      this.#showPayment(payment);
    } catch {
      // Beside an order, not in its way: it is looked up again at the next move.
    }
  }

  #showStock(items) {
    for (const item of items) {
      for (const column of STOCK) this.#write(`${item.itemid}.${column}`, count(item[column]));
    }
  }

  #showPayment(payment) {
    this.#write("payment.status", payment.status);
    this.#write("payment.amount", payment.amount === undefined ? "–" : money(payment.amount));
    this.#write("payment.refunded", payment.refunded ? money(payment.refunded) : "–");
  }

  #write(name, text) {
    const cell = this.#cells.get(name);
    if (!cell || cell.textContent === text) return;
    if (cell.textContent) flash(cell);
    cell.textContent = text;
  }

  #stockTable() {
    const head = element("tr", {}, element("th", { scope: "col" }, "Stock"), ...STOCK.map((each) => element("th", { scope: "col" }, each)));
    const rows = this.#itemids.map((itemid) =>
      element("tr", {}, element("th", { scope: "row" }, capital(itemid)), ...STOCK.map((each) => this.#cell("td", `${itemid}.${each}`))),
    );
    return element("table", { class: "book", id: "stock-book" }, element("thead", {}, head), element("tbody", {}, ...rows));
  }

  #paymentList() {
    const rows = [["Payment", "status"], ["Amount", "amount"], ["Given back", "refunded"]].map(([term, name]) =>
      element("div", {}, element("dt", {}, term), this.#cell("dd", `payment.${name}`)),
    );
    return element("dl", { class: "book", id: "payment-book" }, ...rows);
  }

  #cell(tag, name) {
    const cell = element(tag, { data: { book: name } });
    this.#cells.set(name, cell);
    return cell;
  }
}
