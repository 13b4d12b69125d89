// Stops and starts services, where the gateway lets this page do that, and shows which of them run.

import { element, say } from "./dom.js";
import { SERVICES } from "./words.js";

const LOOK_EVERY_MILLISECONDS = 3_000;

/** A switch in the head of each lane. */
export class Services {
  #switches = new Map();
  #busy = new Set();

  constructor(api, lanes) {
    this.api = api;
    for (const service of SERVICES) this.#add(service, lanes.headOf(service));
    this.look();
    setInterval(() => document.hidden || this.look(), LOOK_EVERY_MILLISECONDS);
  }

  async look() {
    try {
      const { services } = await this.api.steer("GET", "/ui/services");
      for (const each of services) this.#show(each);
    } catch {
      // It is looked again soon; what was seen last stays.
    }
  }

  /** `what`: "stop" or "start". Resolves once it is done. */
  async steer(service, what) {
    if (this.#busy.has(service)) return;
    this.#busy.add(service);
    this.#say(service, what === "stop" ? "stopping …" : "starting …");
    try {
      const state = await this.api.steer("POST", `/ui/services/${service}:${what}`);
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
      class: "steer",
      hidden: true,
      data: { steer: service },
      onclick: () => this.steer(service, button.dataset.what),
    });
    this.#switches.set(service, { head, state, button });
    head.append(element("div", { class: "switch" }, state, button));
  }

  #show({ name, processes, running }) {
    if (this.#busy.has(name)) return;
    const { head, button } = this.#switches.get(name);
    const what = running ? "stop" : "start";
    head.dataset.running = running > 0;
    button.dataset.what = what;
    button.hidden = false;
    button.textContent = running ? "Stop" : "Start";
    button.setAttribute("aria-label", `${running ? "Stop" : "Start"} ${name}`);
    const some = running && running < processes ? `${running} of ${processes} run` : "";
    this.#say(name, running ? some : "stopped");
  }

  #say(service, text) {
    say(this.#switches.get(service).state, text);
  }
}
