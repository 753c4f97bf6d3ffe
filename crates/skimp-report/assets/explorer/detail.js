// The current point: configuration, figures, its slowest layers.
const percent = (share) => `${(share / 100).toFixed(1)} %`;

const showPoint = () => {
  const panel = byId("detail");
  const idx = state.current;
  if (idx < 0) {
    panel.replaceChildren(element("p", { class: "note" }, "Point at, tap or walk to a point: here stand its configuration and its slowest layers."));
    return;
  }
  const status = STATUS[data.status[idx]] + (onFront[idx] ? ", on the front" : "");
  const parts = [
    element("h3", {}, data.ids[idx]),
    element("p", { class: data.status[idx] === OK ? "verdict" : "verdict bad" }, reason(idx) ? `${status}: ${reason(idx)}` : status),
  ];
  const pairs = (name, list, value) => {
    if (!list.length) return;
    const rows = list.map((column) => element("tr", {}, element("th", { scope: "row", title: column.name }, titled(column)), element("td", { class: column.isText ? "" : "number" }, value(column))));
    parts.push(element("table", {}, element("caption", {}, element("span", {}, name)), element("tbody", {}, ...rows)));
  };
  pairs("Figures", figures.filter((column) => !Number.isNaN(column.values[idx])), (column) => digits(column.values[idx]));
  pairs("Configuration", axes, (column) => (column.at[idx] < 0 ? "not set" : column.levels[column.at[idx]]));
  const why = data.why[idx];
  if (why.length) {
    const items = why.map(([layer, share, ...bounds]) => {
      const bar = element("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--share", `${share / 100}%`);
      const item = element("li", {}, bar, element("strong", {}, data.layers[layer]), `: ${percent(share)} of all cycles`);
      if (bounds.length === 1) item.append(`, bound by ${data.bounds[bounds[0]]}`);
      else if (bounds.length) item.append(element("ul", {}, ...bounds.map((bound) => element("li", {}, data.bounds[bound]))));
      return item;
    });
    parts.push(element("h4", {}, "Slowest layers"), element("ul", { class: "why" }, ...items));
  }
  const button = element("button", { type: "button" }, state.marked.has(idx) ? "Unmark" : "Mark");
  button.addEventListener("click", () => {
    mark(idx);
    showPoint();
    byId("detail").querySelector("button").focus();
  });
  parts.push(button);
  panel.replaceChildren(...parts);
};
