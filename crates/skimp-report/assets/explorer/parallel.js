// Parallel coordinates: one axis per column, one line per point. Lines are counted into an array and drawn as one image.
// Axes stand upright; on phones they lie, one below the other.
const parallel = new Surface(byId("parallel"));
const MOST_AXES = 8; // at the start; more are offered below the picture
const BAD_BIN = BINS; // infeasible and failed points
const LINE_BINS = BINS + 1; // an even number: two of them are looked at together
const Counts = n < 65536 ? Uint16Array : Uint32Array;

const lines = {
  columns: [...axes.filter((axis) => axis.distinct > 1 || (axis.distinct > 0 && axis.missing > 0)).slice(0, MOST_AXES - 2),
    ...sought.slice(0, 4)],
  spots: [], // per column and point, device pixels along the axis
  counts: null,
  counted: new Uint8Array(n), // whose lines are in `counts`
  inked: [],
};
if (lines.columns.length < 2) lines.columns = columns.slice(0, MOST_AXES);

// From a place along an axis and across axes to pixels of the plot, and the other way.
const laying = () => {
  const { plot } = parallel;
  const lying = plot.clientWidth < 640;
  const many = lines.columns.length;
  parallel.resize(lying ? 46 + many * 62 : 360);
  const { width, height } = parallel;
  const [start, end] = lying ? [12, width - 62] : [height - 62, 52];
  const [first, last] = lying ? [34, height - 40] : [56, width - 56];
  const gap = many > 1 ? (last - first) / (many - 1) : 0;
  Object.assign(lines, {
    lying,
    start,
    end,
    none: lying ? width - 22 : height - 26,
    gap,
    across: (idx) => (many > 1 ? first + idx * gap : (first + last) / 2),
    along: (at) => start + at * (end - start),
    unalong: (pixel) => (pixel - start) / (end - start),
  });
};

const layLines = () => {
  laying();
  const { scale, w, h } = parallel;
  lines.spots = lines.columns.map((column) => {
    const spots = new Int32Array(n);
    for (let idx = 0; idx < n; idx += 1) {
      const value = column.values[idx];
      spots[idx] = Math.round((Number.isNaN(value) ? lines.none : lines.along(place(column, value))) * scale);
    }
    return spots;
  });
  lines.counts = new Counts(w * h * LINE_BINS);
  // The pixels on which any line lies: no others need be looked at again.
  const all = new Counts(w * h);
  countLines(all, 1, 1, () => 0, () => true);
  lines.inked = Int32Array.from(all.keys()).filter((pixel) => all[pixel]);
};

// Adds `amount` to `counts`, `size` numbers a pixel, along the lines of the points that `passes`.
const countLines = (counts, size, amount, binOf, passes) => {
  const { scale, w } = parallel;
  const [strideAcross, strideAlong] = lines.lying ? [w * size, size] : [size, w * size];
  const at = lines.columns.map((_, idx) => Math.round(lines.across(idx) * scale));
  const chosen = new Int32Array(n);
  const bins = new Uint8Array(n);
  let many = 0;
  for (let idx = 0; idx < n; idx += 1) {
    if (!passes(idx)) continue;
    chosen[many] = idx;
    bins[many] = binOf(idx);
    many += 1;
  }
  for (let pair = 0; pair + 1 < at.length; pair += 1) {
    const [from, to] = [lines.spots[pair], lines.spots[pair + 1]];
    const [a0, a1] = [at[pair], at[pair + 1]];
    for (let one = 0; one < many; one += 1) {
      const [b0, b1] = [from[chosen[one]], to[chosen[one]]];
      const bin = bins[one];
      const steps = Math.max(a1 - a0, Math.abs(b1 - b0));
      const stepA = (a1 - a0) / steps;
      const stepB = (b1 - b0) / steps;
      let a = a0 + 0.5;
      let b = b0 + 0.5;
      // The last pixel belongs to the next pair.
      for (let step = 0; step < steps; step += 1) {
        counts[(a | 0) * strideAcross + (b | 0) * strideAlong + bin] += amount;
        a += stepA;
        b += stepB;
      }
    }
  }
};

// `fresh` where places or colors changed; else only lines that come or go are counted, which gives the same counts.
const drawLines = (fresh) => {
  if (lines.columns.length < 2) return;
  const { counts, counted } = lines;
  let going = 0;
  for (let idx = 0; idx < n; idx += 1) going += counted[idx] && !passing[idx] ? 1 : 0;
  if (fresh || going > nPassing) {
    counts.fill(0);
    counted.fill(0);
  }
  const binOf = (idx) => (data.status[idx] === OK ? coloring.bins[idx] : BAD_BIN);
  countLines(counts, LINE_BINS, 1, binOf, (idx) => passing[idx] && !counted[idx]);
  countLines(counts, LINE_BINS, -1, binOf, (idx) => counted[idx] && !passing[idx]);
  counted.set(passing);
  const colors = [...coloring.rgb, rgb(color("--bad"))];
  const image = parallel.blank();
  const pixels = image.data;
  const { paper, ink } = parallel;
  // One line is plain to see; where a tenth of them meet, the color is full.
  const least = nPassing > 2000 ? 0.14 : nPassing > 200 ? 0.4 : 0.75;
  const rise = (1 - least) / Math.log(Math.max(nPassing / 10, 2));
  const pairs = new Uint32Array(counts.buffer);
  const half = (LINE_BINS * counts.BYTES_PER_ELEMENT) / 4;
  const dim = paper.map((part, idx) => part + (ink[idx] - part) * 0.13);
  for (const pixel of lines.inked) {
    const to = 4 * pixel;
    const first = pixel * half;
    let any = 0;
    for (let idx = 0; idx < half; idx += 1) any |= pairs[first + idx];
    if (!any) {
      [pixels[to], pixels[to + 1], pixels[to + 2]] = dim;
      continue;
    }
    let [sum, red, green, blue] = [0, 0, 0, 0];
    const at = pixel * LINE_BINS;
    for (let bin = 0; bin < LINE_BINS; bin += 1) {
      const many = counts[at + bin];
      if (!many) continue;
      const own = colors[bin];
      sum += many;
      red += many * own[0];
      green += many * own[1];
      blue += many * own[2];
    }
    const alpha = Math.min(least + rise * Math.log(sum), 1);
    pixels[to] = paper[0] + (red / sum - paper[0]) * alpha;
    pixels[to + 1] = paper[1] + (green / sum - paper[1]) * alpha;
    pixels[to + 2] = paper[2] + (blue / sum - paper[2]) * alpha;
  }
  parallel.show(image);
  drawAxes();
};

const pointAt = (axis, along) => (lines.lying ? [along, lines.across(axis)] : [lines.across(axis), along]);

// Words on a background of their own, so that lines do not cross them.
const label = (context, text, x, y, align, baseline = "middle") => {
  context.textAlign = align;
  context.textBaseline = baseline;
  context.lineJoin = "round";
  context.lineWidth = 4;
  context.strokeStyle = color("--background");
  context.strokeText(text, x, y);
  context.fillText(text, x, y);
};

const drawAxes = () => {
  const { context, width } = parallel;
  const font = FONT();
  const [text, muted] = [color("--text"), color("--muted")];
  const titles = lines.columns.map((column) => `${titled(column)}${column.log ? ", log" : ""}`);
  context.font = `600 11px ${font}`;
  // Every other title stands higher where they do not fit beside each other.
  const rooms = titles.some((title) => context.measureText(title).width > Math.min(lines.gap, 190) - 8) ? 2 : 1;
  lines.columns.forEach((column, axis) => {
    const [x0, y0] = pointAt(axis, lines.start);
    const [x1, y1] = pointAt(axis, lines.end);
    context.strokeStyle = muted;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(x0, y0);
    context.lineTo(x1, y1);
    context.stroke();
    context.fillStyle = text;
    context.font = `600 11px ${font}`;
    const title = titles[axis];
    if (lines.lying) label(context, shorten(context, title, width - 30), 8, lines.across(axis) - 22, "left");
    else {
      const y = rooms === 2 && axis % 2 ? 12 : 28;
      const side = axis === 0 ? "left" : axis === lines.columns.length - 1 ? "right" : "center";
      const x = side === "left" ? 4 : side === "right" ? width - 4 : lines.across(axis);
      label(context, shorten(context, title, rooms * Math.min(lines.gap, 190) - 8), x, y, side);
    }
    context.font = `10.5px ${font}`;
    const marks = column.isText && column.levels.length > 12 ? [] : ticks(column, lines.lying ? 3 : 6);
    const values = !column.isText && column.ranks && column.ranks.length <= 10 ? column.ranks : marks;
    let free = -Infinity;
    for (const value of values) {
      const [x, y] = pointAt(axis, lines.along(place(column, value)));
      const most = lines.lying ? (lines.end - lines.start) / Math.max(values.length, 1) - 4 : lines.gap - 16;
      const words = shorten(context, tickText(column, value), Math.max(most, 24));
      if (lines.lying) {
        const half = context.measureText(words).width / 2;
        const middle = Math.max(x, half + 2);
        if (middle - half < free) continue;
        label(context, words, middle, y + 11, "center");
        free = middle + half + 4;
      } else {
        // From the bottom up.
        if (-y < free) continue;
        if (axis === lines.columns.length - 1) label(context, words, x - 5, y, "right");
        else label(context, words, x + 5, y, "left");
        free = -y + 11;
      }
    }
    if (column.missing) {
      const [x, y] = pointAt(axis, lines.none);
      label(context, "none", x, y + 11, "center");
    }
  });
};

// A polyline per point: for the few that stand out.
const strokeLine = (context, idx, width, paint) => {
  context.beginPath();
  lines.columns.forEach((_, axis) => {
    const [x, y] = pointAt(axis, lines.spots[axis][idx] / parallel.scale);
    if (axis === 0) context.moveTo(x, y);
    else context.lineTo(x, y);
  });
  context.lineJoin = "round";
  context.lineWidth = width;
  context.strokeStyle = paint;
  context.stroke();
};

const MOST_STROKES = 100;
const drawParallelOverlay = () => {
  const { above: context, width, height } = parallel;
  if (printing) return;
  context.clearRect(0, 0, width, height);
  if (lines.columns.length < 2) return;
  const [text, link, paper] = [color("--text"), color("--link"), color("--background")];
  let strokes = 0;
  for (const idx of state.marked) {
    if ((strokes += 1) > MOST_STROKES) break;
    strokeLine(context, idx, 3.5, paper);
    strokeLine(context, idx, 1.8, link);
  }
  if (state.current >= 0) {
    strokeLine(context, state.current, 5, paper);
    strokeLine(context, state.current, 2.4, text);
  }
  lines.columns.forEach((column, axis) => {
    const brush = state.brushes.get(column);
    if (!brush) return;
    const bar = (from, to) => {
      const [low, high] = [Math.min(from, to), Math.max(from, to)];
      const across = lines.across(axis);
      const [x, y, w, h] = lines.lying ? [low, across - 7, high - low, 14] : [across - 7, low, 14, high - low];
      context.fillStyle = link;
      context.globalAlpha = 0.25;
      context.fillRect(x, y, w, h);
      context.globalAlpha = 1;
      context.strokeStyle = link;
      context.lineWidth = 1.5;
      context.strokeRect(x, y, w, h);
    };
    const clip = (value) => Math.min(Math.max(place(column, value), -0.02), 1.02);
    if (brush.none && column.missing) bar(lines.none - 6, lines.none + 6);
    if (brush.levels) {
      const half = 0.5 / column.levels.length;
      for (const level of brush.levels) bar(lines.along(place(column, level) - half), lines.along(place(column, level) + half));
    } else if (brush.hi >= brush.lo) {
      bar(lines.along(clip(Math.max(brush.lo, column.min))), lines.along(clip(Math.min(brush.hi, column.max))));
    }
  });
};

const drawOverlays = () => {
  drawScatterOverlay();
  drawParallelOverlay();
};

// The brush between two pixels along an axis.
const brushBetween = (column, from, to) => {
  const [a, b] = [from, to].map(lines.unalong).sort((one, other) => one - other);
  const noneAt = lines.unalong(lines.none);
  const none = noneAt < 0 ? a <= noneAt + 0.03 : b >= noneAt - 0.03;
  if (column.isText) {
    const levels = new Set(column.levels.map((_, idx) => idx).filter((idx) => {
      const half = 0.5 / column.levels.length;
      return place(column, idx) + half > a && place(column, idx) - half < b;
    }));
    return { levels, none };
  }
  if (b < -0.01 || a > 1.01) return { lo: Infinity, hi: -Infinity, none };
  // A brush that reaches an end holds it, whatever rounding does.
  return { lo: a <= 0 ? column.min : unplace(column, a), hi: b >= 1 ? column.max : unplace(column, b), none };
};

const nearestLine = (x, y) => {
  const [across, along] = lines.lying ? [y, x] : [x, y];
  const { scale } = parallel;
  const exactAxis = lines.gap ? (across - lines.across(0)) / lines.gap : 0;
  const pair = Math.min(Math.max(Math.floor(exactAxis), 0), lines.columns.length - 2);
  const part = exactAxis - pair;
  if (part < -0.2 || part > 1.2) return -1;
  const [from, to] = [lines.spots[pair], lines.spots[pair + 1]];
  let [best, least] = [-1, 8];
  for (let idx = 0; idx < n; idx += 1) {
    if (!passing[idx]) continue;
    const steep = Math.hypot(1, (to[idx] - from[idx]) / scale / lines.gap);
    const distance = Math.abs((from[idx] + (to[idx] - from[idx]) * part) / scale - along) / steep;
    if (distance < least) [best, least] = [idx, distance];
  }
  return best;
};

const listenToLines = () => {
  const { over } = parallel;
  let drag = null;
  const axisAt = (x, y) => {
    const across = lines.lying ? y : x;
    const axis = Math.round((across - lines.across(0)) / (lines.gap || 1));
    return Math.min(Math.max(axis, 0), lines.columns.length - 1);
  };
  const isNear = (axis, x, y) => Math.abs((lines.lying ? y : x) - lines.across(axis)) < 18;
  const along = ([x, y]) => (lines.lying ? x : y);
  over.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    const spot = parallel.at(event);
    const axis = axisAt(...spot);
    if (!isNear(axis, ...spot)) return;
    drag = { axis, from: along(spot), moved: false };
    over.setPointerCapture?.(event.pointerId);
  });
  over.addEventListener("pointermove", (event) => {
    const spot = parallel.at(event);
    if (!drag) {
      over.style.cursor = isNear(axisAt(...spot), ...spot) ? (lines.lying ? "ew-resize" : "ns-resize") : "pointer";
      pick(nearestLine(...spot));
      return;
    }
    if (!drag.moved && Math.abs(along(spot) - drag.from) < 4) return;
    drag.moved = true;
    const column = lines.columns[drag.axis];
    state.brushes.set(column, brushBetween(column, drag.from, along(spot)));
    changed("selection");
  });
  const stop = () => {
    // A click on an axis takes its brush away.
    if (drag && !drag.moved && state.brushes.delete(lines.columns[drag.axis])) changed("selection");
    drag = null;
  };
  over.addEventListener("pointerup", stop);
  over.addEventListener("pointercancel", () => (drag = null));
  over.addEventListener("pointerleave", () => drag || pick(-1));
  over.addEventListener("click", (event) => {
    const spot = parallel.at(event);
    if (isNear(axisAt(...spot), ...spot)) return;
    const found = nearestLine(...spot);
    if (found >= 0) pick(found, true);
  });
};

// The same brushes by keyboard, and which columns have an axis.
const ranges = byId("ranges-list");
const drawRanges = () => {
  if (!byId("ranges").open) return;
  const focused = [...ranges.querySelectorAll("input, button")].indexOf(document.activeElement);
  ranges.replaceChildren(...columns.map((column) => {
    const row = element("fieldset", { class: "range" }, element("legend", {}, titled(column)));
    const box = element("input", { type: "checkbox" });
    box.checked = lines.columns.includes(column);
    box.addEventListener("change", () => {
      const kept = new Set(lines.columns);
      if (box.checked) kept.add(column);
      else kept.delete(column);
      if (kept.size < 2) {
        box.checked = true;
        return;
      }
      lines.columns = columns.filter((one) => kept.has(one));
      changed("layout");
    });
    row.append(element("label", {}, box, "axis"));
    const brush = state.brushes.get(column);
    const set = (next) => {
      if (next) state.brushes.set(column, next);
      else state.brushes.delete(column);
      changed("selection");
    };
    if (column.isText && column.levels.length <= 24) {
      column.levels.forEach((level, idx) => {
        const input = element("input", { type: "checkbox" });
        input.checked = !brush || brush.levels.has(idx);
        input.addEventListener("change", () => {
          const now = state.brushes.get(column);
          const levels = new Set(now ? now.levels : column.levels.map((_, one) => one));
          if (input.checked) levels.add(idx);
          else levels.delete(idx);
          set(levels.size === column.levels.length ? null : { levels, none: false });
        });
        row.append(element("label", {}, input, level));
      });
    } else if (!column.isText) {
      const end = (name, from) => {
        const input = element("input", { type: "text", inputmode: "decimal", size: "9", placeholder: digits(column[from === "lo" ? "min" : "max"]) });
        const own = brush?.[from];
        if (brush && own !== column[from === "lo" ? "min" : "max"] && Number.isFinite(own)) input.value = exactly(Number(own.toPrecision(6)));
        input.addEventListener("change", () => {
          const number = input.value.trim() === "" ? NaN : Number(input.value);
          const now = state.brushes.get(column) || { lo: column.min, hi: column.max, none: false };
          const next = { ...now, [from]: Number.isNaN(number) ? column[from === "lo" ? "min" : "max"] : number };
          set(next.lo <= column.min && next.hi >= column.max && !next.none && !column.missing ? null : next);
        });
        row.append(element("label", {}, name, input));
      };
      end("from", "lo");
      end("to", "hi");
    }
    if (brush) {
      const clear = element("button", { type: "button" }, "all");
      clear.setAttribute("aria-label", `All values of ${column.label}`);
      clear.addEventListener("click", () => set(null));
      row.append(clear);
    }
    return row;
  }));
  if (focused >= 0) ranges.querySelectorAll("input, button")[focused]?.focus();
};
