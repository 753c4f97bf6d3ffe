// Points over two columns, drawn as one image; the front, marks and the current point above it.
const FONT = () => getComputedStyle(body).fontFamily;
const PRINT_WIDTH = 680; // pixels of an A4 or Letter page within 15 mm margins
let printing = false;

class Surface {
  constructor(node) {
    this.plot = node.querySelector(".plot");
    [this.base, this.over] = node.querySelectorAll("canvas");
    // Read back in memory: no GPU is asked to draw ten thousand things.
    this.context = this.base.getContext("2d", { willReadFrequently: true });
    this.above = this.over.getContext("2d", { willReadFrequently: true });
  }

  // Sizes both canvases; the image of `size.w` x `size.h` device pixels starts as background.
  resize(height) {
    const scale = printing ? 2 : Math.min(Math.max(window.devicePixelRatio || 1, 1), 2);
    const width = printing ? PRINT_WIDTH : this.plot.clientWidth;
    this.plot.style.height = `${height}px`;
    this.plot.style.width = printing ? `${width}px` : "";
    Object.assign(this, { width, height, scale, w: Math.round(width * scale), h: Math.round(height * scale) });
    for (const canvas of [this.base, this.over]) {
      if (canvas.width !== this.w || canvas.height !== this.h) [canvas.width, canvas.height] = [this.w, this.h];
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    this.context.setTransform(scale, 0, 0, scale, 0, 0);
    this.above.setTransform(scale, 0, 0, scale, 0, 0);
    this.paper = rgb(color("--background"));
    this.ink = rgb(color("--muted"));
  }

  blank() {
    const image = new ImageData(this.w, this.h);
    const packed = new Uint8Array([...this.paper, 255]);
    new Uint32Array(image.data.buffer).fill(new Uint32Array(packed.buffer)[0]);
    return image;
  }

  // Pixels that are put on a canvas do not print, pictures that are drawn on it do.
  show(image) {
    if (!printing) {
      this.context.putImageData(image, 0, 0);
      return;
    }
    const sheet = element("canvas", { width: String(this.w), height: String(this.h) });
    sheet.getContext("2d").putImageData(image, 0, 0);
    this.context.drawImage(sheet, 0, 0, this.width, this.height);
  }

  // Where the pointer is, in CSS pixels of the plot.
  at(event) {
    const box = this.over.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
}

// How much of each pixel a shape covers: disk, square, triangle, diamond, plus, triangle down, bar, cross.
const SHAPES = [
  (x, y) => Math.hypot(x, y) < 1,
  (x, y) => Math.max(Math.abs(x), Math.abs(y)) < 0.88,
  (x, y) => y < 0.8 && y > -1.1 + 1.75 * Math.abs(x) * 1.05,
  (x, y) => Math.abs(x) + Math.abs(y) < 1.2,
  (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.36 && Math.max(Math.abs(x), Math.abs(y)) < 1.1,
  (x, y) => y > -0.8 && y < 1.1 - 1.75 * Math.abs(x) * 1.05,
  (x, y) => Math.abs(y) < 0.42 && Math.abs(x) < 1.2,
  (x, y) => Math.min(Math.abs(x - y), Math.abs(x + y)) < 0.5 && Math.max(Math.abs(x), Math.abs(y)) < 1,
];
const [BAR, CROSS] = [6, 7];
const masks = new Map();
const maskOf = (shape, radius) => {
  const key = `${shape} ${radius}`;
  if (masks.has(key)) return masks.get(key);
  const half = Math.ceil(radius * 1.25);
  const size = 2 * half + 1;
  const cover = new Float32Array(size * size);
  const fine = 4;
  for (let row = 0; row < size; row += 1) {
    for (let col = 0; col < size; col += 1) {
      let inside = 0;
      for (let sub = 0; sub < fine * fine; sub += 1) {
        const x = (col - half + ((sub % fine) + 0.5) / fine - 0.5) / radius;
        const y = (row - half + (Math.floor(sub / fine) + 0.5) / fine - 0.5) / radius;
        if (SHAPES[shape](x, y)) inside += 1;
      }
      cover[row * size + col] = inside / (fine * fine);
    }
  }
  masks.set(key, { half, size, cover });
  return masks.get(key);
};
const stamp = (image, mask, x, y, [red, green, blue], alpha) => {
  const { half, size, cover } = mask;
  const { width, height, data: pixels } = image;
  for (let row = 0; row < size; row += 1) {
    const py = y - half + row;
    if (py < 0 || py >= height) continue;
    for (let col = 0; col < size; col += 1) {
      const px = x - half + col;
      const part = cover[row * size + col] * alpha;
      if (part === 0 || px < 0 || px >= width) continue;
      const at = 4 * (py * width + px);
      pixels[at] += (red - pixels[at]) * part;
      pixels[at + 1] += (green - pixels[at + 1]) * part;
      pixels[at + 2] += (blue - pixels[at + 2]) * part;
    }
  }
};

const scatter = new Surface(byId("scatter"));
const spotX = new Float32Array(n);
const spotY = new Float32Array(n);

// Round values within the column's ends.
const ticks = (column, most) => {
  if (column.isText) return column.levels.map((_, idx) => idx);
  if (!(column.max > column.min)) return column.min === column.max ? [column.min] : [];
  if (column.log) {
    const found = [];
    for (let power = Math.floor(Math.log10(column.min)); power <= Math.log10(column.max); power += 1) {
      for (const step of [1, 2, 5]) found.push(step * 10 ** power);
    }
    let inside = found.filter((value) => value >= column.min && value <= column.max);
    if (inside.length > most) inside = inside.filter((value) => Math.abs(Math.log10(value) - Math.round(Math.log10(value))) < 1e-9);
    while (inside.length > most) inside = inside.filter((_, idx) => idx % 2 === 0);
    return inside;
  }
  const rough = (column.max - column.min) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
  const found = [];
  for (let idx = Math.ceil(column.min / step); idx * step <= column.max; idx += 1) found.push(idx * step);
  return found;
};
const tickText = (column, value) => {
  if (column.isText) return column.levels[value];
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e7) return String(value);
  const short = Number(value.toPrecision(4));
  return size >= 1e6 || size < 1e-3 ? short.toExponential().replace("e+", "e") : String(short);
};
const shorten = (context, text, width) => {
  if (context.measureText(text).width <= width) return text;
  let most = text.length;
  while (most > 1 && context.measureText(`…${text.slice(-most)}`).width > width) most -= 1;
  return `…${text.slice(-most)}`;
};
const wish = (column) => (column.maximize === null ? "" : column.maximize ? ", more is better" : ", less is better");

const drawScatter = () => {
  const [x, y] = [columns[state.x], columns[state.y]];
  const narrow = !printing && scatter.plot.clientWidth < 480;
  scatter.resize(printing ? 330 : Math.round(Math.min(460, Math.max(300, scatter.plot.clientWidth * 0.62))));
  const { width, height, scale } = scatter;
  const box = { left: narrow ? 50 : 64, right: width - 14, top: 24, bottom: height - 46 };
  scatter.box = box;
  const inset = 8;
  const toX = (value) => box.left + inset + place(x, value) * (box.right - box.left - 2 * inset);
  const toY = (value) => box.bottom - inset - place(y, value) * (box.bottom - box.top - 2 * inset);
  Object.assign(scatter, { toX, toY, inset });
  const image = scatter.blank();
  const grid = rgb(color("--line"));
  const [xTicks, yTicks] = [ticks(x, narrow ? 5 : 8), ticks(y, 7)];
  const square = maskOf(1, 0.5);
  for (const value of xTicks) {
    const px = Math.round(toX(value) * scale);
    for (let py = Math.round(box.top * scale); py < box.bottom * scale; py += 1) stamp(image, square, px, py, grid, 0.7);
  }
  for (const value of yTicks) {
    const py = Math.round(toY(value) * scale);
    for (let px = Math.round(box.left * scale); px < box.right * scale; px += 1) stamp(image, square, px, py, grid, 0.7);
  }
  for (let idx = 0; idx < n; idx += 1) {
    spotX[idx] = toX(x.values[idx]);
    spotY[idx] = toY(y.values[idx]);
  }
  const radius = scale * (n > 3000 ? 2.6 : n > 300 ? 3.4 : 4.4);
  const bad = rgb(color("--bad"));
  const dot = maskOf(0, scale * 1.8);
  // What is not shown lies beneath, what violates a constraint above it, then the rest.
  for (const layer of [0, 1, 2]) {
    for (let idx = 0; idx < n; idx += 1) {
      const own = !passing[idx] ? 0 : data.status[idx] !== OK ? 1 : 2;
      if (own !== layer || Number.isNaN(spotX[idx]) || Number.isNaN(spotY[idx])) continue;
      const [px, py] = [Math.round(spotX[idx] * scale), Math.round(spotY[idx] * scale)];
      if (layer === 0) stamp(image, dot, px, py, scatter.ink, 0.16);
      else if (layer === 1) stamp(image, maskOf(CROSS, radius), px, py, bad, 0.75);
      else {
        const shape = coloring.column?.isText && coloring.bins[idx] < PALETTE.length ? coloring.bins[idx] : 0;
        stamp(image, maskOf(shape, radius), px, py, coloring.rgb[coloring.bins[idx]], n > 3000 ? 0.75 : 0.9);
      }
    }
  }
  const { context } = scatter;
  scatter.show(image);
  context.fillStyle = color("--text");
  context.font = `11px ${FONT()}`;
  context.textAlign = "center";
  context.textBaseline = "top";
  let free = -Infinity;
  for (const value of xTicks) {
    const text = shorten(context, tickText(x, value), x.isText ? (box.right - box.left) / x.levels.length - 6 : 90);
    const half = context.measureText(text).width / 2;
    if (toX(value) - half < free + 4) continue;
    context.fillText(text, Math.min(toX(value), width - half - 1), box.bottom + 5);
    free = toX(value) + half;
  }
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const value of yTicks) context.fillText(shorten(context, tickText(y, value), box.left - 8), box.left - 5, toY(value));
  context.fillStyle = color("--muted");
  context.textBaseline = "alphabetic";
  const title = (column) => `${titled(column)}${wish(column)}${column.log ? ", log" : ""}`;
  context.textAlign = "right";
  context.fillText(`${shorten(context, title(x), width - 30)} →`, box.right, height - 8);
  context.textAlign = "left";
  context.fillText(`↑ ${shorten(context, title(y), width - 30)}`, 2, 13);
};

const ring = (context, x, y, radius, width, paint) => {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.lineWidth = width;
  context.strokeStyle = paint;
  context.stroke();
};

const drawScatterOverlay = () => {
  const { width, height } = scatter;
  // On paper there is one canvas: to clear the one above would clear the page beneath it.
  const context = printing ? scatter.context : scatter.above;
  const [text, link, paper] = [color("--text"), color("--link"), color("--background")];
  if (!printing) context.clearRect(0, 0, width, height);
  if (front.length) {
    // Steps: what the front's points beat lies on the worse side of them.
    context.beginPath();
    front.forEach((idx, at) => {
      if (at === 0) context.moveTo(spotX[idx], spotY[idx]);
      else {
        context.lineTo(spotX[idx], spotY[front[at - 1]]);
        context.lineTo(spotX[idx], spotY[idx]);
      }
    });
    context.lineJoin = "round";
    context.lineWidth = 1.5;
    context.strokeStyle = text;
    context.stroke();
    for (const idx of front) ring(context, spotX[idx], spotY[idx], n > 3000 ? 4 : 5.5, 1.3, text);
  }
  for (const idx of state.marked) {
    if (Number.isNaN(spotX[idx] + spotY[idx])) continue;
    ring(context, spotX[idx], spotY[idx], 7, 4, paper);
    ring(context, spotX[idx], spotY[idx], 7, 2.2, link);
  }
  const { current } = state;
  if (current >= 0 && !Number.isNaN(spotX[current] + spotY[current])) {
    ring(context, spotX[current], spotY[current], 9, 5, paper);
    ring(context, spotX[current], spotY[current], 9, 2.5, text);
  }
  if (scatter.drag) {
    const [x0, y0, x1, y1] = scatter.drag;
    context.fillStyle = link;
    context.globalAlpha = 0.12;
    context.fillRect(x0, y0, x1 - x0, y1 - y0);
    context.globalAlpha = 1;
    context.strokeStyle = link;
    context.lineWidth = 1;
    context.strokeRect(x0, y0, x1 - x0, y1 - y0);
  }
};

const nearestSpot = (x, y, reach) => {
  let [best, least] = [-1, reach * reach];
  for (let idx = 0; idx < n; idx += 1) {
    if (!passing[idx] && !state.marked.has(idx)) continue;
    const distance = (spotX[idx] - x) ** 2 + (spotY[idx] - y) ** 2 - (onFront[idx] ? 1 : 0);
    if (distance < least) [best, least] = [idx, distance];
  }
  return best;
};

// Where steps lead in a list; from outside (-1) to its nearer end. Home and End are infinitely many.
const KEY_STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity };
const stepFrom = (at, steps, many) => {
  const from = at >= 0 ? at : steps > 0 ? -1 : many;
  return Math.min(Math.max(from + steps, 0), many - 1);
};

const walk = (steps) => {
  const visible = front.filter((idx) => !state.shownFront || passing[idx]);
  if (!visible.length) return;
  // From left to right in the picture.
  const order = columns[state.x].maximize ? [...visible].reverse() : visible;
  pick(order[stepFrom(order.indexOf(state.current), steps, order.length)], true);
};

const listenToScatter = () => {
  const { over } = scatter;
  const clamp = ([x, y]) => {
    const { left, right, top, bottom } = scatter.box;
    return [Math.min(Math.max(x, left), right), Math.min(Math.max(y, top), bottom)];
  };
  let start = null;
  let dragged = false;
  over.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.button !== 0 || event.pointerType === "touch") return;
    start = clamp(scatter.at(event));
    over.setPointerCapture?.(event.pointerId);
  });
  over.addEventListener("pointermove", (event) => {
    const [x, y] = scatter.at(event);
    if (start) {
      const [toX, toY] = clamp([x, y]);
      if (scatter.drag || Math.hypot(toX - start[0], toY - start[1]) > 5) {
        scatter.drag = [...start, toX, toY];
        dragged = true;
        brushSpots();
      }
      return;
    }
    pick(nearestSpot(x, y, 14));
  });
  const brushSpots = () => {
    const [x0, y0, x1, y1] = scatter.drag;
    const { left, right, top, bottom } = scatter.box;
    const { inset } = scatter;
    const range = (column, a, b) => {
      const [lo, hi] = [a, b].map((at) => unplace(column, at)).sort((one, other) => one - other);
      if (!column.isText) return { lo, hi, none: false };
      const levels = new Set(column.levels.map((_, idx) => idx).filter((idx) => idx >= lo && idx <= hi));
      return { levels, none: false };
    };
    const alongX = (at) => (at - left - inset) / (right - left - 2 * inset);
    const alongY = (at) => (bottom - inset - at) / (bottom - top - 2 * inset);
    state.brushes.set(columns[state.x], range(columns[state.x], alongX(x0), alongX(x1)));
    state.brushes.set(columns[state.y], range(columns[state.y], alongY(y0), alongY(y1)));
    changed("selection");
  };
  over.addEventListener("pointerup", () => {
    start = null;
    scatter.drag = null;
    changed("overlay");
  });
  over.addEventListener("pointerleave", () => start || pick(-1));
  over.addEventListener("click", (event) => {
    if (dragged) {
      dragged = false;
      return;
    }
    const [x, y] = scatter.at(event);
    const found = nearestSpot(x, y, 20);
    if (found < 0) {
      state.pinned = false;
      pick(-1);
    } else {
      pick(found, true);
      if (event.shiftKey || event.ctrlKey || event.metaKey) mark(found);
    }
  });
  over.addEventListener("keydown", (event) => {
    const steps = KEY_STEPS[event.key];
    if (steps) walk(steps);
    else if ((event.key === " " || event.key === "Enter") && state.current >= 0) mark(state.current);
    else return;
    event.preventDefault();
  });
};
