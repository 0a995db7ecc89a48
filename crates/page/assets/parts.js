// Tensors, layers or kinds: the bounds that each sets, and what the chosen ε does there.

/** Rows at first, and as many as come with each press. */
const FIRST_ROWS = 60;
const MORE_ROWS = 1000;
const BAR = { width: 180, height: 14 };
const PART_COLUMNS = [
  ['name', null], ['elements', 'number'], ['bounds of ε', 'bar'], ['lower bound', 'number'], ['upper bound', 'number'],
  ['sets', null], ['ε rules', 'number'], ['', 'bar-small'], ['effective rate', 'number'], ['known', null],
];

const parts = { limit: FIRST_ROWS, filter: '' };

function drawParts() {
  const answer = currentAnswer();
  const shownScope = state.scope === 'run' ? 'kind' : state.scope;
  setText('parts-title', answer === null ? 'Bounds of ε' : `Bounds of ε per ${shownScope}, ${answer.optimizer}`);
  const all = answer === null ? [] : sortedParts(answer, shownScope);
  const found = all.filter((part) => part.name.toLowerCase().includes(parts.filter));
  const shown = found.slice(0, parts.limit);
  const blocks = blocksOf(shown.map((part) => partRow(answer, part, shownScope)));
  byId('filter-field').hidden = all.length < 12;
  byId('parts').replaceChildren(
    element('caption', { class: 'unseen', role: 'caption' }, 'Bounds of ε and what the chosen ε does'),
    tableHead(PART_COLUMNS), ...blocks.map(({ body }) => body),
  );
  followEpsilon(blocks);
  const more = byId('parts-more');
  more.hidden = shown.length === found.length;
  more.textContent = `Show ${Math.min(MORE_ROWS, found.length - shown.length)} more of ${grouped(found.length)}`;
  setText('parts-caption', partsCaption(answer));
}

/** Those that set the run's bounds first, then by lower bound. */
function sortedParts(answer, scope) {
  const binding = (part) => (part.sets_lower || part.sets_upper ? 0 : 1);
  return answer.parts.filter((part) => part.scope === scope)
    .sort((a, b) => binding(a) - binding(b) || a.lower.value - b.lower.value || (a.name < b.name ? -1 : 1));
}

function partsCaption(answer) {
  if (answer === null) return 'No critical ε is known of this run.';
  const p = Math.round(100 * answer.percentile);
  return `After step ${grouped(answer.step)}: critical ε that ${100 - p} % and ${p} % of the elements lie below. The binding ones, which set the run’s search space, come first. A press on a name shows it above.`;
}

function partRow(answer, part, scope) {
  const group = groupNumber(currentRun(), scope, part.name);
  const sets = [part.sets_lower ? 'lower' : '', part.sets_upper ? 'upper' : ''].filter((side) => side !== '');
  const button = element('button', { type: 'button', class: 'name', 'aria-pressed': String(state.scope === scope && state.group === group) }, part.name);
  button.addEventListener('click', () => choose({ scope, group: state.scope === scope && state.group === group ? null : group }));
  const share = cell({ class: 'number share' });
  const fill = svgElement('rect', { class: 'gauge-fill', height: 8, width: 0 });
  const rate = cell({ class: 'number' });
  const mark = svgElement('path', { class: 'bar-epsilon' });
  const row = element('tr', { role: 'row', class: sets.length ? 'binding' : null },
    element('th', { scope: 'row', role: 'rowheader' }, button),
    cell({ class: 'number' }, grouped(part.numel)),
    cell({ class: 'bar' }, boundsBar(part, mark)),
    boundCell(part.lower), boundCell(part.upper),
    cell({}, sets.length ? element('span', { class: 'badge' }, sets.length === 2 ? 'both bounds' : `${sets[0]} bound`) : ''),
    share, cell({ class: 'bar-small' }, gauge(fill)), rate,
    cell({ class: 'known' }, knownText(part)));
  row.dataset.name = part.name;
  return { row, part, tensors: members(currentRun(), scope, group), share, fill, rate, mark };
}

/** The table is laid out as a grid, so that its cells have to say what they are. */
function cell(attributes, ...children) {
  return element('td', { role: 'cell', ...attributes }, ...children);
}

function knownText(part) {
  const words = { exact: 'every element', bins: 'every element, ±3 %', sample: `sample of ${grouped(part.sample_size)}`, gradient: 'histograms of gradients' };
  return words[part.method];
}

function boundCell(bound) {
  const isExact = bound.low !== null && bound.low === bound.high;
  const range = isExact ? null : `between ${magnitude(bound.low)} and ${magnitude(bound.high)}`;
  const shown = cell({ class: 'number', title: range }, magnitude(bound.value));
  shown.dataset.value = String(bound.value);
  return shown;
}

function gauge(fill) {
  return svgElement('svg', { viewBox: '0 0 60 8', width: 60, height: 8, 'aria-hidden': 'true' }, svgElement('rect', { class: 'gauge-track', width: 60, height: 8 }), fill);
}

/** Place of an ε in the bars, from 0 to their width. */
function barPlace(epsilon) {
  const [least, greatest] = epsilonRange();
  return (BAR.width * clamp(Math.log10(epsilon) * BINS_PER_DECADE - least, 0, greatest - least)) / (greatest - least);
}

function boundsBar(part, mark) {
  const [lower, upper] = [part.lower, part.upper].map((bound) => barPlace(bound.value));
  const label = `from ${magnitude(part.lower.value)} to ${magnitude(part.upper.value)}`;
  return svgElement('svg', { viewBox: `0 0 ${BAR.width} ${BAR.height}`, width: BAR.width, height: BAR.height, role: 'img', 'aria-label': label },
    svgElement('line', { class: 'bar-track', x1: 0, x2: BAR.width, y1: BAR.height / 2, y2: BAR.height / 2 }),
    svgElement('rect', { class: 'bar-range', x: lower, width: Math.max(upper - lower, 2), y: 4, height: 6, rx: 2 }),
    part.sets_lower ? svgElement('path', { class: 'bar-binding', d: `M${lower} 1v12` }) : null,
    part.sets_upper ? svgElement('path', { class: 'bar-binding', d: `M${upper} 1v12` }) : null,
    mark);
}
