// The histogram of the chosen steps and its cumulative share, drawn and as a table.

/** {binsPerDecade, windows, steps, column}; null if nothing is shown. */
function histogramModel() {
  const series = currentSeries();
  if (series === null || series.windows.length === 0) return null;
  const { windows, columns, binsPerDecade } = series;
  const isAll = state.window === null || !windows[state.window];
  const column = isAll ? summed(columns) : columns[state.window];
  const steps = isAll ? [windows[0][0], windows.at(-1)[1]] : windows[state.window];
  return { binsPerDecade, windows, steps, column };
}

function drawHistogram() {
  const chart = chartIn('histogram');
  const [answer, model] = [currentAnswer(), histogramModel()];
  showWindow(model);
  byId('histogram-numbers').hidden = model === null;
  if (model === null || model.column.total === 0) {
    chart.drawn.clear();
    chart.line.hidden = true;
    chart.place = () => {};
    describe('histogram', 'No histogram of this was recorded.');
    return;
  }
  const { column, binsPerDecade } = model;
  const end = column.first + column.counts.length;
  const range = magnitudeRange({ first: column.first, end, binsPerDecade }, answer);
  const density = [...column.counts].map((count, index) => [(column.first + index) / binsPerDecade, (count * binsPerDecade) / column.total]);
  const cumulative = [...belowEdges(column)].map((below, index) => [(column.first + index) / binsPerDecade, (100 * below) / column.total]);
  draw(chart, {
    grid: GRID,
    tooltip: histogramTooltip(model),
    xAxis: logAxis(isGradientShown() ? 'gradient magnitude |g| (loss per unit of parameter)' : `critical ε of ${answer.optimizer}`, range),
    yAxis: [
      axisOf('share of elements per decade', { min: 0, nameGap: 38, boundaryGap: [0, '14%'] }),
      axisOf('share below (%)', { min: 0, max: 100, nameGap: 32, splitLine: { show: false }, position: 'right' }),
    ],
    series: [
      {
        type: 'line', step: 'end', symbol: 'none', name: 'density', data: [...density, [end / binsPerDecade, 0]],
        lineStyle: { color: color('series'), width: 1.2 }, itemStyle: { color: color('series') }, areaStyle: { color: color('series-fill') },
        markArea: answer === null ? undefined : searchBand('x', searchExponents(answer)),
        markLine: namedLines('x', referenceLines(answer)),
      },
      {
        type: 'line', symbol: 'none', name: 'share below', yAxisIndex: 1, data: cumulative,
        lineStyle: { color: color('text'), width: 1.5, type: [6, 3] }, itemStyle: { color: color('text') },
      },
    ],
  });
  chart.line.hidden = answer === null;
  chart.place = () => answer !== null && placeMark(chart, 'x', Math.log10(competingMagnitude(answer, currentEpsilon(), isGradientShown())), range);
  chart.place();
  describe('histogram', `Histogram over ${stepRange(model.steps)}, ${selectionName()}: ${plural(column.total, 'magnitude')}, ${plural(column.zeros, 'exact zero')}. The table below holds its numbers.`);
  if (byId('histogram-numbers').open) fillHistogramTable();
}

function histogramTooltip({ column, binsPerDecade }) {
  return {
    trigger: 'axis', renderMode: 'richText', confine: true, axisPointer: { type: 'line', lineStyle: { color: color('line') } },
    backgroundColor: color('surface'), borderColor: color('line'), textStyle: { color: color('text'), fontSize: 12 },
    formatter: ([{ axisValue }]) => {
      const bin = Math.floor(axisValue * binsPerDecade + 1e-9);
      const count = column.counts[bin - column.first] ?? 0;
      const [lower, upper] = [bin, bin + 1].map((edge) => magnitude(edgeValue(edge, binsPerDecade)));
      return `${lower} to ${upper}\n${plural(count, 'element')}`;
    },
  };
}

function showWindow(model) {
  const slider = byId('window');
  const isAll = model === null || state.window === null || !model.windows[state.window];
  byId('all-steps').checked = isAll;
  byId('all-steps').disabled = model === null;
  slider.max = String(Math.max((model?.windows.length ?? 1) - 1, 0));
  slider.disabled = model === null;
  if (!isAll) slider.value = String(state.window);
  setText('window-steps', model === null ? 'nothing recorded' : stepRange(model.steps));
  slider.setAttribute('aria-valuetext', byId('window-steps').textContent);
}

/** The columns of `epsiloscope histogram`. */
function fillHistogramTable() {
  const model = histogramModel();
  if (model === null) return;
  const { column, binsPerDecade } = model;
  const below = belowEdges(column);
  const rows = [...column.counts].map((count, index) => {
    if (count === 0) return null;
    const bin = column.first + index;
    const numbers = [bin, ...[bin, bin + 1].map((edge) => magnitude(edgeValue(edge, binsPerDecade))), grouped(count), percent(below[index + 1] / column.total)];
    const row = element('tr', {}, ...numbers.map((text) => element('td', { class: 'number' }, String(text))));
    Object.assign(row.dataset, { bin, count, cumulative: below[index + 1] / column.total });
    return row;
  });
  const head = tableHead(['bin', 'from', 'to (excluded)', 'elements', 'share below'].map((text) => [text, 'number']));
  const apart = `${plural(column.zeros, 'exact zero')} and ${plural(column.nonFinite, 'value')} that are not finite are counted apart.`;
  const caption = element('caption', {}, `${selectionName()}, ${stepRange(model.steps)}, ${binsPerDecade} bins per decade. ${apart}`);
  byId('histogram-table').replaceChildren(caption, head, element('tbody', {}, ...rows));
}
