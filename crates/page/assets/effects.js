// What an ε does: the formulas of `epsiloscope candidates` over counts of critical ε.
//
// ε stands at the edge of a bin, so that no bin is divided. Where ε is added inside the root, critical ε are counted by
// their roots and ε moves by twos.

/** Prefix sums of an answer's tensors, made once. */
function prepared(answer) {
  if (!answer.ready) {
    answer.ready = answer.tensors.map((tensor) => {
      if (tensor === null) return null;
      const histogram = added([tensor.counts]);
      const n = histogram.total;
      return { first: histogram.first, below: belowEdges(histogram), n, elements: n * tensor.weight, method: tensor.method };
    });
  }
  return answer.ready;
}

/** Edges by which an ε may move. */
function epsilonStride(answer) {
  return answer.is_inside_root ? 2 : 1;
}

/** The share of some tensors' elements whose critical ε lies below the edge: Σ elements·(below / n) / Σ elements. */
function shareBelow(answer, tensors, edge) {
  const ready = prepared(answer);
  const at = edge / epsilonStride(answer);
  let [ruled, all] = [0, 0];
  for (const tensor of tensors) {
    const of = ready[tensor];
    if (of === null) continue;
    const below = of.below[clamp(at - of.first, 0, of.below.length - 1)];
    ruled += of.elements * (below / of.n);
    all += of.elements;
  }
  return ruled / all;
}

/** Where the run's share lies if some of its tensors were sampled; null if it is certain. */
function shareInterval(answer, edge) {
  if (answer.sampled === null) return null;
  const { first, low, high } = answer.sampled;
  const index = edge / epsilonStride(answer) - first;
  if (index < 0 || low.length <= index) return null;
  return [low[index], high[index]];
}

function regimeOf(share) {
  if (share < 0.01) return 'no effect';
  return share <= 0.99 ? 'mixed' : 'sgd-like';
}

function denominatorAt(answer, critical, epsilon) {
  const { share, again, factor } = answer.denominator;
  if (factor === null) return 1;
  const sum = critical + epsilon;
  return (share === null ? sum : Math.sqrt(sum / share) + (again ? epsilon : 0)) / factor;
}

/** In place of rates of a run whose learning rate is not known. */
const RATE_UNKNOWN = 'The run’s learning rate is not known; report --lr states it.';

/** The learning rate at the reference; NaN if it is not known. */
function learningRate(answer) {
  return answer.learning_rate ?? NaN;
}

/** Effective learning rates of the elements of a part: those of great, median and small gradients. */
function ratesAt(answer, part, epsilon) {
  const [low, median, high] = part.critical.map((critical) => learningRate(answer) / denominatorAt(answer, critical, epsilon));
  return { low: high, median, high: low };
}

/** The rate of the SGD with momentum that this is far above every critical ε. */
function sgdRate(answer, epsilon) {
  return (answer.taken * learningRate(answer)) / denominatorAt(answer, 0, epsilon);
}

/** The learning rate at which the run's median element moves as fast as at the reference. */
function matchedRate(answer, epsilon) {
  const [, median] = partOf(answer, 'run', null).critical;
  const ratio = denominatorAt(answer, median, epsilon) / denominatorAt(answer, median, answer.reference_epsilon);
  return learningRate(answer) * ratio;
}

function partOf(answer, scope, name) {
  return answer.parts.find((part) => part.scope === scope && part.name === name);
}

/** The magnitude that an ε competes with: a gradient's, or a critical ε's as it is counted. */
function competingMagnitude(answer, epsilon, isGradient) {
  if (!isGradient) return answer.is_inside_root ? Math.sqrt(epsilon) : epsilon;
  return answer.denominator.share === null ? epsilon : Math.sqrt(epsilon / answer.denominator.share);
}
