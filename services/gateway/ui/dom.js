// Makes elements; nothing here ever takes a text for markup.

const SVG = "http://www.w3.org/2000/svg";

/** The element with that id. */
export const byId = (id) => document.getElementById(id);

/** An element: `class`, `data`, `style` (custom properties), `on…` and attributes; then its children. */
export function element(tag, given = {}, ...children) {
  return furnish(document.createElement(tag), given, children);
}

/** The same for a drawing. */
export function drawing(tag, given = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), given, children);
}

/** For those who hear the page rather than see it. */
export function unseen(text) {
  return element("span", { class: "unseen" }, text);
}

/** Sets the text only where it is another: what stays is not announced again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = text === "";
}

/** Lets a change be noticed, by those who do not mind things that move. */
export function flash(node) {
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  node.animate([{ backgroundColor: "var(--noticed)" }, { backgroundColor: "transparent" }], 1200);
}

function furnish(node, given, children) {
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === false) continue;
    if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") setProperties(node, value);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

function setProperties(node, properties) {
  for (const [name, value] of Object.entries(properties)) node.style.setProperty(name, value);
}
