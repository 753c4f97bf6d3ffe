// Filters: `energy < 2 and (model = compend or not failed)`. Words that are no comparison are searched in all texts.
class FilterError extends Error {}

const COMPARE = {
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "=": (a, b) => a === b,
  "==": (a, b) => a === b,
  "!=": (a, b) => a !== b,
};

const tokens = (text) => {
  const pattern = /\s*(?:"([^"]*)"|'([^']*)'|(<=|>=|!=|==|[<>=~(),])|(-?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![^\s()<>=!~,]))|([^\s()<>=!~"',]+)|(\S))/gy;
  const found = [];
  for (const [, double, single, sign, grouped, word, other] of text.trim().matchAll(pattern)) {
    if (double !== undefined || single !== undefined) found.push({ text: double ?? single, quoted: true });
    else if (sign) found.push({ sign });
    else if (grouped) found.push({ text: grouped.replaceAll(",", "") });
    else if (word) found.push({ text: word });
    else throw new FilterError(other === "\"" || other === "'" ? "A quotation mark is not closed." : `What does "${other}" mean here?`);
  }
  return found;
};

// Columns that the filter knows besides those of the sweep.
const OWN_TEXTS = {
  point: (idx) => data.ids[idx],
  id: (idx) => data.ids[idx],
  status: (idx) => STATUS[data.status[idx]],
  reason: (idx) => reason(idx),
};

const nearest = (name) => {
  const distance = (a, b) => {
    let row = [...Array(b.length + 1).keys()];
    for (let i = 1; i <= a.length; i += 1) {
      const next = [i];
      for (let j = 1; j <= b.length; j += 1) {
        next.push(Math.min(next[j - 1] + 1, row[j] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1)));
      }
      row = next;
    }
    return row[b.length];
  };
  const names = [...columns.map((column) => column.label), "point", "status", "reason"];
  const ranked = names.map((other) => [distance(name.toLowerCase(), other.toLowerCase()), other]).sort((a, b) => a[0] - b[0]);
  return ranked[0][0] <= Math.max(2, name.length / 3) ? `Did you mean ${ranked[0][1]}?` : `Columns are ${names.join(", ")}.`;
};

const columnNamed = (name) => {
  const same = (of) => columns.find((column) => of(column) === of({ name, label: name }));
  return same((one) => one.name) || same((one) => one.label) || same((one) => one.label.toLowerCase());
};

let haystacks;
const contains = (words) => {
  haystacks ||= data.ids.map((id, idx) =>
    [id, STATUS[data.status[idx]], reason(idx), ...axes.map((axis) => axis.levels[axis.at[idx]] ?? "")].join("\n").toLowerCase());
  const needle = words.toLowerCase();
  return (idx) => haystacks[idx].includes(needle);
};

const comparison = (name, sign, value) => {
  const own = OWN_TEXTS[name.toLowerCase()];
  const column = columnNamed(name);
  if (!column && !own) throw new FilterError(`No column is named "${name}". ${nearest(name)}`);
  const textOf = column ? (idx) => exact(column, idx) : own;
  const isNone = !value.quoted && value.text.toLowerCase() === "none";
  if (isNone && (sign === "=" || sign === "==")) return (idx) => textOf(idx) === "";
  if (isNone && sign === "!=") return (idx) => textOf(idx) !== "";
  const wanted = value.text.toLowerCase();
  if (sign === "~") return (idx) => textOf(idx).toLowerCase().includes(wanted);
  const compare = COMPARE[sign];
  if (!column || column.isText) {
    if (sign.includes("<") || sign.includes(">")) {
      throw new FilterError(`${name} holds words: compare it with =, != or ~ (contains).`);
    }
    return (idx) => textOf(idx) !== "" && compare(textOf(idx).toLowerCase(), wanted);
  }
  const number = value.text.trim() === "" ? NaN : Number(value.text);
  if (Number.isNaN(number)) throw new FilterError(`${name} holds numbers, and "${value.text}" is none.`);
  return (idx) => !Number.isNaN(column.values[idx]) && compare(column.values[idx], number);
};

// Whether a point passes; a FilterError says what is wrong with the text.
const parseFilter = (text) => {
  const list = tokens(text);
  let at = 0;
  const isWord = (word) => list[at] && !list[at].quoted && list[at].text?.toLowerCase() === word;
  const either = () => {
    const parts = [all()];
    while (isWord("or")) {
      at += 1;
      parts.push(all());
    }
    return parts.length === 1 ? parts[0] : (idx) => parts.some((part) => part(idx));
  };
  const all = () => {
    const parts = [one()];
    while (at < list.length && list[at].sign !== ")" && !isWord("or")) {
      if (isWord("and") || list[at].sign === ",") at += 1;
      parts.push(one());
    }
    return parts.length === 1 ? parts[0] : (idx) => parts.every((part) => part(idx));
  };
  const one = () => {
    if (at >= list.length) throw new FilterError("The filter ends too early.");
    if (isWord("not")) {
      at += 1;
      const inner = one();
      return (idx) => !inner(idx);
    }
    const token = list[at];
    at += 1;
    if (token.sign === "(") {
      const inner = either();
      if (list[at]?.sign !== ")") throw new FilterError("A bracket is not closed.");
      at += 1;
      return inner;
    }
    if (token.sign) throw new FilterError(`Before "${token.sign}" a name is missing.`);
    const sign = list[at]?.sign;
    if (!sign || sign === "(" || sign === ")" || sign === ",") return contains(token.text);
    at += 1;
    const value = list[at];
    if (!value || value.sign) throw new FilterError(`After "${token.text} ${sign}" a value is missing.`);
    at += 1;
    return comparison(token.text, sign, value);
  };
  if (!list.length) return null;
  const filter = either();
  if (at < list.length) throw new FilterError(`What does "${list[at].sign || list[at].text}" mean here?`);
  return filter;
};
