// Elements of the page. Whatever a run brings is set as text.

const SVG = 'http://www.w3.org/2000/svg';

function byId(id) {
  return document.getElementById(id);
}

/** `element('td', {class: 'number'}, 'text', child)`; attributes that are null are left out. */
function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

function svgElement(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

/** Sets a text in which no exponent is torn from its number at the end of a line. */
function setText(id, words) {
  const node = byId(id);
  const text = node.matches('h1, .caption, .eyebrow') ? words.replace(/e-(?=\d)/g, 'e-\u2060') : words;
  if (node.textContent !== text) node.textContent = text;
}

/** A number for people, and as it is. */
function setNumber(id, text, value) {
  setText(id, text);
  byId(id).dataset.value = String(value);
}

function setOptions(select, options, value) {
  select.replaceChildren(...options.map(([key, text]) => element('option', { value: key }, text)));
  select.value = String(value);
}

function listItems(id, texts) {
  byId(id).replaceChildren(...texts.map((text) => element('li', {}, text)));
}

/** A table's head, column by column: [text, class]. */
function tableHead(columns) {
  const cells = columns.map(([text, kind]) => element('th', { scope: 'col', class: kind }, text));
  return element('thead', {}, element('tr', {}, ...cells));
}
