// Reads the data, listens to what is chosen, shows what follows.

async function read() {
  const packed = Uint8Array.from(atob(byId('data').textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))).json();
}

/** Takes a choice and shows it; groups and windows that another choice has outdated are dropped. */
function choose(choice) {
  Object.assign(state, choice);
  showChoices();
  showEverything();
}

function chooseRun(run) {
  const { optimizer } = currentAnswer() ?? {};
  const answer = state.runs[run].answers.findLastIndex((other) => other.optimizer === optimizer);
  choose({ run, answer: Math.max(answer, 0), group: null, window: null, ...own(state.runs[run], Math.max(answer, 0)) });
}

/** The ε to begin with: the run's own or the default, in the middle of the search space if that is 0. */
function own(run, answer) {
  const of = run.answers[answer];
  if (!of) return {};
  const epsilon = of.reference_epsilon > 0 ? of.reference_epsilon : 10 ** ((of.search[0] + of.search[1]) / 2);
  return { edge: edgeNear(of, epsilon) };
}

function showChoices() {
  const [run, answer] = [currentRun(), currentAnswer()];
  setOptions(byId('run'), state.runs.map(({ name }, index) => [index, name]), state.run);
  byId('run-switch').hidden = state.runs.length < 2;
  const optimizers = [...new Set(run.answers.map(({ optimizer }) => optimizer))];
  setOptions(byId('optimizer'), optimizers.map((name) => [name, name]), answer?.optimizer ?? '');
  const steps = run.answers.map((other, index) => [index, other]).filter(([, other]) => other.optimizer === answer?.optimizer);
  setOptions(byId('step'), steps.map(([index, other]) => [index, grouped(other.step)]), state.answer);
  byId('step-field').hidden = steps.length < 2;
  byId('scope').value = state.scope;
  const names = groupNames(run, state.scope);
  const groups = state.scope === 'run' ? [] : names.map((name, index) => [index, name]);
  setOptions(byId('group'), [['', 'all'], ...groups], state.group ?? '');
  byId('group').disabled = groups.length === 0;
  setOptions(byId('quantity'), [['gradient', 'gradient'], ...(answer === null ? [] : [['critical', 'critical ε']])], state.quantity);
  showPresets(answer);
}

function showPresets(answer) {
  const presets = answer === null ? [] : [
    [answer.own_epsilon === null ? null : 'run’s', answer.own_epsilon],
    ['default', answer.default_epsilon], ['lower', Number(`1e${answer.search[0]}`)], ['upper', Number(`1e${answer.search[1]}`)],
  ].filter(([name, epsilon]) => name !== null && epsilon > 0);
  byId('presets').replaceChildren(...presets.map(([name, epsilon]) => {
    const button = element('button', { type: 'button', class: 'quiet', title: `ε = ${magnitude(epsilon)}` }, name);
    button.addEventListener('click', () => setEdge(nearestEdge(epsilon)));
    return button;
  }));
}

function showEverything() {
  const [run, answer] = [currentRun(), currentAnswer()];
  const [least, greatest] = epsilonRange();
  const slider = byId('epsilon');
  Object.assign(slider, { min: String(least), max: String(greatest), step: String(answer === null ? 1 : epsilonStride(answer)) });
  for (const node of document.querySelectorAll('.of-epsilon')) node.hidden = answer === null;
  const elements = run.tensors.reduce((sum, { numel }) => sum + numel, 0);
  setText('about-run', `${run.name} · ${run.mode}${run.finished ? '' : ', unfinished'} · ${plural(run.last_step, 'step')} · ${plural(elements, 'element')} in ${plural(run.tensors.length, 'tensor')} · trained with ${run.optimizer}, lr ${magnitude(run.learning_rate)}, ε ${magnitude(run.epsilon)}`);
  const verdict = answer === null ? 'No critical ε is known of this run.' : answer.verdict;
  setText('verdict', sentence(verdict));
  listItems('notes', [...(answer?.notes ?? []), ...run.missing]);
  listItems('exactness', exactness(run, answer));
  document.title = `Epsiloscope report: ${run.name}`;
  drawHeatmap();
  drawHistogram();
  drawResponse();
  drawRates();
  drawParts();
  drawComparison();
  showEpsilon();
}

/** What was coarsened, sampled or interpolated. */
function exactness(run, answer) {
  const ofQuantity = (quantity) => {
    const { run: all, tensors } = quantity;
    const windows = (table) => `${plural(table.windows.length, 'window')} of steps and ${table.bins_per_decade} bins per decade`;
    return `Histograms of ${quantity.name}: over all tensors in ${windows(all)}, per tensor, layer and kind in ${windows(tensors)}. Merged counts are exact sums.`;
  };
  return [
    ...run.quantities.filter(({ name }) => name === (isGradientShown() ? 'gradient' : answer?.quantity)).map(ofQuantity),
    ...(run.is_sample ? ['Histograms are of the recorded sample of elements, the same ones at every step.'] : []),
    `ε stands at edges of bins, ${answer !== null && answer.is_inside_root ? 20 : 40} to a decade, where shares are exact counts: nothing is interpolated. Curves are straight between edges.`,
    'Elements without any gradient other than zero have no critical ε and are left out of shares.',
  ];
}

/** Everything that follows ε alone. */
function showEpsilon() {
  const answer = currentAnswer();
  for (const chart of charts.values()) chart.place();
  if (answer === null) return;
  showSlider();
  showTiles(answer, currentEpsilon());
  updateParts();
  updateComparison();
}

function showSlider() {
  const epsilon = currentEpsilon();
  const slider = byId('epsilon');
  slider.value = String(state.edge);
  slider.setAttribute('aria-valuetext', magnitude(epsilon));
  const text = byId('epsilon-text');
  if (document.activeElement !== text) text.value = magnitude(epsilon);
  text.dataset.value = String(epsilon);
}

function showTiles(answer, epsilon) {
  const { scope, group, name } = currentSelection();
  const part = partOf(answer, scope, name);
  const share = shareBelow(answer, members(currentRun(), scope, group), state.edge);
  const interval = scope === 'run' ? shareInterval(answer, state.edge) : null;
  setNumber('share', percent(share), share);
  byId('share-fill').setAttribute('width', String(100 * (share || 0)));
  const within = interval === null ? '' : ` (${percent(interval[0])} to ${percent(interval[1])}, ${100 * answer.confidence} % sure)`;
  setText('share-caption', `of ${selectionName()}: critical ε below ${magnitude(epsilon)}${within}`);
  if (interval !== null) Object.assign(byId('share').dataset, { low: interval[0], high: interval[1] });
  const regime = regimeOf(share);
  setText('regime', regime);
  byId('regime').className = `pill pill-${regime.replace(' ', '-')}`;
  setText('regime-caption', regimeMeaning(regime, answer, epsilon));
  byId('regime-caption').dataset.value = String(sgdRate(answer, epsilon));
  const rates = part ? ratesAt(answer, part, epsilon) : { low: NaN, median: NaN, high: NaN };
  setNumber('rate', magnitude(rates.median), rates.median);
  Object.assign(byId('rate').dataset, { low: rates.low, high: rates.high });
  const isRateKnown = answer.learning_rate !== null;
  const between = `median element; ${middle(answer)} % of the elements lie between ${magnitude(rates.low)} and ${magnitude(rates.high)}`;
  setText('rate-caption', isRateKnown ? between : RATE_UNKNOWN);
  const matched = matchedRate(answer, epsilon);
  setNumber('matched', magnitude(matched), matched);
  const pace = `keeps the run’s median element as fast as ${magnitude(answer.learning_rate)} at ε ${magnitude(answer.reference_epsilon)}`;
  setText('matched-caption', isRateKnown ? pace : RATE_UNKNOWN);
}

/** Percent of the elements between those at which rates are shown. */
function middle({ percentile }) {
  return Number((100 * (2 * percentile - 1)).toPrecision(3));
}

function regimeMeaning(regime, answer, epsilon) {
  switch (regime) {
    case 'no effect': return 'every smaller ε trains the same';
    case 'mixed': return 'here ε is a hyperparameter';
    default: return answer.learning_rate === null ? 'SGD with momentum' : `SGD with momentum at rate ${magnitude(sgdRate(answer, epsilon))}`;
  }
}

/** Moves ε. The slider says at once where it stands, the rest follows with the next frame: moves may come faster. */
function setEdge(edge) {
  state.edge = edge;
  showSlider();
  showEpsilonSoon();
}

const showEpsilonSoon = oncePerFrame(showEpsilon);

function listen() {
  byId('run').addEventListener('change', ({ target }) => chooseRun(Number(target.value)));
  byId('optimizer').addEventListener('change', ({ target }) => {
    const answer = currentRun().answers.findLastIndex(({ optimizer }) => optimizer === target.value);
    choose({ answer, window: null, ...own(currentRun(), answer) });
  });
  byId('step').addEventListener('change', ({ target }) => choose({ answer: Number(target.value) }));
  byId('scope').addEventListener('change', ({ target }) => choose({ scope: target.value, group: null, window: null }));
  byId('group').addEventListener('change', ({ target }) => choose({ group: target.value === '' ? null : Number(target.value), window: null }));
  byId('quantity').addEventListener('change', ({ target }) => choose({ quantity: target.value, window: null }));
  byId('epsilon').addEventListener('input', ({ target }) => setEdge(Number(target.value)));
  byId('epsilon-text').addEventListener('change', ({ target }) => {
    const epsilon = Number(target.value);
    if (epsilon > 0 && Number.isFinite(epsilon)) setEdge(nearestEdge(epsilon));
    target.value = magnitude(currentEpsilon());
  });
  byId('window').addEventListener('input', ({ target }) => chooseWindow(Number(target.value)));
  byId('all-steps').addEventListener('change', ({ target }) => chooseWindow(target.checked ? null : Number(byId('window').value)));
  byId('histogram-numbers').addEventListener('toggle', ({ target }) => target.open && fillHistogramTable());
  byId('filter').addEventListener('input', ({ target }) => { parts.filter = target.value.toLowerCase(); drawParts(); });
  byId('parts-more').addEventListener('click', () => { parts.limit += MORE_ROWS; drawParts(); });
  byId('theme').addEventListener('click', () => showTheme(!isDark()));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ({ matches }) => showTheme(matches));
  listenToCharts();
}

function chooseWindow(window) {
  state.window = window;
  drawHeatmap();
  drawHistogram();
}

function listenToCharts() {
  const heatmap = chartIn('heatmap');
  const at = ({ offsetX, offsetY }) => [offsetX, offsetY];
  heatmap.drawn.getZr().on('click', (event) => {
    const { model } = heatmap;
    const window = model === null ? null : windowAt(heatmap, model, at(event));
    if (window !== null) chooseWindow(window === state.window ? null : window);
  });
  heatmap.drawn.getZr().on('mousemove', (event) => {
    const { model } = heatmap;
    setText('heatmap-readout', model === null ? '' : readHeatmap(heatmap, model, at(event)));
  });
  for (const id of ['response', 'rates']) {
    const chart = chartIn(id);
    chart.drawn.getZr().on('click', (event) => {
      if (!chart.drawn.containPixel('grid', at(event))) return;
      setEdge(nearestEdge(10 ** chart.drawn.convertFromPixel({ xAxisIndex: 0 }, event.offsetX)));
    });
  }
}

function showTheme(dark) {
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  byId('theme').textContent = dark ? 'Light' : 'Dark';
  showEverything();
}

read().then((data) => {
  state.runs = data.runs;
  state.scope = data.scope;
  const run = data.runs[0];
  const trained = run.answers.findLastIndex((answer) => answer.own_epsilon !== null);
  state.answer = Math.max(trained, 0);
  Object.assign(state, own(run, state.answer));
  if (run.quantities.every(({ name }) => name !== 'gradient') && run.answers.length > 0) state.quantity = 'critical';
  byId('page').hidden = false;
  setText('footer', `Made by Epsiloscope ${data.version}. Drawn with Apache ECharts 6.1.0, © The Apache Software Foundation, Apache License 2.0.`);
  listen();
  showChoices();
  showTheme(isDark());
  document.documentElement.dataset.ready = 'true';
}).catch((fault) => {
  byId('fault').hidden = false;
  setText('fault', `This page cannot be shown: ${fault.message}. It needs a browser from 2023 or later.`);
  throw fault;
});
