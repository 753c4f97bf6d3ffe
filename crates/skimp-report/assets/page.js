// What every page has: errors that tests can read, colors, theme, printing. Defines `skimp`. Loads nothing.
const skimp = (() => {
  "use strict";
  const root = document.documentElement;
  const body = document.body;

  // Browser tests read these attributes.
  const failed = (error) => {
    const text = String((error && error.stack) || error);
    body.dataset.errors = body.dataset.errors ? `${body.dataset.errors}\n${text}` : text;
  };
  window.addEventListener("error", (event) => failed(event.error || event.message));
  window.addEventListener("securitypolicyviolation", (event) => failed(`blocked: ${event.violatedDirective}`));

  const color = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const element = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // Four significant digits, without the locale.
  const format = (value) => {
    if (value === 0) return "0";
    const digits = 3 - Math.floor(Math.log10(Math.abs(value)));
    return value.toFixed(Math.min(Math.max(digits, 0), 6));
  };

  // System, light, dark. The choice outlives the page where the browser lets files store anything.
  const themes = ["system", "light", "dark"];
  const stored = () => {
    try {
      return localStorage.getItem("skimp-theme") || "system";
    } catch {
      return "system";
    }
  };
  const drawings = [];
  const drawAgain = () => drawings.forEach((draw) => draw());
  const button = document.getElementById("theme");
  const apply = (theme) => {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const current = root.dataset.theme || "system";
    const next = themes[(themes.indexOf(current) + 1) % themes.length];
    try {
      localStorage.setItem("skimp-theme", next);
    } catch {
      // Not stored: the choice holds for this view.
    }
    apply(next);
    drawAgain();
  });
  // `#dark` and `#light` force a theme, for links and screenshots.
  const forced = location.hash.slice(1);
  const theme = themes.includes(forced) ? forced : stored();
  apply(themes.includes(theme) ? theme : "system");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAgain);

  // Paper is white: `draw(true)` before printing, `draw(false)` afterwards.
  const onPrint = (draw) => {
    let before;
    window.addEventListener("beforeprint", () => {
      before = root.dataset.theme;
      root.dataset.theme = "light";
      draw(true);
    });
    window.addEventListener("afterprint", () => {
      apply(before || "system");
      draw(false);
    });
  };

  return { root, body, failed, color, element, format, onTheme: (draw) => drawings.push(draw), onPrint };
})();
