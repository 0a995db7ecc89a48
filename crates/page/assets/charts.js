// What all charts have in common: colours, axes, and lines that follow ε without anything being drawn anew.

const charts = new Map();

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A chart in an element, and a line in it that marks ε. */
function chartIn(id) {
  if (!charts.has(id)) {
    const node = byId(id);
    const canvas = element('div', { class: 'canvas' });
    const line = element('div', { class: 'mark', 'aria-hidden': 'true' }, element('span', { class: 'mark-label' }));
    node.append(canvas, line);
    const chart = { node, line, drawn: echarts.init(canvas, null, { renderer: 'canvas' }), place: () => {} };
    charts.set(id, chart);
    new ResizeObserver(() => { if (node.clientWidth > 0) { chart.drawn.resize(); chart.place(); } }).observe(node);
  }
  return charts.get(id);
}

function draw(chart, option) {
  chart.drawn.setOption({ animation: false, textStyle: { fontFamily: 'inherit' }, ...option }, { notMerge: true });
}

/** Says in words what a chart shows. */
function describe(id, text) {
  byId(id).setAttribute('aria-label', text);
}

/** Puts the line that marks ε at a value of an axis; beyond the axis it stays at its end, paler. */
function placeMark(chart, axis, value, [least, greatest]) {
  const at = clamp(value, least, greatest);
  const finder = axis === 'x' ? { xAxisIndex: 0 } : { yAxisIndex: 0 };
  const pixel = chart.drawn.convertToPixel(finder, at);
  const { left, right, top, bottom } = GRID;
  const [width, height] = [chart.drawn.getWidth(), chart.drawn.getHeight()];
  const style = chart.line.style;
  const isX = axis === 'x';
  // Moved by a transformation, for which nothing is laid out.
  style.transform = `translate(${isX ? pixel : left}px, ${isX ? top : pixel}px)`;
  style.width = `${isX ? 0 : width - left - right}px`;
  style.height = `${isX ? height - top - bottom : 0}px`;
  chart.line.classList.toggle('mark-beyond', at !== value);
  chart.line.classList.toggle('mark-late', isX && pixel > width * 0.7);
  chart.line.firstChild.textContent = `ε ${magnitude(currentEpsilon())}`;
}

const GRID = { left: 62, right: 52, top: 22, bottom: 46 };

/** Many decades are labelled by twos, so that their ends are even. */
const MANY_DECADES = 9;

function wholeDecades(least, greatest) {
  const [low, high] = [Math.floor(least), Math.ceil(greatest)];
  return high - low > MANY_DECADES ? [2 * Math.floor(low / 2), 2 * Math.ceil(high / 2)] : [low, high];
}

function logAxis(name, [min, max], extra = {}) {
  return axisOf(name, {
    min, max, interval: max - min > 2 * MANY_DECADES ? 4 : max - min > MANY_DECADES ? 2 : 1, ...extra,
    axisLabel: { formatter: (value) => (Number.isInteger(value) ? powerLabel(value) : ''), hideOverlap: true, ...extra.axisLabel },
  });
}

function axisOf(name, extra = {}) {
  return {
    type: 'value', name, nameLocation: 'middle', nameGap: 28, nameTextStyle: { color: color('muted'), fontSize: 12 },
    axisLine: { show: true, onZero: false, lineStyle: { color: color('line') } }, axisTick: { show: true, lineStyle: { color: color('line') } },
    splitLine: { show: false }, ...extra,
    axisLabel: { color: color('muted'), fontSize: 11, ...extra.axisLabel },
  };
}

/** The search space as a band along an axis; if the axis' ends are given, what lies outside is veiled as well. */
function searchBand(axis, [lower, upper], ends = null) {
  const name = axis === 'x' ? 'xAxis' : 'yAxis';
  const veil = { itemStyle: { color: color('veil'), borderWidth: 0 }, label: { show: false } };
  const outside = ends === null ? [] : [[{ ...veil, [name]: ends[0] }, { [name]: lower }], [{ ...veil, [name]: upper }, { [name]: ends[1] }]];
  const band = ends === null ? color('band') : 'transparent';
  const label = ends === null ? { padding: [5, 0, 0, 0] } : { backgroundColor: color('surface'), padding: [1, 5], lineHeight: 16, borderRadius: 4 };
  return {
    z: 4, silent: true, animation: false, itemStyle: { color: band, borderColor: color('band-edge'), borderWidth: 1.2, borderType: [5, 4] },
    label: { show: true, position: axis === 'x' ? 'insideTop' : 'insideTopRight', color: color('band-text'), fontSize: 11, fontWeight: 'bold', ...label },
    data: [...outside, [{ name: 'search space', [name]: lower }, { [name]: upper }]],
  };
}

/** Ends of the search space on the axis of the magnitudes shown, as exponents. */
function searchExponents(answer) {
  return answer.search.map((exponent) => Math.log10(competingMagnitude(answer, Number(`1e${exponent}`), isGradientShown())));
}

/** Dotted lines at values of an axis, with names: above the chart, or in it along lines that run across. */
function namedLines(axis, lines) {
  return {
    silent: true, symbol: 'none', animation: false,
    lineStyle: { color: color('muted'), type: 'dotted', width: 1.5 },
    label: { color: color('muted'), fontSize: 11, position: axis === 'x' ? 'end' : 'insideEndTop', distance: 3, formatter: ({ name }) => name },
    data: lines.map(([name, value]) => ({ name, [axis === 'x' ? 'xAxis' : 'yAxis']: value })),
  };
}

function linear(hex, share) {
  return hex.map((stop) => parseInt(stop.slice(1), 16)).map((rgb) => [rgb >> 16, (rgb >> 8) & 255, rgb & 255])
    .reduce((mixed, rgb, index, stops) => {
      const place = clamp(share, 0, 1) * (stops.length - 1);
      const weight = Math.max(0, 1 - Math.abs(place - index));
      return mixed.map((part, channel) => part + weight * rgb[channel]);
    }, [0, 0, 0]);
}

/** Colours of a share of the greatest density: viridis, readable without colour by lightness alone. */
function densityColor() {
  const viridis = ['#440154', '#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962', '#addc30', '#fde725'];
  const stops = isDark() ? viridis : [...viridis].reverse();
  const table = Array.from({ length: 256 }, (_, index) => [...linear(stops, index / 255).map(Math.round), 255]);
  return (share) => table[Math.round(clamp(share, 0, 1) * 255)];
}

function isDark() {
  return color('is-dark') === '1';
}
