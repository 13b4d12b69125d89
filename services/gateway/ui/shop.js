// The shop: what there is, how many of it are wanted, and what that comes to.

import { byId, drawing, element, flash, say } from "./dom.js";
import * as memory from "./memory.js";
import { capital, count, money } from "./words.js";

const MOST_PIECES = 99;
// Colours that go with the page; any other item gets one of its own by its name.
const HUES = { blue: 225, red: 5, yellow: 47, gold: 36, green: 145, white: 210, black: 220 };

/** A parcel in the colour of the item. */
export function parcel(itemid) {
  const hue = HUES[itemid] ?? [...itemid].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 360, 7);
  const faces = [
    ["top", "M12 2.500 21 7 12 11.500 3 7Z"],
    ["left", "M3 7 12 11.500V21.500L3 17Z"],
    ["right", "M21 7 12 11.500V21.500L21 17Z"],
  ];
  return drawing(
    "svg",
    { class: "parcel", viewBox: "0 0 24 24", "aria-hidden": "true", style: { "--hue": hue } },
    ...faces.map(([face, d]) => drawing("path", { class: face, d })),
  );
}

/** The list of items with the cart beneath it. */
export class Shop {
  pieces = memory.cart();
  #rows = new Map();
  #busy = false;

  /** `onCheckOut` is called with the pieces by itemid; the cart is empty again once it resolves. */
  constructor(catalogue, onCheckOut) {
    this.catalogue = catalogue;
    catalogue.onChange((items) => this.#show(items));
    byId("check-out").addEventListener("click", () => this.#checkOut(onCheckOut));
    byId("more").addEventListener("click", () => catalogue.list());
  }

  #show(items) {
    for (const item of items) {
      const row = this.#rows.get(item.itemid) ?? this.#add(item.itemid);
      row.dataset.soldOut = item.available === 0;
      const stock = row.querySelector(".stock");
      const said = item.available ? `${count(item.available)} left` : "sold out";
      if (stock.textContent && stock.textContent !== said) flash(stock);
      stock.textContent = said;
      row.querySelector(".price").textContent = item.waives_payment ? "free" : money(item.price);
    }
    byId("more").hidden = !this.catalogue.hasMore;
    this.#total();
  }

  #add(itemid) {
    const name = element("span", { class: "name" }, capital(itemid));
    const facts = element("span", { class: "facts" }, element("span", { class: "price" }), element("span", { class: "stock" }));
    const row = element(
      "li",
      { class: "item", data: { item: itemid } },
      parcel(itemid),
      element("div", { class: "what" }, name, facts),
      this.#stepper(itemid),
    );
    this.#rows.set(itemid, row);
    byId("items").append(row);
    return row;
  }

  #stepper(itemid) {
    const step = (by, sign, word) =>
      element(
        "button",
        { type: "button", class: "step", "aria-label": `${word} ${itemid}`, onclick: () => this.#put(itemid, by) },
        sign,
      );
    const wanted = element("output", { "aria-label": `${capital(itemid)} in the cart` }, String(this.pieces[itemid] ?? 0));
    return element("div", { class: "stepper" }, step(-1, "−", "Remove a piece of"), wanted, step(1, "+", "Add a piece of"));
  }

  #put(itemid, by) {
    const wanted = Math.min(Math.max((this.pieces[itemid] ?? 0) + by, 0), MOST_PIECES);
    this.pieces = { ...this.pieces, [itemid]: wanted };
    if (!wanted) delete this.pieces[itemid];
    this.#rows.get(itemid).querySelector("output").textContent = String(wanted);
    memory.keepCart(this.pieces);
    this.#total();
  }

  #total() {
    const wanted = Object.entries(this.pieces).filter(([itemid]) => this.catalogue.items.has(itemid));
    const number = wanted.reduce((sum, [, pieces]) => sum + pieces, 0);
    const sum = wanted.reduce((total, [itemid, pieces]) => total + pieces * this.catalogue.items.get(itemid).price, 0);
    const free = wanted.some(([itemid]) => this.catalogue.items.get(itemid).waives_payment);
    const what = `${number} ${number === 1 ? "piece" : "pieces"}`;
    say(byId("cart"), number ? `${what}, ${free ? "nothing to pay" : money(sum)}` : "The cart is empty");
    byId("check-out").disabled = !number;
    // Not disabled, or whoever has pressed it by keyboard would be sent back to the start.
    byId("check-out").setAttribute("aria-disabled", this.#busy);
  }

  async #checkOut(onCheckOut) {
    if (this.#busy) return;
    this.#busy = true;
    this.#total();
    try {
      await onCheckOut(this.pieces);
      for (const itemid of Object.keys(this.pieces)) this.#put(itemid, -MOST_PIECES);
    } finally {
      this.#busy = false;
      this.#total();
    }
  }
}
