// A button for each scenario.

import { byId, element } from "./dom.js";

const SCENARIOS = [
  { name: "paid", title: "Paid", description: "3 blue, approved and shipped", quantities: { blue: 3 } },
  { name: "sold-out", title: "Sold out", description: "1 yellow, none in stock", quantities: { yellow: 1 } },
  { name: "declined", title: "Declined", description: "1 gold, above the charge limit", quantities: { gold: 1 } },
  { name: "free", title: "Free", description: "2 red, nothing to pay", quantities: { red: 2 } },
  {
    name: "cancel",
    title: "Canceled",
    description: "2 blue, canceled before payment",
    quantities: { blue: 2 },
    stop: "payment",
    cancel: true,
  },
  { name: "outage", title: "Outage", description: "1 blue, payment stopped", quantities: { blue: 1 }, stop: "payment" },
];

/** Offers the scenarios whose items exist, and those that stop a service only if the user can. */
export class Scenarios {
  #buttons = [];
  #isRunning = false;

  /**
   * `canControl` returns whether the user can stop services. `run` is called with the chosen scenario; no other can
   * be chosen until it resolves.
   */
  constructor(catalogue, canControl, run) {
    catalogue.onChange(() => this.#show(catalogue.items, canControl(), run));
  }

  #show(items, canControl, run) {
    if (this.#buttons.length) return;
    const possible = SCENARIOS.filter(
      ({ quantities, stop }) => Object.keys(quantities).every((itemid) => items.has(itemid)) && (canControl || !stop),
    );
    this.#buttons = possible.map((scenario) => this.#button(scenario, run));
    byId("scenarios").replaceChildren(...this.#buttons.map((button) => element("li", {}, button)));
    byId("scenarios-title").hidden = !possible.length;
  }

  #button(scenario, run) {
    return element(
      "button",
      {
        type: "button",
        class: "scenario",
        data: { scenario: scenario.name },
        onclick: () => this.#choose(scenario, run),
      },
      element("span", { class: "title" }, scenario.title),
      element("span", { class: "screen-reader" }, ": "),
      element("span", { class: "description" }, scenario.description),
    );
  }

  async #choose(scenario, run) {
    if (this.#isRunning) return;
    this.#setRunning(true);
    try {
      await run(scenario);
    } finally {
      this.#setRunning(false);
    }
  }

  // Not `disabled`: that would take the focus from a button pressed by keyboard.
  #setRunning(isRunning) {
    this.#isRunning = isRunning;
    for (const button of this.#buttons) button.setAttribute("aria-disabled", isRunning);
  }
}
