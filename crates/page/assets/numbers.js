// Numbers as people read them; the same words as the program's own tables.

const BINS_PER_DECADE = 40;

/** Three significant digits in scientific notation, `1.23e-5`. */
function magnitude(value) {
  if (value === null || !Number.isFinite(value)) return '–';
  return value.toExponential(2).replace('.00e', 'e').replace('e+', 'e');
}

/** A percentage with one decimal, never rounded to none or all. */
function percent(share) {
  if (!Number.isFinite(share)) return '–';
  if (0 < share && share < 0.001) return '< 0.1 %';
  if (0.999 < share && share < 1) return '> 99.9 %';
  return `${(100 * share).toFixed(1)} %`;
}

/** A whole number with thin groups of three digits. */
function grouped(value) {
  return String(value).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

function plural(n, noun) {
  return `${grouped(n)} ${noun}${n === 1 ? '' : 's'}`;
}

/** `10⁻⁵` */
function powerLabel(exponent) {
  return '10' + String(exponent).replace(/./g, (digit) => (digit === '-' ? '⁻' : '⁰¹²³⁴⁵⁶⁷⁸⁹'[digit]));
}

/** The edge of a bin: powers of ten as they are written. */
function edgeValue(edge, binsPerDecade = BINS_PER_DECADE) {
  return edge % binsPerDecade === 0 ? Number(`1e${edge / binsPerDecade}`) : 10 ** (edge / binsPerDecade);
}

function stepRange([first, last]) {
  return first === last ? `step ${grouped(first)}` : `steps ${grouped(first)} to ${grouped(last)}`;
}

/** Words with a capital at their beginning. */
function sentence(words) {
  return words[0].toUpperCase() + words.slice(1);
}

function clamp(value, least, greatest) {
  return Math.min(Math.max(value, least), greatest);
}
