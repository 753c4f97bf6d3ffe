// Controls, words, and the first drawing.
const option = (value, text) => element("option", { value: String(value) }, text);
const fillChoices = () => {
  const group = (name, list) => {
    if (!list.length) return [];
    return [element("optgroup", { label: name }, ...list.map((column) => option(columns.indexOf(column), titled(column))))];
  };
  const others = figures.filter((column) => column.maximize === null && column.distinct > 0);
  const numbers = axes.filter((column) => !column.isText && column.distinct > 0);
  const choices = () => [...group("Objectives", sought), ...group("Other figures, less is better", others), ...group("Varied, less is better", numbers)];
  byId("x").replaceChildren(...choices());
  byId("y").replaceChildren(...choices());
  byId("color").replaceChildren(option(-1, "nothing"), ...group("Varied", axes.filter((column) => column.distinct > 0)), ...group("Figures", figures.filter((column) => column.distinct > 0)));
  const offered = [...sought, ...others, ...numbers];
  const varied = axes.filter((column) => column.distinct > 1);
  state.x = columns.indexOf(offered[0]);
  state.y = columns.indexOf(offered[1] || offered[0]);
  state.color = columns.indexOf(sought[2] || varied.find((column) => column.isText) || varied[0]);
  for (const name of ["x", "y", "color"]) {
    byId(name).value = String(state[name]);
    byId(name).addEventListener("change", () => {
      state[name] = Number(byId(name).value);
      if (name === "color") changed("color");
      else changed("axes");
    });
  }
};

const drawLegend = () => {
  const legend = byId("scatter").querySelector(".legend");
  const sizes = new Array(BINS).fill(0);
  for (let idx = 0; idx < n; idx += 1) if (data.status[idx] === OK) sizes[coloring.bins[idx]] += 1;
  const swatch = (entry) => {
    const size = 15;
    const canvas = element("canvas", { width: String(2 * size), height: String(2 * size), class: "shape", "aria-hidden": "true" });
    const image = new ImageData(2 * size, 2 * size);
    const packed = new Uint8Array([...scatterPaper(), 255]);
    new Uint32Array(image.data.buffer).fill(new Uint32Array(packed.buffer)[0]);
    stamp(image, maskOf(entry.shape, 9.5), size, size, entry.rgb || coloring.rgb[entry.bin], 1);
    canvas.getContext("2d").putImageData(image, 0, 0);
    return canvas;
  };
  const entries = coloring.entries.filter((entry) => sizes[entry.bin] || coloring.column?.isText);
  const items = entries.map((entry) => element("li", {}, swatch(entry), `${entry.label} `, element("span", { class: "count" }, count(sizes[entry.bin]))));
  for (const [status, words, shape] of [[INFEASIBLE, "infeasible ", CROSS], [FAILED, "failed (lines only) ", BAR]]) {
    const many = data.status.filter((one) => one === status).length;
    if (many) items.push(element("li", {}, swatch({ shape, rgb: rgb(color("--bad")) }), words, element("span", { class: "count" }, count(many))));
  }
  const name = coloring.column ? `Color: ${titled(coloring.column)}` : "Color";
  legend.replaceChildren(element("span", { class: "name" }, name), element("ul", {}, ...items));
};
const scatterPaper = () => rgb(color("--background"));

// What the pictures show, for those who do not see them and for those who count.
const say = () => {
  const [x, y] = [columns[state.x], columns[state.y]];
  const sizes = [0, 0, 0];
  for (let idx = 0; idx < n; idx += 1) if (passing[idx]) sizes[data.status[idx]] += 1;
  const kinds = STATUS.map((status, kind) => (sizes[kind] ? `${count(sizes[kind])} ${status}` : "")).filter(Boolean).join(", ");
  const bounds = [...state.brushes.keys()].map((column) => column.label);
  byId("shown-words").textContent = `${nPassing === n ? `All ${points(n)}` : `${count(nPassing)} of ${points(n)}`} shown${kinds ? ` (${kinds})` : ""}${
    bounds.length ? `; ranges on ${bounds.join(", ")}` : ""}${state.marked.size ? `; ${count(state.marked.size)} marked` : ""}.`;
  const absent = [0, 0, 0];
  for (let idx = 0; idx < n; idx += 1) if (passing[idx] && Number.isNaN(x.values[idx] + y.values[idx])) absent[data.status[idx]] += 1;
  const total = absent[0] + absent[1] + absent[2];
  const shownOnFront = front.filter((idx) => passing[idx]).length;
  const goal = (column) => `${column.maximize ? "high" : "low"} ${column.label}`;
  const whole = state.shownFront ? `the shown points` : "all points that keep the constraints";
  const words = [`${points(front.length)} on the front of ${goal(x)} and ${goal(y)} among ${whole}`];
  if (!state.shownFront && shownOnFront < front.length) words[0] += `, ${count(shownOnFront)} of them shown`;
  if (total) {
    const parts = STATUS.map((status, kind) => (absent[kind] ? `${count(absent[kind])} ${status}` : "")).filter(Boolean).join(", ");
    words.push(`${points(total)} without ${x === y ? x.label : `${x.label} or ${y.label}`} ${total === 1 ? "is" : "are"} not in this picture (${parts}): see the lines and the table`);
  }
  byId("scatter-words").textContent = `${words.join(". ")}.`;
  byId("scatter").querySelector(".over").setAttribute("aria-label",
    `Points over ${titled(x)} and ${titled(y)}. ${words.join(". ")}. Arrow keys walk along the front, Space marks a point, Escape goes back. The front's numbers are in the table below.`);
  parallel.over.setAttribute("aria-label",
    `A line per shown point across ${lines.columns.map(titled).join(", ")}. Ranges can be typed in below.`);
  const many = selected().length;
  const marked = state.marked.size ? "marked " : "shown ";
  const phrase = `${count(many)} ${marked}${many === 1 ? "point" : "points"}`;
  byId("csv").textContent = `Save ${phrase} as CSV`;
  byId("toml").textContent = `Save ${phrase} as a sweep file`;
  byId("csv").disabled = byId("toml").disabled = many === 0;
  byId("mark-front").disabled = shownOnFront === 0;
  byId("mark-front").textContent = `Mark the front of ${x === y ? x.label : `${x.label} and ${y.label}`}`;
  byId("mark-best").disabled = !data.best.some((idx) => passing[idx]);
  byId("unmark").disabled = state.marked.size === 0;
  byId("reset").disabled = !state.brushes.size && !state.filter && !byId("filter").value;
};

const applyFilter = () => {
  const input = byId("filter");
  const words = byId("filter-error");
  try {
    state.filter = parseFilter(input.value);
    input.removeAttribute("aria-invalid");
    words.textContent = "";
    changed("selection");
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    // What was shown stays until the text makes sense.
    input.setAttribute("aria-invalid", "true");
    words.textContent = error.message;
  }
};
const reset = () => {
  state.brushes.clear();
  byId("filter").value = "";
  applyFilter();
};

const listen = () => {
  byId("filter").addEventListener("input", applyFilter);
  byId("filter-form").addEventListener("submit", (event) => event.preventDefault());
  byId("reset").addEventListener("click", reset);
  byId("shown-front").addEventListener("change", () => {
    state.shownFront = byId("shown-front").checked;
    changed("axes");
  });
  byId("mark-front").addEventListener("click", () => {
    front.filter((idx) => passing[idx]).forEach((idx) => state.marked.add(idx));
    changed("marks");
  });
  byId("mark-best").hidden = sought.length < 3;
  byId("mark-best").textContent = `Mark the front of all ${sought.length} objectives`;
  byId("mark-best").addEventListener("click", () => {
    data.best.filter((idx) => passing[idx]).forEach((idx) => state.marked.add(idx));
    changed("marks");
  });
  byId("unmark").addEventListener("click", () => {
    state.marked.clear();
    changed("marks");
  });
  byId("ranges").addEventListener("toggle", drawRanges);
  // Step by step: the current point, then marks, then ranges and the filter.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (state.current >= 0) {
      state.pinned = false;
      pick(-1);
    } else if (state.marked.size) {
      state.marked.clear();
      changed("marks");
    } else reset();
  });
  for (const button of document.querySelectorAll("[data-filter]")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      state.brushes.clear();
      byId("filter").value = button.dataset.filter;
      applyFilter();
      byId("explore").scrollIntoView();
      byId("filter").focus();
    });
  }
  listenToScatter();
  listenToLines();
  listenToTable();
  listenToExports();
};

const start = () => {
  body.dataset.points = String(n);
  byId("explorer").hidden = false;
  fillChoices();
  buildHead();
  listen();
  changed("all");
  flush();
  const sample = table.tBodies[0].querySelector("tr:not(.space)");
  if (sample && sample.offsetHeight && sample.offsetHeight !== rows.height) {
    rows.height = sample.offsetHeight;
    drawRows();
  }
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    changed("all");
  });
  skimp.onTheme(() => changed("all"));
  skimp.onPrint((now) => {
    printing = now;
    changed("all");
    flush();
  });
};
if (n && columns.length) {
  try {
    start();
  } catch (error) {
    failed(error);
  }
}
