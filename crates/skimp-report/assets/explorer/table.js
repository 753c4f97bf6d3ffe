// The shown points as a table: only the rows in sight are in the document.
const table = byId("points");
const rows = { order: [], from: 0, height: 28, focus: -1 };
const head = table.tHead.rows[0];
const rowColumns = [...sought, ...figures.filter((figure) => figure.rank === null), ...axes];

const buildHead = () => {
  head.replaceChildren(element("th", { scope: "col" }, element("span", { class: "hidden" }, "marked")));
  const add = (name, column, key) => {
    const button = element("button", { type: "button" }, name, element("span", { class: "order", "aria-hidden": "true" }));
    const cell = element("th", { scope: "col" }, button);
    if (column && !column.isText) cell.className = "number";
    button.addEventListener("click", () => {
      const same = state.sort.column === key;
      // Up, down, as they came.
      if (same && state.sort.down) state.sort = { column: null, down: false };
      else state.sort = { column: key, down: same };
      changed("sort");
    });
    cell.sortKey = key;
    head.append(cell);
  };
  add("point", null, "point");
  add("status", null, "status");
  for (const column of rowColumns) add(titled(column), column, column);
};

// Missing values come last in both directions; ties stay as they came.
const listRows = () => {
  const { column, down } = state.sort;
  rows.order = [];
  for (let idx = 0; idx < n; idx += 1) if (passing[idx]) rows.order.push(idx);
  if (column) {
    let value;
    if (column === "point") {
      const rank = new Int32Array(n);
      data.ids.map((_, idx) => idx).sort((a, b) => (data.ids[a] < data.ids[b] ? -1 : data.ids[a] > data.ids[b] ? 1 : 0)).forEach((idx, at) => (rank[idx] = at));
      value = rank;
    } else value = column === "status" ? data.status : column.values;
    const sign = down ? -1 : 1;
    rows.order.sort((a, b) => {
      const [one, other] = [value[a], value[b]];
      if (Number.isNaN(one) || Number.isNaN(other)) return Number.isNaN(one) - Number.isNaN(other) || a - b;
      return sign * (one - other) || a - b;
    });
  }
  for (const cell of head.cells) {
    if (!cell.sortKey) continue;
    const own = column && cell.sortKey === column;
    cell.setAttribute("aria-sort", own ? (down ? "descending" : "ascending") : "none");
    cell.querySelector(".order").textContent = own ? (down ? " ↓" : " ↑") : "";
  }
  table.setAttribute("aria-rowcount", String(rows.order.length + 1));
  rows.at = new Map(rows.order.map((idx, at) => [idx, at]));
};

const rowOf = (idx, at) => {
  const row = element("tr", { "aria-rowindex": String(at + 2) });
  row.point = idx;
  const box = element("input", { type: "checkbox", tabindex: "-1", "aria-label": `Mark ${data.ids[idx]}` });
  box.checked = state.marked.has(idx);
  const status = element("td", {}, STATUS[data.status[idx]] + (onFront[idx] ? ", front" : ""));
  if (data.status[idx] !== OK) status.className = "bad";
  if (reason(idx)) status.title = reason(idx);
  row.append(element("td", {}, box), element("th", { scope: "row" }, data.ids[idx]), status);
  for (const column of rowColumns) {
    const cell = element("td", {}, shown(column, idx));
    if (!column.isText) cell.className = "number";
    row.append(cell);
  }
  if (idx === state.current) row.classList.add("current");
  if (onFront[idx]) row.classList.add("on-front");
  return row;
};

const drawRows = () => {
  const view = byId("table");
  const { height } = rows;
  // Before the first rows are there, it is as high as it may become.
  const most = Math.ceil((parseFloat(getComputedStyle(view).maxHeight) || view.clientHeight) / height) + 8;
  rows.from = Math.max(0, Math.min(Math.floor(view.scrollTop / height) - 4, rows.order.length - most));
  const sight = rows.order.slice(rows.from, rows.from + most);
  const space = (many) => {
    const row = element("tr", { "aria-hidden": "true", class: "space" }, element("td", { colspan: String(rowColumns.length + 3) }));
    row.firstChild.style.height = `${many * height}px`;
    return row;
  };
  const inner = sight.map((idx, at) => rowOf(idx, rows.from + at));
  if (rows.from) inner.unshift(space(rows.from));
  const after = rows.order.length - rows.from - sight.length;
  if (after > 0) inner.push(space(after));
  table.tBodies[0].replaceChildren(...inner);
};

const reveal = (at) => {
  const view = byId("table");
  const top = at * rows.height;
  const headHeight = head.offsetHeight;
  if (top < view.scrollTop) view.scrollTop = top;
  else if (top + rows.height > view.scrollTop + view.clientHeight - headHeight) {
    view.scrollTop = top + rows.height - view.clientHeight + headHeight;
  }
};

const listenToTable = () => {
  const view = byId("table");
  view.addEventListener("scroll", () => changed("rows"));
  const pointOf = (event) => event.target.closest?.("tbody tr")?.point ?? -1;
  view.addEventListener("click", (event) => {
    const idx = pointOf(event);
    if (idx < 0) return;
    if (event.target.matches("input") || event.shiftKey || event.ctrlKey || event.metaKey) mark(idx);
    else pick(idx, true);
  });
  view.addEventListener("pointerover", (event) => pick(pointOf(event)));
  view.addEventListener("pointerleave", () => pick(-1));
  view.addEventListener("keydown", (event) => {
    if (event.target !== view) return;
    const page = Math.max(1, Math.floor(view.clientHeight / rows.height) - 2);
    // Left and right scroll.
    const sideways = event.key === "ArrowLeft" || event.key === "ArrowRight";
    const steps = sideways ? 0 : KEY_STEPS[event.key] ?? { PageDown: page, PageUp: -page }[event.key];
    if (steps && rows.order.length) {
      const next = stepFrom(rows.at.get(state.current) ?? -1, steps, rows.order.length);
      pick(rows.order[next], true);
      reveal(next);
    } else if ((event.key === " " || event.key === "Enter") && state.current >= 0) mark(state.current);
    else return;
    event.preventDefault();
  });
};

// The front in words that print and that screen readers read.
const MOST_FRONT = 500;
const listFront = () => {
  const [x, y] = [columns[state.x], columns[state.y]];
  const cell = (column, tag, attributes, text) => {
    const node = element(tag, attributes, text);
    if (column && !column.isText) node.className = "number";
    return node;
  };
  const goal = (column) => `${column.maximize ? "high" : "low"} ${column.label}`;
  const cut = front.length > MOST_FRONT ? `; the first ${MOST_FRONT} of ${count(front.length)} points` : "";
  const whole = state.shownFront ? "other shown point" : "other point";
  const caption = `Front of ${goal(x)} and ${goal(y)}: no ${whole} that keeps the constraints is as good in both and better in one${cut}`;
  const ordered = [x, y, ...rowColumns.filter((column) => column !== x && column !== y)];
  const list = element("table", { class: ordered.length > 7 ? "wide" : "" },
    element("caption", {}, element("span", {}, caption)),
    element("thead", {}, element("tr", {}, element("th", { scope: "col" }, "point"), ...ordered.map((column) => cell(column, "th", { scope: "col" }, titled(column))))),
    element("tbody", {}, ...front.slice(0, MOST_FRONT).map((idx) =>
      element("tr", {}, element("th", { scope: "row" }, data.ids[idx]), ...ordered.map((column) => cell(column, "td", {}, shown(column, idx)))))));
  const box = element("div", { class: "table-scroll", tabindex: "0", role: "region", "aria-label": caption }, list);
  byId("front-table").replaceChildren(box);
};
