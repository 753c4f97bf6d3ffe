// The points by column.
const { root, body, failed, color, element } = skimp;
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const n = data.ids.length;
const STATUS = ["ok", "infeasible", "failed"];
const [OK, INFEASIBLE, FAILED] = [0, 1, 2];
const LOG_FROM = 50; // a positive column whose ends are this far apart has a logarithmic axis

const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");
const points = (number) => `${count(number)} ${number === 1 ? "point" : "points"}`;

// Four significant digits, without the locale.
const digits = (value) => {
  if (Number.isNaN(value)) return "–";
  const magnitude = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  if (magnitude < -4 || magnitude > 14) return value.toExponential(3);
  if (Number.isInteger(value) && Math.abs(value) < 1e4) return String(value);
  const [whole, fraction] = value.toFixed(Math.max(3 - magnitude, 0)).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction ? `${grouped}.${fraction}` : grouped;
};
// All digits: reads back as the same number.
const exactly = (value) => (Object.is(value, -0) ? "-0" : String(value));

const finish = (column) => {
  let [min, max, missing] = [Infinity, -Infinity, 0];
  const distinct = new Set();
  for (const value of column.values) {
    if (Number.isNaN(value)) missing += 1;
    else {
      if (value < min) min = value;
      if (value > max) max = value;
      if (distinct.size <= 12) distinct.add(value);
    }
  }
  const log = !column.isText && min > 0 && max / min > LOG_FROM;
  const ranks = distinct.size <= 12 ? [...distinct].sort((a, b) => a - b) : null;
  return Object.assign(column, { min, max, missing, log, ranks, distinct: distinct.size });
};

// `values` of a column of words are indices into its levels; NaN is what a point does not have.
const columns = [
  ...data.axes.map((axis) => {
    const numbers = axis.number ? axis.levels.map(Number) : axis.levels.map((_, idx) => idx);
    return finish({
      name: axis.key,
      label: axis.label,
      unit: "",
      isAxis: true,
      isText: !axis.number,
      maximize: null,
      levels: axis.levels,
      toml: axis.toml || axis.levels,
      at: axis.at,
      values: Float64Array.from(axis.at, (at) => (at < 0 ? NaN : numbers[at])),
    });
  }),
  ...data.figures.map((figure) =>
    finish({
      name: figure.name,
      label: figure.name,
      unit: figure.unit,
      isAxis: false,
      isText: false,
      maximize: figure.maximize,
      rank: figure.rank,
      values: Float64Array.from(figure.values, (value) => (value === null ? NaN : value)),
    })),
];
const axes = columns.filter((column) => column.isAxis);
const figures = columns.filter((column) => !column.isAxis);
const sought = figures.filter((column) => column.rank !== null).sort((a, b) => a.rank - b.rank);
const titled = (column) => (column.unit && column.unit !== column.label ? `${column.label} (${column.unit})` : column.label);

// A point's value for people, and with all digits for programs.
const shown = (column, idx) => {
  if (!column.isAxis) return digits(column.values[idx]);
  const level = column.levels[column.at[idx]];
  return level === undefined ? "–" : column.isText || level.length <= 9 ? level : digits(column.values[idx]);
};
const exact = (column, idx) => {
  if (column.isAxis) return column.levels[column.at[idx]] ?? "";
  return Number.isNaN(column.values[idx]) ? "" : exactly(column.values[idx]);
};
const reason = (idx) => data.reasons.texts[data.reasons.at[idx]];

// Where a value lies on its axis, from 0 to 1, and back.
const place = (column, value) => {
  if (column.isText) return (value + 0.5) / column.levels.length;
  if (column.max === column.min) return 0.5;
  if (column.log) return Math.log(value / column.min) / Math.log(column.max / column.min);
  return (value - column.min) / (column.max - column.min);
};
const unplace = (column, at) => {
  if (column.isText) return at * column.levels.length - 0.5;
  if (column.log) return column.min * (column.max / column.min) ** at;
  return column.min + at * (column.max - column.min);
};

// Points that no other beats: none is as good in both and better in one. Equal points stay. From the best to the worst in
// `x`, then by index.
const paretoFront = (x, y, eligible) => {
  const signed = (column) => {
    const sign = column.maximize ? -1 : 1;
    return (idx) => sign * column.values[idx] + 0;
  };
  const [fx, fy] = [signed(x), signed(y)];
  const order = [];
  for (let idx = 0; idx < n; idx += 1) {
    if (eligible(idx) && !Number.isNaN(fx(idx)) && !Number.isNaN(fy(idx))) order.push(idx);
  }
  order.sort((a, b) => fx(a) - fx(b) || fy(a) - fy(b) || a - b);
  const front = [];
  let [lastX, lastY] = [NaN, Infinity];
  for (const idx of order) {
    const [ownX, ownY] = [fx(idx), fy(idx)];
    if (ownY < lastY || (ownY === lastY && ownX === lastX) || !front.length) {
      front.push(idx);
      [lastX, lastY] = [ownX, ownY];
    }
  }
  return front;
};
