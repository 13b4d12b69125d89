// Makes an order: a cart is opened, filled, closed and checked out, each step under a key of its own.

import { newKey } from "./api.js";

/** The order that became of so many pieces by itemid. Rejects with the Problem that stopped it. */
export async function checkOut(api, pieces) {
  const cart = `/v1/carts/page-${newKey()}`;
  await api.change("PUT", cart);
  for (const [itemid, count] of Object.entries(pieces)) {
    await api.change("PUT", `${cart}/items/${encodeURIComponent(itemid)}`, { count });
  }
  await api.change("POST", `${cart}:close`);
  return api.change("POST", `${cart}:checkout`);
}
