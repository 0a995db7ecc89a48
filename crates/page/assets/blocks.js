// Rows of the table of parts in blocks. A browser lays out and paints those near the screen alone (`content-visibility`), and
// of many blocks those follow ε at once; the others follow when it rests, or when they come into sight.

const BLOCK_ROWS = 20;
const MANY_BLOCKS = 6;
/** Pixels of a row whose name takes one line, as in the styles: what rows that were never laid out are taken to need. */
const ROW_HEIGHT = 34;
/** Milliseconds without a move of ε, and of work on rows out of sight before the browser gets its turn. */
const REST = 120;
const TURN = 6;

/** Blocks of the shown table, those of them near the screen, and the timer of the others. */
const followers = { blocks: [], inSight: new Set(), later: null };

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const block = followers.blocks[Number(target.dataset.block)];
    if (block?.body !== target) continue;
    followers.inSight[isIntersecting ? 'add' : 'delete'](block);
  }
  updateBlocks(followers.inSight);
}, { rootMargin: '50%' });

function blocksOf(rows) {
  return Array.from({ length: Math.ceil(rows.length / BLOCK_ROWS) }, (_, block) => {
    const own = rows.slice(block * BLOCK_ROWS, (block + 1) * BLOCK_ROWS);
    const body = element('tbody', { role: 'rowgroup', 'data-block': block }, ...own.map(({ row }) => row));
    body.style.containIntrinsicHeight = `auto ${own.length * ROW_HEIGHT}px`;
    return { body, rows: own, edge: null }; // The edge at which its numbers stand.
  });
}

/** From now on these blocks are those that show what ε does. */
function followEpsilon(blocks) {
  sight.disconnect();
  followers.blocks = blocks;
  followers.inSight = new Set(blocks.slice(0, 1));
  for (const { body } of blocks) sight.observe(body);
  updateParts();
}

function updateParts() {
  clearTimeout(followers.later);
  if (followers.blocks.length < MANY_BLOCKS) return updateBlocks(followers.blocks);
  updateBlocks(followers.inSight);
  followers.later = setTimeout(updateRest, REST);
}

/** Those out of sight, a turn at a time. */
function updateRest() {
  const end = performance.now() + TURN;
  const stale = followers.blocks.filter(({ edge }) => edge !== state.edge);
  while (stale.length > 0 && performance.now() < end) updateBlocks([stale.shift()]);
  if (stale.length > 0) followers.later = setTimeout(updateRest);
}

function updateBlocks(blocks) {
  const answer = currentAnswer();
  if (answer === null) return;
  const epsilon = currentEpsilon();
  const mark = `M${barPlace(epsilon)} 0v${BAR.height}`;
  for (const block of blocks) {
    if (block.edge === state.edge) continue;
    block.edge = state.edge;
    for (const row of block.rows) updateRow(row, answer, epsilon, mark);
  }
}

/** The numbers that follow ε. */
function updateRow({ part, tensors, share, fill, rate, mark }, answer, epsilon, markPath) {
  const value = shareBelow(answer, tensors, state.edge);
  const { median } = ratesAt(answer, part, epsilon);
  share.textContent = percent(value);
  share.dataset.value = String(value);
  fill.setAttribute('width', 60 * value);
  rate.textContent = magnitude(median);
  rate.dataset.value = String(median);
  mark.setAttribute('d', markPath);
}

// Paper shows all of them.
addEventListener('beforeprint', () => updateBlocks(followers.blocks));
