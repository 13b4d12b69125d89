// Creates and updates elements; text is never parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** Create an element with attributes (also `data`, `style` for custom properties, `on…` listeners) and children. */
export const element = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** Like `element`, in the SVG namespace. */
export const svgElement = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

/** Text for screen readers only. */
export const screenReaderText = (text) => element("span", { class: "screen-reader" }, text);

/** Set the text if it differs, so that live regions do not repeat it; hide the node if it is empty. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
  node.hidden = text === "";
}

export const prefersReducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Highlight a changed value, unless the user prefers reduced motion. */
export function flash(node) {
  if (prefersReducedMotion()) return;
  node.animate([{ backgroundColor: "var(--highlight)" }, { backgroundColor: "transparent" }], 1200);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    if (name === "data") Object.assign(node.dataset, value);
    else if (name === "style") for (const property of Object.entries(value)) node.style.setProperty(...property);
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}
