// The shop: items with their price and stock, the cart, and checkout.

import { newKey } from "./api.js";
import { byId, element, flash, setText, svgElement } from "./dom.js";
import { capitalize, count, money } from "./format.js";
import * as storage from "./storage.js";

const MAX_QUANTITY = 99;
// Any other item's hue is derived from its name.
const HUES = { blue: 225, red: 5, yellow: 47, gold: 36, green: 145, white: 210, black: 220 };
const PARCEL_FACES = {
  top: "M12 2.500 21 7 12 11.500 3 7Z",
  left: "M3 7 12 11.500V21.500L3 17Z",
  right: "M21 7 12 11.500V21.500L21 17Z",
};

/** A parcel in the item's colour. */
export function parcel(itemid) {
  const hue = HUES[itemid] ?? [...itemid].reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 360, 7);
  const faces = Object.entries(PARCEL_FACES).map(([face, d]) => svgElement("path", { class: face, d }));
  const attributes = { class: "parcel", viewBox: "0 0 24 24", "aria-hidden": "true", style: { "--hue": hue } };
  return svgElement("svg", attributes, ...faces);
}

/**
 * Fill a cart with these quantities by itemid and check it out; return the order. Rejects with the first Problem: the
 * checkout may then have been executed, so the next call of this `name` continues it, unless other quantities are to be
 * ordered and those of the first call were not.
 */
export async function checkOut(api, name, quantities) {
  let begun = storage.checkout(name);
  if (!begun || !(await canContinue(api, begun, quantities))) begun = { cartid: `page-${newKey()}`, quantities };
  storage.saveCheckout(name, begun);
  const items = Object.entries(begun.quantities);
  const steps = [
    ["PUT", ""],
    ...items.map(([itemid, count]) => ["PUT", `/items/${encodeURIComponent(itemid)}`, { count }]),
    ["POST", ":close"],
    ["POST", ":checkout"],
  ];
  let order;
  for (const [step, [method, path, body]] of steps.entries()) {
    order = await api.change(method, `/v1/carts/${begun.cartid}${path}`, body, `step-${step}`);
  }
  storage.saveCheckout(name, undefined);
  return order;
}

/** Whether the cart of a checkout that was begun became an order, or is to be ordered as it is. */
async function canContinue(api, begun, quantities) {
  try {
    const { orderid } = await api.get(`/v1/carts/${begun.cartid}`);
    return Boolean(orderid) || JSON.stringify(begun.quantities) === JSON.stringify(quantities);
  } catch (error) {
    if (error.status !== 404) throw error;
    return false; // It was never opened, or by a user who has left.
  }
}

export class Shop {
  #quantities = storage.cart();
  #rows = new Map();
  #isBusy = false;

  /** `onCheckOut` is called with the quantities by itemid; the items that it resolves to leave the cart. */
  constructor(catalogue, onCheckOut) {
    this.catalogue = catalogue;
    catalogue.onChange((items) => this.#show(items));
    byId("check-out").addEventListener("click", () => this.#checkOut(onCheckOut));
    byId("more").addEventListener("click", () => catalogue.list());
  }

  #show(items) {
    for (const item of items) {
      const row = this.#rows.get(item.itemid) ?? this.#addRow(item.itemid);
      const stock = row.querySelector(".stock");
      const text = item.available ? `${count(item.available)} left` : "sold out";
      if (stock.textContent && stock.textContent !== text) flash(stock);
      stock.textContent = text;
      row.dataset.soldOut = item.available === 0;
      row.querySelector(".price").textContent = item.waives_payment ? "free" : money(item.price);
    }
    byId("more").hidden = !this.catalogue.hasMore;
    this.#showCart();
  }

  #addRow(itemid) {
    const name = element("span", { class: "name" }, capitalize(itemid));
    const facts = ["price", "stock"].map((fact) => element("span", { class: fact }));
    const description = element("div", { class: "description" }, name, element("span", { class: "facts" }, ...facts));
    const parts = [parcel(itemid), description, this.#stepper(itemid)];
    const row = element("li", { class: "item", data: { item: itemid } }, ...parts);
    this.#rows.set(itemid, row);
    byId("items").append(row);
    return row;
  }

  #stepper(itemid) {
    const step = (by, sign, label) =>
      element(
        "button",
        { type: "button", class: "step", "aria-label": `${label} ${itemid}`, onclick: () => this.#add(itemid, by) },
        sign,
      );
    const quantity = String(this.#quantities[itemid] ?? 0);
    const output = element("output", { "aria-label": `${capitalize(itemid)} in the cart` }, quantity);
    return element("div", { class: "stepper" }, step(-1, "−", "Remove one"), output, step(1, "+", "Add one"));
  }

  #add(itemid, by) {
    const quantity = Math.min(Math.max((this.#quantities[itemid] ?? 0) + by, 0), MAX_QUANTITY);
    this.#quantities = { ...this.#quantities, [itemid]: quantity };
    if (!quantity) delete this.#quantities[itemid];
    this.#rows.get(itemid).querySelector("output").textContent = String(quantity);
    storage.saveCart(this.#quantities);
    this.#showCart();
  }

  #showCart() {
    const { items } = this.catalogue;
    const wanted = Object.entries(this.#quantities).filter(([itemid]) => items.has(itemid));
    const units = wanted.reduce((sum, [, quantity]) => sum + quantity, 0);
    const price = wanted.reduce((sum, [itemid, quantity]) => sum + quantity * items.get(itemid).price, 0);
    const isFree = wanted.some(([itemid]) => items.get(itemid).waives_payment);
    const total = `${units} ${units === 1 ? "item" : "items"}, ${isFree ? "nothing to pay" : money(price)}`;
    setText(byId("cart"), units ? total : "The cart is empty");
    byId("check-out").disabled = !units;
    // While busy not `disabled`: that would take the focus from a button pressed by keyboard.
    byId("check-out").setAttribute("aria-disabled", this.#isBusy);
  }

  async #checkOut(onCheckOut) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    this.#showCart();
    try {
      for (const { itemid, count } of await onCheckOut(this.#quantities)) this.#add(itemid, -count);
    } finally {
      this.#isBusy = false;
      this.#showCart();
    }
  }
}
