// What is shown and selected. Everything that changes calls `changed`, which draws once a frame.
const state = {
  x: 0,
  y: 0,
  color: -1,
  shownFront: false, // the front of the shown points instead of all
  filter: null,
  brushes: new Map(), // column -> { lo, hi, none } or { levels: Set, none }; a point passes if it lies within all
  sort: { column: null, down: false },
  current: -1, // the point whose configuration is shown
  pinned: false,
  marked: new Set(),
};
const passing = new Uint8Array(n).fill(1);
let nPassing = n;
let front = [];
let onFront = new Uint8Array(n);

const within = (column, brush) => {
  const { values } = column;
  if (brush.levels) return (idx) => (Number.isNaN(values[idx]) ? brush.none : brush.levels.has(values[idx]));
  return (idx) => (Number.isNaN(values[idx]) ? brush.none : values[idx] >= brush.lo && values[idx] <= brush.hi);
};

const select = () => {
  passing.fill(1);
  for (const [column, brush] of state.brushes) {
    const passes = within(column, brush);
    for (let idx = 0; idx < n; idx += 1) if (passing[idx] && !passes(idx)) passing[idx] = 0;
  }
  if (state.filter) for (let idx = 0; idx < n; idx += 1) if (passing[idx] && !state.filter(idx)) passing[idx] = 0;
  nPassing = passing.reduce((sum, one) => sum + one, 0);
};

const findFront = () => {
  const eligible = state.shownFront ? (idx) => data.status[idx] === OK && passing[idx] : (idx) => data.status[idx] === OK;
  front = paretoFront(columns[state.x], columns[state.y], eligible);
  onFront = new Uint8Array(n);
  for (const idx of front) onFront[idx] = 1;
};

// Colors of a column: at most eight, and one for points without a value. Numbers get a ramp that darkens or lightens
// evenly (viridis, without the end that the background swallows), words the palette of Okabe and Ito and a shape each. Its
// vermilion is left to points that violate a constraint or failed.
const BINS = 9;
const VIRIDIS = [[68, 1, 84], [70, 50, 126], [54, 92, 141], [39, 127, 142], [31, 161, 135], [74, 193, 109], [160, 218, 57], [253, 231, 37]];
const PALETTE = [5, 1, 3, 2, 4, 7];
const rgb = (text) => {
  const hex = text.replace("#", "");
  return [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16));
};
const isDark = () => getComputedStyle(root).colorScheme === "dark";
const ramp = (at) => {
  const exact = (isDark() ? 0.2 + 0.8 * at : 0.86 * at) * (VIRIDIS.length - 1);
  const low = Math.min(Math.floor(exact), VIRIDIS.length - 2);
  return VIRIDIS[low].map((from, part) => Math.round(from + (VIRIDIS[low + 1][part] - from) * (exact - low)));
};

// Bin per point, and what the legend says: a color, a shape and words per bin.
const coloring = { column: null, bins: new Uint8Array(n), entries: [], rgb: [] };
const recolor = () => {
  const column = columns[state.color];
  coloring.column = column;
  coloring.bins.fill(BINS - 1);
  let labels;
  let colors;
  if (!column) {
    coloring.bins.fill(0);
    labels = ["all points"];
    colors = [rgb(color("--c5"))];
  } else if (column.isText) {
    const sizes = column.levels.map(() => 0);
    for (const at of column.at) if (at >= 0) sizes[at] += 1;
    const order = sizes.map((_, level) => level);
    const kept = column.levels.length <= PALETTE.length ? order : [...order].sort((a, b) => sizes[b] - sizes[a]).slice(0, PALETTE.length);
    const bin = new Map(kept.map((level, idx) => [level, idx]));
    for (let idx = 0; idx < n; idx += 1) if (column.at[idx] >= 0) coloring.bins[idx] = bin.get(column.at[idx]) ?? PALETTE.length;
    labels = kept.map((level) => column.levels[level]);
    colors = kept.map((_, idx) => rgb(color(`--c${PALETTE[idx]}`)));
    if (kept.length < column.levels.length) {
      labels.push(`${column.levels.length - kept.length} others`);
      colors.push(rgb(color("--c6")));
    }
  } else {
    // The ends are those of the points that keep the constraints: what they differ in is asked.
    const kept = column.values.filter((value, idx) => data.status[idx] === OK && !Number.isNaN(value));
    const own = kept.length ? finish({ values: kept, isText: false }) : column;
    const few = own.ranks && own.ranks.length < BINS;
    const size = few ? own.ranks.length : BINS - 1;
    for (let idx = 0; idx < n; idx += 1) {
      const value = column.values[idx];
      if (Number.isNaN(value)) continue;
      const bin = few ? own.ranks.findLastIndex((rank) => rank <= value) : Math.floor(place(own, value) * size);
      coloring.bins[idx] = Math.min(Math.max(bin, 0) || 0, size - 1);
    }
    const edges = Array.from({ length: size + 1 }, (_, idx) => digits(unplace(own, idx / size)));
    labels = few ? own.ranks.map(digits) : Array.from({ length: size }, (_, idx) => `${edges[idx]} to ${edges[idx + 1]}`);
    colors = labels.map((_, idx) => ramp(labels.length > 1 ? idx / (labels.length - 1) : 0.5));
  }
  coloring.entries = labels.map((label, idx) => ({ label, bin: idx, shape: column?.isText ? idx : 0 }));
  coloring.rgb = Array.from({ length: BINS }, (_, idx) => colors[idx] || rgb(color("--c6")));
  if (coloring.bins.includes(BINS - 1)) coloring.entries.push({ label: `no ${column.label}`, bin: BINS - 1, shape: 0 });
};

// One drawing a frame, however often things change meanwhile.
const waiting = new Set();
let frame = 0;
const changed = (...what) => {
  what.forEach((one) => waiting.add(one));
  frame ||= requestAnimationFrame(flush);
};
const flush = () => {
  cancelAnimationFrame(frame);
  frame = 0;
  const all = waiting.has("all");
  const selection = all || waiting.has("selection");
  const axesChanged = all || waiting.has("axes");
  const colors = all || waiting.has("color");
  const current = waiting.has("current");
  const marks = waiting.has("marks");
  const sorted = waiting.has("sort");
  const scrolled = waiting.has("rows");
  const layout = all || waiting.has("layout");
  waiting.clear();
  try {
    if (selection) select();
    if (axesChanged || (selection && state.shownFront)) findFront();
    if (colors) recolor();
    if (colors) drawLegend();
    if (selection || axesChanged || colors) drawScatter();
    if (layout) layLines();
    if (selection || colors || layout) drawLines(colors || layout);
    if (selection || sorted) listRows();
    if (axesChanged || (selection && state.shownFront)) listFront();
    if (!scrolled || selection || axesChanged || colors || layout || current || marks) drawOverlays();
    if (selection || sorted || current || marks || axesChanged || scrolled) drawRows();
    if (current || all) showPoint();
    if (selection || axesChanged || marks) say();
    if (selection || layout) drawRanges();
    body.dataset.overflowPx = String(Math.max(0, root.scrollWidth - root.clientWidth));
  } catch (error) {
    failed(error);
  }
};

const pick = (idx, pin = false) => {
  if (!pin && state.pinned) return;
  if (state.current === idx && state.pinned === pin) return;
  state.current = idx;
  state.pinned = pin && idx >= 0;
  changed("current");
};
const mark = (idx) => {
  if (!state.marked.delete(idx)) state.marked.add(idx);
  changed("marks");
};
// What exports and buttons speak of: the marked points, or else all that are shown.
const selected = () => {
  if (state.marked.size) return [...state.marked].sort((a, b) => a - b);
  return data.ids.map((_, idx) => idx).filter((idx) => passing[idx]);
};
