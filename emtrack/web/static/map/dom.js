// Elements without markup in strings: text stays text, and the page needs no inline style or script.
const SVG = 'http://www.w3.org/2000/svg';

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== false) node.setAttribute(name, value === true ? '' : String(value));
  }
  node.append(...children);
  return node;
}

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawing(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

export function replaceContent(node, ...children) {
  node.replaceChildren(...children);
}

let made = 0;

/** An id that no other element of the page has, for labels and descriptions. */
export function freshId(what) {
  made += 1;
  return `emtrack-map-${what}-${made}`;
}
