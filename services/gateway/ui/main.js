// Wires the web UI: sign-in, shop, scenarios, the order that the address names, and the recent orders.

import { Api, Problem } from "./api.js";
import { Catalogue } from "./catalogue.js";
import { byId, setText } from "./dom.js";
import { InventoryPanel } from "./inventory-panel.js";
import { Order } from "./order.js";
import { RecentOrders } from "./recent-orders.js";
import { Scenarios } from "./scenarios.js";
import { Services } from "./services.js";
import { checkOut, Shop } from "./shop.js";
import { SignIn } from "./sign-in.js";
import { Timeline } from "./timeline.js";

const config = await (await fetch("/ui/config")).json();
// A reload after sign-out: nothing of the user stays on the page.
const signIn = new SignIn(start, () => location.replace(location.pathname));
const api = new Api(() => signIn.token, () => signIn.open());
const catalogue = new Catalogue(api);
const timeline = new Timeline(traceUrl);
const recentOrders = new RecentOrders(api);
const inventory = new InventoryPanel(api, catalogue);
const order = new Order(api, timeline, inventory, (orderid, changes) => recentOrders.save(orderid, changes));
let services;

new Shop(catalogue, (quantities) => placeOrder({ name: "cart", quantities }));
new Scenarios(catalogue, () => Boolean(services?.isAvailable), placeOrder);
addEventListener("hashchange", showOrder);
addEventListener("unhandledrejection", showProblem);
byId("skip").addEventListener("click", focusOrder);
byId("docs").hidden = !config.docs;
if (config.sign_in && !signIn.token) signIn.open();
else await start();

/** Everything that may need a token. */
async function start() {
  if (config.sign_in) signIn.close();
  byId("main").hidden = false;
  recentOrders.show("");
  if (config.can_control) services ??= new Services(api, timeline);
  await services?.refresh();
  await catalogue.list();
  showOrder();
  await recentOrders.refresh();
}

/**
 * Check out and show the order; return its items. Before that `stop` a service; `cancel` the order and start the service
 * again.
 */
async function placeOrder({ name, quantities, cancel, stop }) {
  setText(byId("problem"), "");
  if (stop) await services.control(stop, "stop");
  try {
    const { orderid, cart_items: items, status } = await checkOut(api, name, quantities);
    recentOrders.save(orderid, { items, status });
    location.hash = orderid;
    byId("order").focus();
    if (cancel) await order.cancelReserved(orderid);
    return items;
  } finally {
    if (cancel) await services.control(stop, "start");
  }
}

/** Show the order that the address names. */
async function showOrder() {
  const orderid = location.hash.slice(1);
  setText(byId("problem"), "");
  recentOrders.show(orderid);
  if (orderid) await order.show(orderid, recentOrders.isFinal(orderid));
  else order.hide();
}

/** The skip link must not replace the orderid in the address. */
function focusOrder(event) {
  event.preventDefault();
  byId("order").focus();
}

function traceUrl(traceId) {
  return config.trace_url && traceId && config.trace_url.replaceAll("{trace_id}", encodeURIComponent(traceId));
}

function showProblem(event) {
  if (!(event.reason instanceof Problem)) return;
  event.preventDefault();
  if (event.reason.status !== 401) setText(byId("problem"), event.reason.message);
}
