// Draws an order's events: a lane for each service, and in it the service's events from left to right.

import { Connectors } from "./connectors.js";
import { byId, element, screenReaderText, svgElement } from "./dom.js";
import { capitalize, describe, duration, ROLES, timeOfDay } from "./format.js";
import { awaitedServices, causeOf, causesOf, keyOf, kindOf, latencyOf, services, traceOf } from "./saga-model.js";

// Drawn before there is an order.
const EXAMPLE = [
  "purchase.pre-approved",
  "stock.reserved",
  "payment.paid",
  "purchase.approved",
  "stock.sold",
  "payment.settled",
  "delivery.delivery-arranged",
];
const GLYPHS = {
  success: "M5 9.500 8 12.500 13.500 6",
  failure: "M6 6 12 12M12 6 6 12",
  compensation: "M7 6H10.500A3 3 0 0 1 10.500 12H6M7.500 3.800 5.200 6 7.500 8.200",
};

export class Timeline {
  #lanes = new Map();
  #events = new Map();
  #example = new Map();
  #connectors = new Connectors(byId("timeline"), byId("connectors"));

  /** `traceUrl` returns the address of a trace, or undefined. */
  constructor(traceUrl) {
    this.traceUrl = traceUrl;
    for (const service of services) this.#addLane(service);
    EXAMPLE.forEach((key, index) => this.#addExample(key, index + 1));
  }

  /** The head of a service's lane, for further controls. */
  headOf(service) {
    return this.#lanes.get(service).querySelector(".lane-head");
  }

  /** Remove all events; show the example unless there is an order. */
  clear(hasOrder) {
    byId("timeline").dataset.empty = !hasOrder;
    for (const node of this.#events.values()) node.remove();
    this.#events.clear();
    this.show([], false);
  }

  /** Draw `events`, which are sorted by time, and mark the awaited services unless the order is settled. */
  show(events, isSettled) {
    const awaited = isSettled || !events.length ? [] : awaitedServices(events);
    const columns = events.length + (awaited.length ? 1 : 0);
    byId("timeline").style.setProperty("--columns", Math.max(EXAMPLE.length, columns));
    // Services may have been added since the vocabulary was written.
    for (const { service } of events) if (!this.#lanes.has(service)) this.#addLane(service);
    events.forEach((event, index) => this.#draw(event, index, events));
    for (const [service, lane] of this.#lanes) {
      this.#sort(service, events);
      const marker = lane.querySelector(".awaited");
      marker.hidden = !awaited.includes(service);
      marker.style.setProperty("--column", events.length + 1);
    }
    const isEmpty = byId("timeline").dataset.empty === "true";
    this.#connectors.draw(isEmpty ? this.#exampleConnectors() : this.#eventConnectors(events));
  }

  #exampleConnectors() {
    return EXAMPLE.slice(1).map((key) => {
      const cause = causesOf(key).find((each) => this.#example.has(each));
      return { key: `example.${key}`, kind: "example", from: this.#example.get(cause), to: this.#example.get(key) };
    });
  }

  #eventConnectors(events) {
    return events.flatMap((event) => {
      const cause = causeOf(event, events);
      if (!cause) return [];
      const [from, to] = [cause, event].map((each) => this.#events.get(keyOf(each)));
      return [{ key: keyOf(event), kind: kindOf(event), from, to }];
    });
  }

  #draw(event, index, events) {
    const node = this.#events.get(keyOf(event)) ?? this.#addEvent(event);
    node.style.setProperty("--column", index + 1);
    const latency = latencyOf(event, events);
    if (latency !== undefined) {
      node.querySelector(".latency").replaceChildren(screenReaderText(", after "), duration(latency));
    }
    const url = this.traceUrl(traceOf(event, events));
    if (url && !node.querySelector(".trace")) node.append(traceLink(url, event));
  }

  /** Screen readers read a list in DOM order, whatever its columns are. */
  #sort(service, events) {
    const list = this.#lanes.get(service).querySelector(".events");
    const own = events.filter((event) => event.service === service).map((event) => this.#events.get(keyOf(event)));
    const sorted = [...own, list.querySelector(".awaited")];
    if (sorted.some((node, index) => list.children[index] !== node)) list.prepend(...sorted);
  }

  #addEvent(event) {
    const [key, kind] = [keyOf(event), kindOf(event)];
    const node = element(
      "li",
      {
        class: "event",
        data: { event: key, kind },
        title: `${describe(event)} ${timeOfDay(event.time)}`,
      },
      dot(GLYPHS[kind]),
      element("span", { class: "status" }, event.status),
      element("span", { class: "latency" }),
    );
    this.#events.set(key, node);
    this.#lanes.get(event.service).querySelector(".awaited").before(node);
    return node;
  }

  #addExample(key, column) {
    const attributes = { class: "event example", "aria-hidden": "true", style: { "--column": column } };
    const node = element("li", attributes, dot(""));
    this.#example.set(key, node);
    this.#lanes.get(key.split(".")[0]).querySelector(".events").append(node);
  }

  #addLane(service) {
    const id = `lane-${service}`;
    const label = element("span", { class: "status" }, "waiting");
    const waiting = element("li", { class: "event awaited", hidden: true }, dot(""), label);
    const lane = element(
      "li",
      { class: "lane", data: { service } },
      element(
        "div",
        { class: "lane-head" },
        element("h3", { id }, capitalize(service)),
        element("p", { class: "role" }, ROLES[service] ?? ""),
      ),
      element("ol", { class: "events", "aria-labelledby": id }, waiting),
    );
    this.#lanes.set(service, lane);
    byId("timeline").append(lane);
  }
}

function traceLink(href, { service, status }) {
  const attributes = { class: "trace", href, target: "_blank", rel: "noreferrer" };
  return element("a", attributes, "trace", screenReaderText(` of ${service} ${status}`));
}

function dot(glyph) {
  return svgElement(
    "svg",
    { class: "dot", viewBox: "0 0 18 18", "aria-hidden": "true" },
    svgElement("circle", { cx: 9, cy: 9, r: 8 }),
    svgElement("path", { d: glyph }),
  );
}
