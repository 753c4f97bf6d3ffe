// The selected points as CSV and as a sweep file that runs just them. Numbers have all their digits.
const save = (name, type, text) => {
  const address = URL.createObjectURL(new Blob([text], { type }));
  const link = element("a", { href: address, download: name });
  body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
};

// No text has power over a terminal or a spreadsheet: control characters are escaped, and a quotation mark makes a
// formula text.
const field = (text, isNumber = false) => {
  let safe = text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (one) => `\\u{${one.codePointAt(0).toString(16)}}`);
  if (!isNumber && /^[=+\-@]/.test(safe) && !(safe.trim() === safe && Number.isFinite(Number(safe)))) safe = `'${safe}`;
  return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};

const asCsv = (list) => {
  const lines = [["point_id", "status", "reason", ...axes.map((axis) => axis.name), ...figures.map((figure) => figure.name)].map((name) => field(name)).join(",")];
  for (const idx of list) {
    const own = [data.ids[idx], STATUS[data.status[idx]], reason(idx)].map((text) => field(text));
    lines.push([...own, ...columns.map((column) => field(exact(column, idx), !column.isText))].join(","));
  }
  return `${lines.join("\n")}\n`;
};

// A key of TOML in quotes: JSON's escapes are TOML's, but TOML forbids DEL, too.
const quoted = (key) => JSON.stringify(key).replaceAll("\u007f", "\\u007f");
const asSweep = (list) => {
  const base = data.base.endsWith("\n") ? data.base : `${data.base}\n`;
  const tables = list.map((idx) => {
    const set = axes.filter((axis) => axis.at[idx] >= 0);
    return `\n[[points]]\n${set.map((axis) => `${quoted(axis.name)} = ${axis.toml[axis.at[idx]]}\n`).join("")}`;
  });
  return base + tables.join("");
};

const fileName = (ending) => {
  const name = data.name.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "");
  return `${name.slice(0, 60) || "sweep"}-points.${ending}`;
};
const listenToExports = () => {
  byId("csv").addEventListener("click", () => save(fileName("csv"), "text/csv", asCsv(selected())));
  byId("toml").hidden = !data.base;
  byId("toml").addEventListener("click", () => save(fileName("toml"), "application/toml", asSweep(selected())));
};
