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
    const list = element("ul", { class: "why" });
    for (let at = 0; at < why.length; at += 3) {
      const [layer, bound, share] = why.slice(at, at + 3);
      const bar = element("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--share", `${share / 100}%`);
      const bounded = data.bounds[bound] ? `, bound by ${data.bounds[bound]}` : "";
      list.append(element("li", {}, bar, `${data.layers[layer]}: ${percent(share)} of cycles${bounded}`));
    }
    parts.push(element("h4", {}, "Slowest layers"), list);
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
