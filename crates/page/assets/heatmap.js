// Magnitudes through training: one column per window of steps, one row per bin, the density as colour.

/** Of the picture; columns and rows are told apart by whole pixels, for it is scaled smoothly. */
const PICTURE = { width: 1200, height: 600 };

/** The shown magnitudes in the form of the heat map; null if there are none. */
function heatmapModel() {
  const series = currentSeries();
  if (series === null || series.windows.length === 0) return null;
  const { windows, columns, binsPerDecade } = series;
  const filledColumns = columns.filter((column) => column.total > 0);
  if (filledColumns.length === 0) return null;
  const first = Math.min(...filledColumns.map((column) => column.first));
  const end = Math.max(...filledColumns.map((column) => column.first + column.counts.length));
  const most = Math.max(...filledColumns.map((column) => Math.max(...column.counts) * binsPerDecade / column.total));
  const spans = windowSpans(windows);
  return { windows, columns, binsPerDecade, first, end, most, ...spans };
}

/** Where each column stands: by its steps where they follow each other closely, else side by side. */
function windowSpans(windows) {
  const { cadence } = currentRun();
  const bySteps = windows.map(([first, last]) => [first - cadence, last]);
  const covered = bySteps.reduce((sum, [start, end]) => sum + end - start, 0);
  const span = [bySteps[0][0], bySteps.at(-1)[1]];
  if (2 * covered > span[1] - span[0] && windows.length > 1) return { spans: bySteps, span, isBySteps: true };
  return { spans: windows.map((_, index) => [index, index + 1]), span: [0, windows.length], isBySteps: false };
}

function drawHeatmap() {
  const chart = chartIn('heatmap');
  const [answer, model] = [currentAnswer(), heatmapModel()];
  chart.model = model;
  const what = isGradientShown() ? 'gradient magnitude' : `critical ε of ${answer?.optimizer}`;
  setText('heatmap-title', sentence(`${what} through training`));
  byId('heatmap-legend').hidden = model === null;
  if (model === null) {
    chart.drawn.clear();
    chart.place = () => {};
    chart.line.hidden = true;
    setText('heatmap-caption', 'Nothing of this was recorded through training.');
    return;
  }
  const range = magnitudeRange(model, answer);
  const image = heatmapImage(model);
  const { span, spans, isBySteps, windows } = model;
  const corner = [model.first / model.binsPerDecade, model.end / model.binsPerDecade];
  draw(chart, {
    grid: GRID,
    xAxis: axisOf(isBySteps ? 'step' : 'after step', {
      min: span[0], max: span[1],
      ...(isBySteps ? {} : { interval: Math.ceil(windows.length / 12) }),
      axisLabel: { hideOverlap: true, formatter: (value) => columnLabel(value, isBySteps, windows), ...(isBySteps ? {} : { align: 'left' }) },
    }),
    yAxis: logAxis(isGradientShown() ? '|g| (loss per unit of parameter)' : 'critical ε', range, { nameGap: 42 }),
    series: [{
      type: 'custom', clip: true, silent: true, data: [0],
      renderItem: (_, api) => {
        const [left, top] = api.coord([span[0], corner[1]]);
        const [right, bottom] = api.coord([span[1], corner[0]]);
        return { type: 'image', style: { image, x: left, y: top, width: right - left, height: bottom - top } };
      },
    }, {
      type: 'line', data: [], z: 5,
      markArea: answer === null ? undefined : searchBand('y', searchExponents(answer), range),
      markLine: namedLines('y', referenceLines(answer)),
    }, ...chosenWindow(spans)],
  });
  chart.line.hidden = answer === null;
  chart.place = () => answer !== null && placeMark(chart, 'y', Math.log10(competingMagnitude(answer, currentEpsilon(), isGradientShown())), range);
  chart.place();
  setText('heatmap-most', `${model.most.toPrecision(2)} of the elements per decade`);
  drawScale();
  setText('heatmap-caption', heatmapCaption(model, answer));
  describe('heatmap', heatmapDescription(model, what));
}

function columnLabel(value, isBySteps, windows) {
  if (isBySteps) return grouped(Math.round(value));
  return Number.isInteger(value) && value < windows.length ? grouped(windows[value][1]) : '';
}

/** Exponents of the magnitudes shown: everything counted, the search space, and the run's own ε. */
function magnitudeRange(model, answer) {
  const ends = [model.first / model.binsPerDecade, model.end / model.binsPerDecade];
  if (answer !== null) ends.push(...searchExponents(answer), ...referenceLines(answer).map(([, value]) => value));
  return wholeDecades(Math.min(...ends), Math.max(...ends));
}

/** The run's own ε, or the default of another optimizer. */
function referenceLines(answer) {
  if (answer === null || answer.reference_epsilon === 0) return [];
  const name = answer.own_epsilon === null ? 'default ε' : 'run’s ε';
  const value = Math.log10(competingMagnitude(answer, answer.reference_epsilon, isGradientShown()));
  return [[`${name} ${magnitude(answer.reference_epsilon)}`, value]];
}

/** A frame around the steps that the histogram is over. */
function chosenWindow(spans) {
  if (state.window === null || !spans[state.window]) return [];
  const [start, end] = spans[state.window];
  const style = { color: 'transparent', borderColor: color('text'), borderWidth: 1.5 };
  return [{ type: 'line', data: [], z: 6, markArea: { silent: true, animation: false, itemStyle: style, data: [[{ xAxis: start }, { xAxis: end }]] } }];
}

function heatmapImage(model) {
  const canvas = document.createElement('canvas');
  const [start, stop] = model.span;
  const rowHeight = Math.ceil(PICTURE.height / (model.end - model.first));
  canvas.width = PICTURE.width;
  canvas.height = (model.end - model.first) * rowHeight;
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(canvas.width, canvas.height);
  const colors = densityColor();
  let window = 0;
  for (let x = 0; x < canvas.width; x += 1) {
    const place = start + ((x + 0.5) * (stop - start)) / canvas.width;
    while (window + 1 < model.spans.length && model.spans[window][1] < place) window += 1;
    if (model.spans[window][0] <= place) paintColumn(pixels, x, rowHeight, model, model.columns[window], colors);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function paintColumn(pixels, x, rowHeight, model, column, colors) {
  const scale = model.binsPerDecade / column.total / model.most;
  column.counts.forEach((count, index) => {
    if (count === 0) return;
    const top = (model.end - 1 - column.first - index) * rowHeight;
    // The root brings out the tails, where the bounds lie.
    const color = colors(Math.sqrt(count * scale));
    for (let y = top; y < top + rowHeight; y += 1) pixels.data.set(color, 4 * (y * pixels.width + x));
  });
}

function drawScale() {
  const canvas = byId('heatmap-scale');
  const context = canvas.getContext('2d');
  const colors = densityColor();
  for (let x = 0; x < canvas.width; x += 1) {
    context.fillStyle = `rgb(${colors(Math.sqrt(x / canvas.width)).join(',')})`;
    context.fillRect(x, 0, 1, canvas.height);
  }
}

function heatmapCaption(model, answer) {
  const floor = answer !== null && isGradientShown() && answer.denominator.share !== null;
  const parts = [
    `${selectionName()}; ${plural(model.windows.length, 'window')} of steps, ${model.binsPerDecade} bins per decade.`,
    floor ? 'ε is shown where it competes with gradients: at the root of what accumulates in the denominator.' : '',
    'A press chooses the steps of the histogram.',
  ];
  return sentence(parts.filter((part) => part !== '').join(' '));
}

function heatmapDescription(model, what) {
  const total = summed(model.columns);
  const below = belowEdges(total);
  const quantile = (share) => edgeValue(total.first + below.findIndex((count) => count >= share * total.total), model.binsPerDecade);
  return `Heat map of ${what}, ${selectionName()}, over ${stepRange([model.windows[0][0], model.windows.at(-1)[1]])}: `
    + `median about ${magnitude(quantile(0.5))}, 2nd percentile ${magnitude(quantile(0.02))}, 98th ${magnitude(quantile(0.98))}.`;
}

/** The window under a point of the heat map. */
function windowAt(chart, model, [x, y]) {
  if (!chart.drawn.containPixel('grid', [x, y])) return null;
  const place = chart.drawn.convertFromPixel({ xAxisIndex: 0 }, x);
  const found = model.spans.findIndex(([start, end]) => start <= place && place <= end);
  return found < 0 ? null : found;
}

function readHeatmap(chart, model, point) {
  const window = windowAt(chart, model, point);
  if (window === null) return '';
  const bin = Math.floor(chart.drawn.convertFromPixel({ yAxisIndex: 0 }, point[1]) * model.binsPerDecade);
  const column = model.columns[window];
  const count = column.counts[bin - column.first] ?? 0;
  const [lower, upper] = [bin, bin + 1].map((edge) => magnitude(edgeValue(edge, model.binsPerDecade)));
  const density = (count * model.binsPerDecade) / column.total;
  return `${stepRange(model.windows[window])} · ${lower} to ${upper} · ${plural(count, 'element')} · ${density.toPrecision(3)} per decade`;
}
