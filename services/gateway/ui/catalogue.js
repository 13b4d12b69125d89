// The catalogue: the items read so far, and who is notified of changes.

export class Catalogue {
  /** Items by itemid. */
  items = new Map();
  #listeners = [];
  #nextPage = "";
  #lastRequest = 0;
  #requestOf = new Map();

  constructor(api) {
    this.api = api;
  }

  /** `listener` is called with the items of each response. */
  onChange(listener) {
    this.#listeners.push(listener);
  }

  get hasMore() {
    return this.#nextPage !== "";
  }

  /** Read the next page. */
  async list() {
    const query = this.#nextPage ? `?page_token=${encodeURIComponent(this.#nextPage)}` : "";
    const request = ++this.#lastRequest;
    const page = await this.api.get(`/v1/items${query}`);
    this.#nextPage = page.next_page_token;
    this.#update(page.items, request);
  }

  /** Read some items again. A failed read leaves its item unchanged: stock is additional information. */
  async refresh(itemids) {
    const request = ++this.#lastRequest;
    const reads = itemids.map((itemid) => this.api.get(`/v1/items/${encodeURIComponent(itemid)}`));
    const results = await Promise.allSettled(reads);
    this.#update(results.flatMap((result) => result.value ?? []), request);
  }

  /** Responses can arrive out of order: skip items that a later request has answered. */
  #update(received, request) {
    const items = received.filter(({ itemid }) => !(this.#requestOf.get(itemid) > request));
    for (const item of items) {
      this.items.set(item.itemid, item);
      this.#requestOf.set(item.itemid, request);
    }
    for (const listener of this.#listeners) listener(items);
  }
}
