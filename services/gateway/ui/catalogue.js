// The catalogue as it was seen last, and who wants to know when it changes.

/** Items by itemid; `onChange` of everybody who asked for it is called with those that were looked up. */
export class Catalogue {
  items = new Map();
  #listeners = [];
  #next = "";

  constructor(api) {
    this.api = api;
  }

  onChange(listener) {
    this.#listeners.push(listener);
  }

  /** Whether there are items that were not listed yet. */
  get hasMore() {
    return this.#next !== "";
  }

  /** Looks the next page up, or the first. */
  async list() {
    const token = this.#next ? `?page_token=${encodeURIComponent(this.#next)}` : "";
    const page = await this.api.get(`/v1/items${token}`);
    this.#next = page.next_page_token;
    this.#learn(page.items);
  }

  /** Looks some up again. One that cannot be had stays as it was: it is beside an order, not in its way. */
  async refresh(itemids) {
    const found = await Promise.allSettled(
      itemids.map((itemid) => this.api.get(`/v1/items/${encodeURIComponent(itemid)}`)),
    );
    this.#learn(found.filter((each) => each.status === "fulfilled").map((each) => each.value));
  }

  #learn(items) {
    for (const item of items) this.items.set(item.itemid, item);
    for (const listener of this.#listeners) listener(items);
  }
}
