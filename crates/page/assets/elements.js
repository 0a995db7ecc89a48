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

/** Where a line may not end: in a number, between a number and its name or percent sign, in an interval. */
function unbroken(words) {
  return words.replace(/e-(?=\d)/g, 'e-\u2060').replace(/(ε|lr) (?=\d)/g, '$1\u00a0').replace(/ %/g, '\u00a0%').replace(/(\[\S+,) (?=\S+\])/g, '$1\u00a0');
}

/** Sets a text; running text, so that lines end well. */
function setText(id, words) {
  const node = byId(id);
  const text = node.matches('h1, .caption, .eyebrow') ? unbroken(words) : words;
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
  const cells = columns.map(([text, kind]) => element('th', { scope: 'col', role: 'columnheader', class: kind }, text));
  return element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, ...cells));
}

/** Work that is done once before the next frame, however often it is asked for until then. */
function oncePerFrame(work) {
  let isAsked = false;
  return () => {
    if (isAsked) return;
    isAsked = true;
    requestAnimationFrame(() => { isAsked = false; work(); });
  };
}
