// What is chosen, and what follows from it.

const state = { runs: [], run: 0, answer: 0, scope: 'layer', group: null, quantity: 'gradient', window: null, edge: -320 };

function currentRun() {
  return state.runs[state.run];
}

function currentAnswer() {
  return currentRun().answers[state.answer] ?? null;
}

/** The answer of another run to the same question: same optimizer, its last step. */
function sameAnswer(run) {
  const asked = currentAnswer();
  return run.answers.filter((answer) => asked !== null && answer.optimizer === asked.optimizer).at(-1) ?? null;
}

/** Scope and group that the charts are about: all tensors unless one group is chosen. */
function currentSelection() {
  const isAll = state.scope === 'run' || state.group === null;
  return isAll ? { scope: 'run', group: 0, name: null } : { scope: state.scope, group: state.group, name: groupNames(currentRun(), state.scope)[state.group] };
}

function selectionName() {
  const { name, scope } = currentSelection();
  return name === null ? 'all tensors' : `${scope} ${name}`;
}

function currentEpsilon() {
  return edgeValue(state.edge);
}

function isGradientShown() {
  return state.quantity === 'gradient';
}

/** The magnitudes shown, through training; those of critical ε also from the answers, if the recorder took none. */
function currentSeries() {
  const run = currentRun();
  const { scope, group } = currentSelection();
  const answer = currentAnswer();
  const name = isGradientShown() ? 'gradient' : answer?.quantity;
  const quantity = run.quantities.find((recorded) => recorded.name === name);
  if (quantity) return throughTraining(run, quantity, scope, group);
  if (isGradientShown() || answer === null) return null;
  const answers = run.answers.filter((other) => other.optimizer === answer.optimizer);
  const rows = members(run, scope, group);
  const column = (other) => added(rows.map((row) => other.tensors[row]?.counts ?? null));
  return { binsPerDecade: BINS_PER_DECADE, windows: answers.map(({ step }) => [step, step]), columns: answers.map(column) };
}

/** The edge nearest to an ε. */
function edgeNear(answer, epsilon) {
  const stride = answer === null ? 1 : epsilonStride(answer);
  return Math.round((Math.log10(epsilon) * BINS_PER_DECADE) / stride) * stride;
}

/** The edge nearest to an ε, where it may stand. */
function nearestEdge(epsilon) {
  const [least, greatest] = epsilonRange();
  return clamp(edgeNear(currentAnswer(), epsilon), least, greatest);
}

/** Edges between which ε may stand: every critical ε, the run's, the default and the range of trial and error. */
function epsilonRange() {
  const answer = currentAnswer();
  if (answer === null) return [-480, 80];
  if (!answer.range) {
    const stride = epsilonStride(answer);
    const ready = prepared(answer).filter((tensor) => tensor !== null);
    const ends = ready.flatMap((tensor) => [tensor.first * stride, (tensor.first + tensor.below.length) * stride]);
    const known = [answer.reference_epsilon, answer.default_epsilon, ...answer.trial].filter((epsilon) => epsilon > 0);
    ends.push(...known.map((epsilon) => Math.log10(epsilon) * BINS_PER_DECADE));
    const exponents = ends.map((edge) => edge / BINS_PER_DECADE);
    answer.range = wholeDecades(Math.min(...exponents), Math.max(...exponents)).map((exponent) => exponent * BINS_PER_DECADE);
  }
  return answer.range;
}
