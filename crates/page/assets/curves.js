// What any ε does, as curves: the share of elements that it rules, and the rates at which they move.

/** Curves of single groups are drawn for so many, those with the most elements. */
const MAX_CURVES = 24;
const REGIME_NAMES = ['no effect', 'mixed', 'SGD-like'];

function exponentRange() {
  return epsilonRange().map((edge) => edge / BINS_PER_DECADE);
}

/** Edges at which curves are drawn: all of them in a range. */
function edgesBetween(least, greatest, stride) {
  return Array.from({ length: Math.floor((greatest - least) / stride) + 1 }, (_, index) => least + index * stride);
}

function shareCurve(answer, tensors) {
  const [least, greatest] = epsilonRange();
  return edgesBetween(least, greatest, epsilonStride(answer)).map((edge) => [edge / BINS_PER_DECADE, 100 * shareBelow(answer, tensors, edge)]);
}

function drawResponse() {
  const chart = chartIn('response');
  const [run, answer] = [currentRun(), currentAnswer()];
  if (answer === null) return clearCurve(chart, 'response');
  const range = exponentRange();
  const selection = currentSelection();
  const all = shareCurve(answer, members(run, 'run', 0));
  const { shown, nAll } = shownGroups(answer);
  const thin = shown.map((group) => curve(shareCurve(answer, members(run, state.scope, group)), 'series-thin', 1));
  const chosen = selection.scope === 'run' ? [] : [curve(shareCurve(answer, members(run, selection.scope, selection.group)), 'accent', 2.5)];
  draw(chart, {
    grid: GRID,
    xAxis: logAxis(`ε of ${answer.optimizer}`, range),
    yAxis: axisOf('elements that ε rules (%)', { min: 0, max: 100, nameGap: 42 }),
    series: [...thin, { ...curve(all, 'text', 2), markArea: regimeZones(all, range), markLine: responseLines(answer) }, ...chosen],
  });
  chart.line.hidden = false;
  chart.place = () => placeMark(chart, 'x', state.edge / BINS_PER_DECADE, range);
  chart.place();
  const more = shown.length < nAll ? `the ${shown.length} greatest of ${nAll} ${state.scope}s` : `each ${state.scope}`;
  setText('response-caption', state.scope === 'run' ? 'The run. A press sets ε.' : `Thick: the run${chosen.length ? `; coloured: ${selectionName()}` : ''}; thin: ${more}. A press sets ε.`);
  describe('response', `Share of elements with a critical ε below ε, for ${answer.optimizer} after step ${answer.step}; the table of ${state.scope === 'run' ? 'tensors' : `${state.scope}s`} holds the shares at the chosen ε.`);
}

/** Groups with curves of their own. */
function shownGroups(answer) {
  if (state.scope === 'run') return { shown: [], nAll: 0 };
  const names = groupNames(currentRun(), state.scope);
  const known = answer.parts.filter((part) => part.scope === state.scope);
  const greatest = [...known].sort((a, b) => b.numel - a.numel).slice(0, MAX_CURVES);
  return { shown: greatest.map((part) => names.indexOf(part.name)), nAll: known.length };
}

function curve(data, colorName, width) {
  return { type: 'line', symbol: 'none', silent: true, data, lineStyle: { color: color(colorName), width }, itemStyle: { color: color(colorName) } };
}

/** Where an ε has no effect, is a hyperparameter, or makes SGD of the optimizer. */
function regimeZones(all, [least, greatest]) {
  const crossing = (share) => all.find(([, percentage]) => percentage >= 100 * share)?.[0] ?? greatest;
  const ends = [least, crossing(0.01), crossing(0.99), greatest];
  const zone = (name, index) => [
    { name, xAxis: ends[index], itemStyle: { color: index === 1 ? color('zone') : 'transparent' } }, { xAxis: ends[index + 1] },
  ];
  const isWide = (_, index) => ends[index + 1] - ends[index] > (greatest - least) / 7;
  return {
    silent: true, animation: false, label: { position: 'insideTop', color: color('muted'), fontSize: 11 },
    data: REGIME_NAMES.map(zone).filter(isWide),
  };
}

function responseLines(answer) {
  const name = answer.own_epsilon === null ? 'default' : 'run’s ε';
  return namedLines('x', answer.reference_epsilon > 0 ? [[name, Math.log10(answer.reference_epsilon)]] : []);
}

function drawRates() {
  const chart = chartIn('rates');
  const answer = currentAnswer();
  const { scope, name } = currentSelection();
  const part = answer === null ? null : partOf(answer, scope, name);
  if (!part) return clearCurve(chart, 'rates');
  if (answer.learning_rate === null) return clearCurve(chart, 'rates', RATE_UNKNOWN);
  const range = exponentRange();
  const edges = edgesBetween(...epsilonRange(), epsilonStride(answer));
  const along = (rate) => edges.map((edge) => [edge / BINS_PER_DECADE, Math.log10(rate(edgeValue(edge)))]);
  const [low, median, high] = ['low', 'median', 'high'].map((of) => along((epsilon) => ratesAt(answer, part, epsilon)[of]));
  const sgd = along((epsilon) => sgdRate(answer, epsilon) / answer.taken);
  const values = [low, median, high].flatMap((line) => line.map(([, value]) => value)).filter(Number.isFinite);
  const yRange = wholeDecades(Math.min(...values), Math.max(...values));
  draw(chart, {
    grid: GRID,
    xAxis: logAxis(`ε of ${answer.optimizer}`, range),
    yAxis: logAxis('learning rate ÷ denominator', yRange, { nameGap: 42 }),
    series: [
      named(curve(high, 'series', 1.5), 'small gradients'), named(curve(median, 'text', 2.5), 'median'), named(curve(low, 'series', 1.5), 'great gradients'),
      { ...curve(sgd, 'muted', 1.2), clip: true, lineStyle: { color: color('muted'), width: 1.2, type: 'dashed' } },
    ],
  });
  chart.line.hidden = false;
  chart.place = () => placeMark(chart, 'x', state.edge / BINS_PER_DECADE, range);
  chart.place();
  const p = Math.round(100 * answer.percentile);
  setText('rates-caption', sentence(`${selectionName()}, at learning rate ${magnitude(answer.learning_rate)}: median element, and those at ${100 - p} and ${p} %. Dashed: as if ε ruled all.`));
  describe('rates', `Effective learning rate of ${selectionName()} against ε, falling from ${magnitude(10 ** median[0][1])} to ${magnitude(10 ** median.at(-1)[1])} for the median element.`);
}

/** A curve with its name where it begins. */
function named(series, name) {
  const point = { coord: series.data[0], name };
  const label = { show: true, formatter: name, position: 'right', color: color('muted'), fontSize: 11, offset: [2, -8] };
  return { ...series, markPoint: { silent: true, animation: false, symbol: 'rect', symbolSize: 0, label, data: [point] } };
}

function clearCurve(chart, id, why = 'No critical ε is known of this.') {
  chart.drawn.clear();
  chart.line.hidden = true;
  chart.place = () => {};
  setText(`${id}-caption`, why);
  describe(id, why);
}
