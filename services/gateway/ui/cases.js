// The interesting cases, a button each.

import { byId, element } from "./dom.js";

const CASES = [
  { name: "paid", title: "Paid", what: "3 blue, all goes well", pieces: { blue: 3 } },
  { name: "sold-out", title: "Sold out", what: "1 yellow, there is none", pieces: { yellow: 1 } },
  { name: "declined", title: "Declined", what: "1 gold, beyond what may be charged", pieces: { gold: 1 } },
  { name: "free", title: "Free", what: "2 red, nothing to pay", pieces: { red: 2 } },
  { name: "cancel", title: "Canceled", what: "2 blue, called off in flight", pieces: { blue: 2 }, cancel: true },
  { name: "outage", title: "Outage", what: "payment is stopped, 1 blue waits", pieces: { blue: 1 }, stop: "payment" },
];

/** Offers those that the catalogue and the gateway allow. */
export class Cases {
  #buttons = [];
  #isBusy = false;

  /** `onCase` is called with the case; meanwhile no other can be chosen. */
  constructor(catalogue, steers, onCase) {
    catalogue.onChange(() => this.#offer(catalogue, steers, onCase));
  }

  #offer(catalogue, steers, onCase) {
    if (this.#buttons.length) return;
    const possible = CASES.filter(
      ({ pieces, stop }) => Object.keys(pieces).every((itemid) => catalogue.items.has(itemid)) && (steers || !stop),
    );
    this.#buttons = possible.map((each) => this.#button(each, onCase));
    byId("cases").replaceChildren(...this.#buttons.map((button) => element("li", {}, button)));
    byId("cases-title").hidden = !possible.length;
  }

  #button(each, onCase) {
    return element(
      "button",
      { type: "button", class: "case", data: { case: each.name }, onclick: () => this.#choose(each, onCase) },
      element("span", { class: "title" }, each.title),
      element("span", { class: "unseen" }, ": "),
      element("span", { class: "what" }, each.what),
    );
  }

  async #choose(each, onCase) {
    if (this.#isBusy) return;
    this.#setBusy(true);
    try {
      await onCase(each);
    } finally {
      this.#setBusy(false);
    }
  }

  // Not disabled, or whoever has pressed one by keyboard would be sent back to the start.
  #setBusy(isBusy) {
    this.#isBusy = isBusy;
    for (const button of this.#buttons) button.setAttribute("aria-disabled", isBusy);
  }
}
