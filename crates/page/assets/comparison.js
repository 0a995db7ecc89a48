// Several runs side by side: a picture of each, and a table of what the chosen optimizer's ε does in each.

const THUMB = { width: 220, height: 96 };
const RUN_COLUMNS = [
  ['run', null], ['mode', null], ['steps', 'number'], ['trained with', null], ['search ε in', null], ['decades', 'number'],
  ['set by', null], ['run’s ε', 'number'], ['ε rules', 'number'], ['regime', null],
];

const comparison = { rows: [] };

function drawComparison() {
  byId('comparison').hidden = state.runs.length < 2;
  if (state.runs.length < 2) return;
  comparison.rows = state.runs.map(runRow);
  const caption = element('caption', { class: 'unseen' }, 'Runs side by side');
  byId('runs').replaceChildren(caption, tableHead(RUN_COLUMNS), element('tbody', {}, ...comparison.rows.map(({ row }) => row)));
  byId('multiples').replaceChildren(...state.runs.map(thumb));
  const [least, greatest] = sharedExponents().map((exponent) => magnitude(10 ** exponent));
  setText('comparison-caption', `Gradient magnitudes through training, from ${least} at the bottom to ${greatest} in each picture, and what the ε chosen above does. A press on a run shows it.`);
  updateComparison();
}

function runRow(run, index) {
  const answer = sameAnswer(run);
  const whole = answer === null ? null : partOf(answer, 'run', null);
  const button = element('button', { type: 'button', class: 'name', 'aria-pressed': String(index === state.run) }, run.name);
  button.addEventListener('click', () => chooseRun(index));
  const [share, regime] = [element('td', { class: 'number share' }), element('td')];
  const text = (value) => (answer === null ? '–' : value());
  const row = element('tr', {},
    element('th', { scope: 'row' }, button),
    element('td', {}, `${run.mode}${run.finished ? '' : ', unfinished'}`),
    element('td', { class: 'number' }, grouped(run.last_step)),
    element('td', {}, run.optimizer),
    element('td', {}, text(() => `[1e${answer.search[0]}, 1e${answer.search[1]}]`)),
    element('td', { class: 'number' }, text(() => String(answer.search[1] - answer.search[0]))),
    element('td', { class: 'known' }, text(() => `${whole.lower.tensor}, ${whole.upper.tensor}`)),
    element('td', { class: 'number' }, magnitude(run.epsilon)), share, regime);
  row.dataset.name = run.name;
  return { row, run, answer, share, regime };
}

function updateComparison() {
  for (const { run, answer, share, regime } of comparison.rows) {
    const value = answer === null ? NaN : shareBelow(answer, members(run, 'run', 0), state.edge);
    share.textContent = percent(value);
    share.dataset.value = String(value);
    regime.textContent = answer === null ? '–' : regimeOf(value);
  }
}

/** A run's gradients through training, small; all runs on the same axis of magnitudes. */
function thumb(run, index) {
  const canvas = element('canvas', { width: THUMB.width, height: THUMB.height, role: 'img', 'aria-label': 'gradient magnitudes through training' });
  const button = element('button', { type: 'button', class: 'thumb', 'aria-pressed': String(index === state.run) }, canvas, element('span', {}, run.name));
  button.addEventListener('click', () => chooseRun(index));
  paintThumb(canvas, run);
  return button;
}

/** Exponents of the least and greatest gradients of all runs. */
function sharedExponents() {
  const ends = state.runs.flatMap((run) => {
    const table = run.quantities.find(({ name }) => name === 'gradient')?.run;
    const present = table?.groups[0].filter((counts) => counts !== null) ?? [];
    return present.flatMap((counts) => [counts[0] / table.bins_per_decade, (counts[0] + counts.length - APART) / table.bins_per_decade]);
  });
  return ends.length === 0 ? [0, 1] : [ends.reduce((a, b) => Math.min(a, b)), ends.reduce((a, b) => Math.max(a, b))];
}

function paintThumb(canvas, run) {
  const quantity = run.quantities.find(({ name }) => name === 'gradient');
  if (!quantity) return;
  const { windows, columns, binsPerDecade } = throughTraining(run, quantity, 'run', 0);
  const [least, greatest] = sharedExponents();
  const context = canvas.getContext('2d');
  const colors = densityColor();
  const width = THUMB.width / windows.length;
  const scale = THUMB.height / (greatest - least);
  columns.forEach((column, index) => {
    const most = Math.max(...column.counts);
    column.counts.forEach((count, offset) => {
      if (count === 0) return;
      context.fillStyle = `rgb(${colors(Math.sqrt(count / most)).join(',')})`;
      const bottom = THUMB.height - ((column.first + offset) / binsPerDecade - least) * scale;
      context.fillRect(index * width, bottom - scale / binsPerDecade, width + 0.5, scale / binsPerDecade + 0.5);
    });
  });
}
