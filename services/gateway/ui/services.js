// Shows which services run, and stops and starts them, if the gateway allows it.

import { element, setText } from "./dom.js";
import { services } from "./saga-model.js";

const REFRESH_INTERVAL_MILLISECONDS = 3_000;

/** A switch in the head of each lane. */
export class Services {
  /** Whether the user can stop and start services, as far as known. */
  isAvailable = false;
  #switches = new Map();
  #busy = new Set();
  #timer;

  constructor(api, timeline) {
    this.api = api;
    for (const service of services) this.#add(service, timeline.headOf(service));
    this.#timer = setInterval(() => document.hidden || this.refresh(), REFRESH_INTERVAL_MILLISECONDS);
  }

  async refresh() {
    try {
      const response = await this.api.control("GET", "/ui/services");
      for (const state of response.services) this.#show(state);
      this.isAvailable = true;
    } catch (error) {
      // Only operators may: there is nothing to show. Otherwise keep the last known states until the next refresh.
      if (error.status === 403) clearInterval(this.#timer);
    }
  }

  /** "stop" or "start" a service; resolve once it has stopped or is ready. */
  async control(service, action) {
    if (this.#busy.has(service)) return;
    this.#busy.add(service);
    this.#setState(service, action === "stop" ? "stopping …" : "starting …");
    try {
      const state = await this.api.control("POST", `/ui/services/${service}:${action}`);
      this.#busy.delete(service);
      this.#show(state);
    } finally {
      this.#busy.delete(service);
    }
  }

  #add(service, head) {
    const state = element("span", { class: "state", role: "status" });
    const button = element("button", {
      type: "button",
      class: "toggle",
      hidden: true,
      onclick: () => this.control(service, button.dataset.action),
    });
    this.#switches.set(service, { head, state, button });
    head.append(element("div", { class: "switch" }, state, button));
  }

  #show({ name, processes, running }) {
    // Services that take no part in an order have no lane.
    if (this.#busy.has(name) || !this.#switches.has(name)) return;
    const { head, button } = this.#switches.get(name);
    const label = running ? "Stop" : "Start";
    head.dataset.running = running > 0;
    button.dataset.action = label.toLowerCase();
    button.hidden = false;
    button.textContent = label;
    button.setAttribute("aria-label", `${label} ${name}`);
    const some = running < processes ? `${running} of ${processes} running` : "";
    this.#setState(name, running ? some : "stopped");
  }

  #setState(service, text) {
    setText(this.#switches.get(service).state, text);
  }
}
