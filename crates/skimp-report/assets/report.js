// Charts and printing of a report. Runs after page.js, which defines `skimp`, and Chart.js, which defines `Chart`.
(() => {
  "use strict";
  const { root, body, failed, color, element, format } = skimp;
  const PRINT_WIDTH = 680; // pixels of an A4 or Letter page within 15 mm margins
  const PRINT_HEIGHT = 680; // what the shorter of the two leaves below heading, caption and legend
  const NARROW = 640; // below this width bars lie down, so that their names stay readable
  const MANY = 24; // and above this count of them, too

  const letter = (idx) => String.fromCharCode(65 + idx);
  // Of a path the end tells more, of words the beginning.
  const shorten = (text, most) => {
    if (text.length <= most) return text;
    return text.includes(" ") ? `${text.slice(0, most - 1)}…` : `…${text.slice(1 - most)}`;
  };

  // Without the path components that all names begin or end with: axes need the differences. Words are no paths.
  const distinct = (names) => {
    if (names.length < 2 || names.some((name) => name.includes(" "))) return names;
    const parts = names.map((name) => name.split(/(?<=[/.])/));
    const shared = (at) => parts.every((one) => one.length > 1 && one.at(at) === parts[0].at(at));
    while (shared(0)) parts.forEach((one) => one.shift());
    while (shared(-1)) parts.forEach((one) => one.pop());
    return parts.map((one) => one.join("").replace(/(.)[/.]$/, "$1"));
  };

  const hatch = (paint) => {
    const tile = element("canvas");
    tile.width = tile.height = 6;
    const context = tile.getContext("2d");
    context.strokeStyle = paint;
    context.lineWidth = 1.6;
    context.beginPath();
    for (const shift of [-6, 0, 6]) {
      context.moveTo(shift - 1, 7);
      context.lineTo(shift + 7, -1);
    }
    context.stroke();
    return context.createPattern(tile, "repeat");
  };

  // Marks the end of each stack with the letter of its group.
  const letters = {
    id: "letters",
    afterDatasetsDraw(chart, _, { groups, totals, horizontal }) {
      if (!groups) return;
      const { ctx: context, scales } = chart;
      context.save();
      context.fillStyle = color("--text");
      context.font = `600 9px ${Chart.defaults.font.family}`;
      context.textAlign = horizontal ? "left" : "center";
      context.textBaseline = horizontal ? "middle" : "bottom";
      for (const group of groups) {
        const first = chart.data.datasets.findIndex((dataset, idx) => dataset.group === group && chart.isDatasetVisible(idx));
        if (first < 0) continue;
        chart.getDatasetMeta(first).data.forEach((bar, idx) => {
          const total = totals[group][idx];
          if (total === null || (horizontal ? bar.height : bar.width) < 5) return;
          if (horizontal) context.fillText(letter(group), scales.x.getPixelForValue(total) + 3, bar.y + 0.5);
          else context.fillText(letter(group), bar.x, scales.y.getPixelForValue(total) - 1);
        });
      }
      context.restore();
    },
  };

  class Figure {
    constructor(node) {
      this.node = node;
      this.spec = JSON.parse(node.querySelector("script").textContent);
      this.plot = node.querySelector(".plot");
      this.canvas = node.querySelector("canvas");
      this.view = 0;
      this.hiddenNames = new Set();
      this.hiddenGroups = new Set();
      this.grouped = this.spec.groups.length > 1;
      this.legend();
    }

    // Buttons, so that keyboards and screen readers reach them: one per color, one per stack.
    legend() {
      const legend = this.node.querySelector(".legend");
      const { views, groups, category_title: category } = this.spec;
      if (views.length > 1) {
        const select = element("select");
        views.forEach((view, idx) => select.append(element("option", { value: idx }, view.name)));
        select.addEventListener("change", () => {
          this.view = Number(select.value);
          this.draw();
        });
        legend.append(element("label", { class: "choice" }, "Show", select));
      }
      const toggle = (hidden, key, ...children) => {
        const button = element("button", { type: "button", "aria-pressed": "true" }, ...children);
        button.addEventListener("click", () => {
          if (!hidden.delete(key)) hidden.add(key);
          button.setAttribute("aria-pressed", String(!hidden.has(key)));
          this.draw();
        });
        legend.append(button);
      };
      if (this.grouped) {
        groups.forEach((name, idx) =>
          toggle(this.hiddenGroups, idx, element("span", { class: "letter" }, letter(idx)), name));
        legend.append(element("span", { class: "break" }));
      }
      const colored = this.spec.scatter ? this.spec.scatter.clouds : views[0].series;
      const unique = new Map(colored.map((series) => [series.name, series]));
      if (unique.size > 1) {
        for (const [name, series] of unique) {
          const style = `--swatch: var(--c${series.color})`;
          toggle(this.hiddenNames, name, element("span", { class: series.hatched ? "swatch hatched" : "swatch", style }), name);
        }
      }
      legend.setAttribute("role", "group");
      legend.setAttribute("aria-label", `What the chart per ${category} shows`);
    }

    visible() {
      return this.spec.views[this.view].series.filter(
        (series) => !this.hiddenNames.has(series.name) && !(this.grouped && this.hiddenGroups.has(series.group)));
    }

    draw(printing = false) {
      const { spec } = this;
      if (spec.scatter) return this.drawScatter(printing);
      const { labels } = spec.views[this.view];
      const series = this.visible();
      const width = printing ? PRINT_WIDTH : this.plot.clientWidth;
      const horizontal = spec.flat || (!spec.upright && (width < NARROW || labels.length > MANY));
      const groups = [...new Set(series.map((one) => one.group))].sort((a, b) => a - b);
      const perLabel = spec.stacked ? Math.max(groups.length, 1) : Math.max(series.length, 1);
      const row = Math.max(18, perLabel * (labels.length > MANY ? 9 : spec.flat ? 15 : 11) + 6);
      const height = horizontal ? labels.length * row + 70 : printing || width < NARROW ? 300 : 380;
      const drawn = printing ? Math.min(height, PRINT_HEIGHT) : height;
      this.row = horizontal ? (drawn - 70) / labels.length : row;
      this.plot.style.height = `${drawn}px`;
      this.plot.style.width = printing ? `${PRINT_WIDTH}px` : "";
      if (this.chart) this.chart.destroy();
      this.chart = new Chart(this.canvas, this.config(labels, series, groups, horizontal, width));
    }

    // Points over numeric axes, with the roof of each cloud as a line.
    drawScatter(printing) {
      const { spec } = this;
      const clouds = spec.scatter.clouds.filter((cloud) => !this.hiddenNames.has(cloud.name));
      this.plot.style.height = printing || this.plot.clientWidth < NARROW ? "340px" : "420px";
      this.plot.style.width = printing ? `${PRINT_WIDTH}px` : "";
      const points = clouds.map((cloud) => ({
        label: cloud.name,
        data: cloud.points.map(([name, x, y]) => ({ name, x, y })),
        backgroundColor: color(`--c${cloud.color}`),
        borderColor: color("--background"),
        pointRadius: 4,
      }));
      const roofs = clouds.map((cloud) => ({
        label: cloud.name,
        data: cloud.roof.map(([x, y]) => ({ name: "roof", x, y })),
        showLine: true,
        borderColor: color(`--c${cloud.color}`),
        borderWidth: 1.5,
        pointRadius: 0,
        pointHitRadius: 0,
      }));
      const axis = (title, unit) => ({
        type: spec.scatter.linear ? "linear" : "logarithmic",
        grid: { color: color("--line") },
        border: { display: false },
        title: { display: true, text: unit ? `${title} (${unit})` : title, color: color("--muted") },
        ticks: { color: color("--text"), font: { size: 11 }, maxTicksLimit: 8 },
      });
      if (this.chart) this.chart.destroy();
      this.chart = new Chart(this.canvas, {
        type: "scatter",
        data: { datasets: [...points, ...roofs] },
        options: {
          animation: false,
          responsive: true,
          maintainAspectRatio: false,
          scales: {
            x: axis(spec.scatter.x_title, spec.scatter.x_unit),
            y: axis(spec.value_title, spec.unit),
          },
          plugins: {
            legend: { display: false },
            tooltip: {
              backgroundColor: color("--surface"),
              bodyColor: color("--text"),
              borderColor: color("--line"),
              borderWidth: 1,
              callbacks: {
                label: ({ dataset, raw }) => {
                  const value = ` ${dataset.label}, ${raw.name}: ${format(raw.y)} ${spec.unit}`;
                  return spec.scatter.linear ? value : `${value} at ${format(raw.x)} ${spec.scatter.x_unit}`;
                },
              },
            },
          },
        },
      });
    }

    config(labels, series, groups, horizontal, width) {
      const { spec } = this;
      const [category, value] = horizontal ? ["y", "x"] : ["x", "y"];
      const text = color("--text");
      const muted = color("--muted");
      const datasets = series.map((one) => {
        const paint = color(`--c${one.color}`);
        return {
          label: one.name,
          group: one.group,
          data: one.values,
          stack: spec.stacked ? String(one.group) : one.name,
          backgroundColor: one.hatched ? hatch(paint) : paint,
          borderColor: one.hatched ? paint : color("--background"),
          borderWidth: spec.stacked ? 0.5 : 0,
          categoryPercentage: 0.84,
          barPercentage: 0.94,
          maxBarThickness: 46,
        };
      });
      const totals = {};
      for (const group of groups) {
        const own = series.filter((one) => one.group === group);
        totals[group] = labels.map((_, idx) => {
          const values = own.map((one) => one.values[idx]).filter((number) => number !== null && number !== undefined);
          return values.length ? values.reduce((sum, number) => sum + number, 0) : null;
        });
      }
      const axis = (title) => ({ display: true, text: title, color: muted });
      const short = distinct(labels);
      const longest = horizontal ? Math.max(14, Math.floor(width / 24)) : 16;
      return {
        type: "bar",
        data: { labels, datasets },
        plugins: [letters],
        options: {
          indexAxis: category,
          animation: false,
          responsive: true,
          maintainAspectRatio: false,
          interaction: { mode: "index", axis: category, intersect: false },
          layout: { padding: horizontal ? { right: 14 } : { top: 12 } },
          scales: {
            [category]: {
              stacked: spec.stacked,
              grid: { display: false },
              border: { color: muted },
              title: horizontal ? { display: false } : axis(spec.category_title),
              ticks: {
                color: text,
                autoSkip: false,
                maxRotation: spec.upright ? 0 : 60,
                font: { size: Math.max(5, Math.min(11, this.row - 1)) },
                callback(idx) {
                  return shorten(short[idx], longest);
                },
              },
            },
            [value]: {
              stacked: spec.stacked,
              beginAtZero: true,
              max: spec.max,
              grid: { color: color("--line") },
              border: { display: false },
              title: axis(`${spec.value_title} (${spec.unit})`),
              ticks: { color: text, font: { size: 11 } },
            },
          },
          plugins: {
            legend: { display: false },
            letters: { groups: spec.stacked && this.grouped ? groups : null, totals, horizontal },
            tooltip: this.tooltip(series, groups, totals),
          },
        },
      };
    }

    // Stacks: one line per color with the values of all groups, then their totals and the change against the first.
    tooltip(series, groups, totals) {
      const { spec } = this;
      const join = (values) => `${values.map((one) => (one === null || one === undefined ? "–" : format(one))).join(" → ")} ${spec.unit}`;
      const values = (name, idx) =>
        groups.map((group) => {
          const one = series.find((other) => other.name === name && other.group === group);
          return one ? one.values[idx] : null;
        });
      const common = {
        backgroundColor: color("--surface"),
        titleColor: color("--text"),
        bodyColor: color("--text"),
        footerColor: color("--text"),
        borderColor: color("--line"),
        borderWidth: 1,
        bodyFont: { size: 12 },
        boxWidth: 10,
        boxHeight: 10,
        caretPadding: 6,
      };
      if (!spec.stacked) {
        return { ...common, callbacks: { label: (item) => ` ${item.dataset.label}: ${join([item.raw])}` } };
      }
      return {
        ...common,
        filter: (item) =>
          item.dataset.group === groups[0] && values(item.dataset.label, item.dataIndex).some((one) => one),
        callbacks: {
          label: (item) => ` ${item.dataset.label}: ${join(values(item.dataset.label, item.dataIndex))}`,
          footer: (items) => {
            if (!items.length) return "";
            const sums = groups.map((group) => totals[group][items[0].dataIndex]);
            const change = sums.length === 2 && sums[0] && sums[1] !== null
              ? ` (${sums[1] > sums[0] ? "+" : "−"}${Math.abs(100 * (1 - sums[1] / sums[0])).toFixed(1)} %)` : "";
            return `total: ${join(sums)}${change}`;
          },
        },
      };
    }
  }

  const figures = [];
  const drawAll = (printing = false) => {
    let ready = 0;
    for (const figure of figures) {
      try {
        figure.draw(printing);
        ready += 1;
      } catch (error) {
        failed(error);
      }
    }
    body.dataset.chartsReady = String(ready);
    body.dataset.overflowPx = String(Math.max(0, root.scrollWidth - root.clientWidth));
  };

  if (typeof Chart === "undefined") {
    failed("the chart library did not run");
    return;
  }
  Chart.defaults.font.family = getComputedStyle(body).fontFamily;
  for (const node of document.querySelectorAll("figure.chart")) {
    try {
      figures.push(new Figure(node));
    } catch (error) {
      failed(error);
    }
  }
  drawAll();

  skimp.onTheme(() => drawAll());
  // Chart.js follows the width by itself; only the direction of the bars is ours.
  let width = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return;
    width = window.innerWidth;
    drawAll();
  });
  skimp.onPrint((printing) => drawAll(printing));
})();
