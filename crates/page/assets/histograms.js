// Histograms as the data hold them, `[first bin, zeros, not finite, counts…]`, and their exact sums.

const APART = 3;

/** Several histograms of equal bins, added: {first, counts, zeros, nonFinite, total}. */
function added(histograms) {
  const present = histograms.filter((histogram) => histogram !== null);
  const sum = { first: 0, counts: new Float64Array(0), zeros: 0, nonFinite: 0, total: 0 };
  if (present.length === 0) return sum;
  sum.first = Math.min(...present.map((histogram) => histogram[0]));
  const end = Math.max(...present.map((histogram) => histogram[0] + histogram.length - APART));
  sum.counts = new Float64Array(end - sum.first);
  for (const histogram of present) {
    sum.zeros += histogram[1];
    sum.nonFinite += histogram[2];
    const offset = histogram[0] - sum.first - APART;
    for (let index = APART; index < histogram.length; index += 1) sum.counts[offset + index] += histogram[index];
  }
  sum.total = sum.counts.reduce((total, count) => total + count, 0);
  return sum;
}

/** Numbers of elements below each edge: one more than there are counts. */
function belowEdges(histogram) {
  const below = new Float64Array(histogram.counts.length + 1);
  histogram.counts.forEach((count, index) => { below[index + 1] = below[index] + count; });
  return below;
}

/** Places of the tensors in a group, ascending. */
function members(run, scope, group) {
  const all = run.tensors.map((_, tensor) => tensor);
  switch (scope) {
    case 'tensor': return [group];
    case 'layer': return all.filter((tensor) => run.tensors[tensor].layer === group);
    case 'kind': return all.filter((tensor) => run.tensors[tensor].kind === group);
    default: return all;
  }
}

/** Names of the groups of a scope, in the order of their numbers; of the run none. */
function groupNames(run, scope) {
  switch (scope) {
    case 'tensor': return run.tensors.map((tensor) => tensor.name);
    case 'layer': return run.layers;
    case 'kind': return run.kinds;
    default: return [null];
  }
}

/** The number of a group by its name. */
function groupNumber(run, scope, name) {
  run.numbers ??= {};
  run.numbers[scope] ??= new Map(groupNames(run, scope).map((of, number) => [of, number]));
  return run.numbers[scope].get(name);
}

/** A quantity of a group through training: {binsPerDecade, windows, columns}; null where nothing was counted. */
function throughTraining(run, quantity, scope, group) {
  const table = scope === 'run' ? quantity.run : quantity.tensors;
  const rows = scope === 'run' ? [0] : members(run, scope, group);
  const columns = table.windows.map((_, window) => added(rows.map((row) => table.groups[row][window])));
  return { binsPerDecade: table.bins_per_decade, windows: table.windows, columns };
}

/** Columns of equal bins, added. */
function summed(columns) {
  return added(columns.map((column) => [column.first, column.zeros, column.nonFinite, ...column.counts]));
}
