// The catalogue as it was seen last, and who wants to know when it changes.

/** Items by itemid; `onChange` of everybody who asked for it is called with those that were looked up. */
export class Catalogue {
  items = new Map();
  #listeners = [];
  #next = "";
  #asked = 0;
  #answered = new Map();

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
    const asked = ++this.#asked;
    const page = await this.api.get(`/v1/items${token}`);
    this.#next = page.next_page_token;
    this.#learn(page.items, asked);
  }

  /** Looks some up again. One that cannot be had stays as it was: it is beside an order, not in its way. */
  async refresh(itemids) {
    const asked = ++this.#asked;
    const found = await Promise.allSettled(
      itemids.map((itemid) => this.api.get(`/v1/items/${encodeURIComponent(itemid)}`)),
    );
    const answers = found.filter((each) => each.status === "fulfilled").map((each) => each.value);
    this.#learn(answers, asked);
  }

  /** Answers overtake one another: one that was asked for before another that is known already tells nothing new. */
  #learn(answers, asked) {
    const items = answers.filter(({ itemid }) => !(this.#answered.get(itemid) > asked));
    for (const item of items) {
      this.items.set(item.itemid, item);
      this.#answered.set(item.itemid, asked);
    }
    for (const listener of this.#listeners) listener(items);
  }
}
