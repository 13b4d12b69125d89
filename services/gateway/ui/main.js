// Puts the page together: who is signed in, the shop, the order that is looked at, and those before it.

import { Api, Problem } from "./api.js";
import { Books } from "./books.js";
import { Cases } from "./cases.js";
import { Catalogue } from "./catalogue.js";
import { checkOut } from "./checkout.js";
import { byId, say } from "./dom.js";
import { Lanes } from "./lanes.js";
import { Latest } from "./latest.js";
import { Order } from "./order.js";
import { Services } from "./services.js";
import { Shop } from "./shop.js";
import { SignIn } from "./signin.js";

const config = await (await fetch("/ui/config")).json();
// After it nothing of whoever was here is left on the page.
const signIn = new SignIn(() => open(), () => location.replace(location.pathname));
const api = new Api(() => signIn.token, () => signIn.ask());
const catalogue = new Catalogue(api);
const lanes = new Lanes(addressOf);
const latest = new Latest(api);
const order = new Order(api, lanes, new Books(api, catalogue), (orderid, known) => latest.note(orderid, known));
let services;

new Shop(catalogue, (pieces) => buy({ pieces }));
new Cases(catalogue, config.steers, buy);
addEventListener("hashchange", look);
byId("skip").addEventListener("click", skip);
addEventListener("unhandledrejection", complain);
if (config.sign_in && !signIn.token) signIn.ask();
else await open();

/** Everything that needs the gateway's consent. */
async function open() {
  if (config.sign_in) signIn.welcome();
  byId("main").hidden = false;
  latest.show("");
  await catalogue.list();
  if (config.steers) services ??= new Services(api, lanes);
  look();
  await latest.catchUp();
}

/** Checks out, and looks at what becomes of it. */
async function buy({ pieces, cancel, stop }) {
  say(byId("problem"), "");
  if (stop) await services.steer(stop, "stop");
  const made = await checkOut(api, pieces);
  latest.note(made.orderid, { items: made.cart_items, status: made.status });
  location.hash = made.orderid;
  if (cancel) await order.cancel(made.orderid);
  byId("order").focus();
}

/** Shows the order that the address names. */
async function look() {
  const orderid = location.hash.slice(1);
  say(byId("problem"), "");
  latest.show(orderid);
  if (orderid) await order.show(orderid);
  else order.hide();
}

/** The address keeps the name of the order. */
function skip(event) {
  event.preventDefault();
  byId("order").focus();
}

function addressOf(trace) {
  return config.trace_url && trace ? config.trace_url.replaceAll("{trace_id}", encodeURIComponent(trace)) : undefined;
}

function complain(event) {
  if (!(event.reason instanceof Problem)) return;
  event.preventDefault();
  if (event.reason.status !== 401) say(byId("problem"), event.reason.message);
}
