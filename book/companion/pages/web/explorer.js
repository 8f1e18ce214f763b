// The threshold explorer. Everything it shows was counted before (book/companion/pages/explorer.py); here it is looked up and drawn.
// Axes: K exits. A table of the data has a row for each threshold, or for each budget.
function eecoreExplorer(id) {
  "use strict";
  const root = document.getElementById(id);
  const content = JSON.parse(root.querySelector(".ex-data").textContent);
  const part = (name) => root.querySelector(`.ex-${name}`);
  const slider = part("slider");
  const SHAPES = {
    o: "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0", s: "M-5 -5h10v10h-10z", "^": "M0 -6L6 5H-6z", v: "M0 6L6 -5H-6z",
    D: "M0 -6.5L6.5 0L0 6.5L-6.5 0z", P: "M-2 -6h4v4h4v4h-4v4h-4v-4h-4v-4h4z",
  };
  const PLOT = { left: 58, right: 408, top: 12, bottom: 236 };

  const sums = (text) => {
    let sum = 0;
    return text === "" ? [] : text.split(" ").map((step) => (sum += Number(step)));
  };
  const tableOf = (packed) => ({
    right: sums(packed.right),
    left: packed.left.map(sums),
    half: packed.half === undefined ? null : sums(packed.half),
    chosen: packed.chosen === undefined ? null : sums(packed.chosen),
    skip: packed.skip || 0,
  });
  for (const cell of content.cells) {
    for (const regime of cell.regimes) {
      regime.tables = { threshold: tableOf(regime.threshold), budget: tableOf(regime.budget) };
    }
  }

  /** What one regime gives at a row: accuracy, macs (mean per sample), shares (K), half (width), chosen; null if nothing fits. */
  function outcome(cell, regime, mode, row) {
    const table = regime.tables[mode];
    const at = row - table.skip;
    if (at < 0) return null;
    const total = cell.samples * regime.seeds.length;
    const leftBy = [...table.left.map((column) => column[at]), total];
    const shares = leftBy.map((count, k) => (count - (k ? leftBy[k - 1] : 0)) / total);
    return {
      accuracy: table.right[at] / total,
      macs: shares.reduce((sum, share, k) => sum + share * cell.macs[k], 0),
      shares,
      half: table.half && table.half[at] / 1000,
      chosen: table.chosen && table.chosen[at] / 100000,
    };
  }

  /** The exit (0..K-1) at which a shown sample leaves: the first whose score is above the row's threshold. */
  const exitOf = (shown, mode, row, i) => {
    const exit = shown[mode].findIndex((below) => row < below[i]);
    return exit < 0 ? shown[mode].length : exit;
  };

  const percent = (x, digits = 1) => `${(100 * x).toFixed(digits)} %`;
  const count = (x) => Math.round(x).toLocaleString("en-GB");
  const accuracyText = (found) => {
    const half = found.half === null ? "" : ` ± ${(100 * found.half).toFixed(1)}`;
    return `${(100 * found.accuracy).toFixed(1)}${half} %`;
  };

  function make(name, attributes, ...children) {
    const svg = ["svg", "path", "polyline", "line", "text", "g"].includes(name);
    const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  const options = (select, names, wanted) => {
    const before = names.includes(select.value) ? select.value : wanted;
    select.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    select.value = names.includes(before) ? before : names[0];
    select.closest("label").hidden = names.length < 2 && select.dataset.optional === "yes";
  };
  const different = (key, cells) => [...new Set(cells.map((cell) => cell[key]))];
  const [dataset, model, rule] = ["dataset", "model", "rule"].map(part);
  const mode = () => root.querySelector(".ex-mode:checked").value;

  /** Offer what fits: models of the data set, rules of both, regimes of all three. */
  function offer() {
    options(dataset, different("dataset", content.cells));
    const ofData = content.cells.filter((cell) => cell.dataset === dataset.value);
    options(model, different("model", ofData));
    const ofModel = ofData.filter((cell) => cell.model === model.value);
    options(rule, different("rule", ofModel));
    const cell = ofModel.find((one) => one.rule === rule.value);
    options(part("regime"), cell.regimes.map((regime) => regime.label), "mixed");
    return cell;
  }

  function setSlider() {
    const values = mode() === "threshold" ? content.thresholds : content.budgets;
    const start = mode() === "threshold" ? 0.8 : 0.5;
    slider.max = values.length - 1;
    slider.value = values.findIndex((value) => value >= start - 1e-9);
    part("named").textContent = mode() === "threshold" ? "Threshold" : "Budget";
  }

  const shown = () => {
    const value = (mode() === "threshold" ? content.thresholds : content.budgets)[Number(slider.value)];
    return mode() === "threshold" ? String(value) : percent(value);
  };

  const swatch = (regime) =>
    make("svg", { viewBox: "-8 -8 16 16", class: "ex-swatch", "aria-hidden": "true" },
      make("path", { d: SHAPES[regime.marker] || SHAPES.o, fill: regime.colour }));

  function drawTable(cell, row, chosen) {
    const budget = mode() === "budget";
    part("column").hidden = !budget;
    part("rows").replaceChildren(...cell.regimes.map((regime) => {
      const found = outcome(cell, regime, mode(), row);
      const texts = found
        ? [accuracyText(found), percent(found.macs / cell.backbone_macs), count(found.macs)]
        : ["–", "–", "–"];
      if (budget) texts.push(found ? found.chosen.toFixed(5) : "–");
      const line = make("tr", regime === chosen ? { class: "ex-chosen", "aria-current": "true" } : {});
      line.append(make("th", { scope: "row" }, swatch(regime), regime.label), ...texts.map((text) => make("td", {}, text)));
      return line;
    }));
  }

  function drawExits(cell, row, regime) {
    const found = outcome(cell, regime, mode(), row);
    const samples = content.pictures[cell.dataset];
    const leaving = samples.sample.map((_, i) => exitOf(regime.pictures, mode(), row, i));
    part("exits").replaceChildren(...cell.macs.map((macs, k) => {
      const share = found ? found.shares[k] : 0;
      const bar = make("span", { class: "ex-bar", "aria-hidden": "true" });
      bar.style.width = `${(100 * share).toFixed(1)}%`;
      bar.style.background = regime.colour;
      const line = make("tr", {}, make("th", { scope: "row" }, `${k + 1}`), make("td", {}, found ? percent(share) : "–"),
        make("td", { class: "ex-bars" }, bar));
      if (samples.source.length && found) {
        const here = leaving.map((exit, i) => (exit === k ? i : -1)).filter((i) => i >= 0);
        line.lastChild.append(...here.map((i) => picture(samples, i, regime.pictures.answer[k][i])));
      }
      return line;
    }));
  }

  function picture(samples, i, answer) {
    const right = answer === samples.label[i];
    const said = `sample ${samples.sample[i]}, class ${samples.label[i]}, answered ${answer}, ${right ? "right" : "wrong"}`;
    return make("span", { class: right ? "ex-picture" : "ex-picture ex-wrong", title: said },
      make("img", { src: samples.source[i], alt: said, width: 36, height: 36 }),
      make("span", { "aria-hidden": "true" }, right ? `${answer} ✓` : `${answer} ✗`));
  }

  /** Round numbers that divide [low, high] into three to six steps. */
  function ticks(low, high) {
    const raw = (high - low) / 4 || 1;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= raw);
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, i) => (first + i) * step);
  }

  function drawChart(cell, row, chosen) {
    const curves = cell.regimes.map((regime) =>
      content.thresholds.map((_, at) => outcome(cell, regime, "threshold", at)));
    const xs = curves.flat().map((point) => (100 * point.macs) / cell.backbone_macs);
    const ys = curves.flat().map((point) => 100 * point.accuracy);
    const [x0, x1, y1] = [Math.min(...xs, 100), Math.max(...xs, 100), Math.max(...ys)];
    const y0 = Math.min(...ys, y1 - 1);
    const x = (value) => PLOT.left + 6 + ((value - x0) / (x1 - x0 || 1)) * (PLOT.right - PLOT.left - 12);
    const y = (value) => PLOT.bottom - 6 - ((value - y0) / (y1 - y0)) * (PLOT.bottom - PLOT.top - 12);
    const place = (found) => [x((100 * found.macs) / cell.backbone_macs), y(100 * found.accuracy)];
    const text = (value, at) => make("text", at, value);
    const grid = [
      ...ticks(y0, y1).flatMap((t) => [
        make("line", { class: "ex-grid", x1: PLOT.left, x2: PLOT.right, y1: y(t), y2: y(t) }),
        text(`${+t.toFixed(2)}`, { x: PLOT.left - 6, y: y(t) + 4, "text-anchor": "end" }),
      ]),
      ...ticks(x0, x1).flatMap((t) => [
        make("line", { class: "ex-grid", x1: x(t), x2: x(t), y1: PLOT.top, y2: PLOT.bottom }),
        text(`${+t.toFixed(2)}`, { x: x(t), y: PLOT.bottom + 16, "text-anchor": "middle" }),
      ]),
      text("mean cost per sample (% of the backbone's MACs)", { x: 233, y: 272, "text-anchor": "middle" }),
      text("test accuracy (%)", { transform: "translate(14 124) rotate(-90)", "text-anchor": "middle" }),
      make("line", { class: "ex-plain", x1: x(100), x2: x(100), y1: PLOT.top, y2: PLOT.bottom }),
    ];
    if (mode() === "budget" && 100 * content.budgets[row] >= x0) {
      const at = x(100 * content.budgets[row]);
      grid.push(make("line", { class: "ex-budget", x1: at, x2: at, y1: PLOT.top, y2: PLOT.bottom }));
    }
    const last = (regimes) => [...regimes].sort((a, b) => (a === chosen) - (b === chosen));
    const drawn = last(cell.regimes).map((regime) => {
      const points = curves[cell.regimes.indexOf(regime)].map((found) => place(found).map((n) => n.toFixed(1)).join(","));
      const classes = regime === chosen ? "ex-curve ex-chosen" : "ex-curve";
      return make("polyline", { class: classes, points: points.join(" "), stroke: regime.colour });
    });
    const marks = last(cell.regimes).map((regime) => {
      const found = outcome(cell, regime, mode(), row);
      if (!found) return make("g", {});
      const [a, b] = place(found);
      const size = regime === chosen ? 1.6 : 1.1;
      return make("path", {
        class: "ex-mark", d: SHAPES[regime.marker] || SHAPES.o, fill: regime.colour,
        transform: `translate(${a.toFixed(1)} ${b.toFixed(1)}) scale(${size})`,
      });
    });
    const svg = part("chart");
    svg.replaceChildren(...grid, ...drawn, ...marks);
    svg.setAttribute("aria-label", "Accuracy against mean cost: a curve over all thresholds for each regime, "
      + `${cell.dataset}, ${cell.model}; marks stand where the slider is. The numbers are in the tables.`);
  }

  function say(cell, row, regime) {
    const found = outcome(cell, regime, mode(), row);
    const seeds = `${regime.seeds.length} seed${regime.seeds.length === 1 ? "" : "s"}`;
    const where = `${mode() === "threshold" ? "Threshold" : "Budget"} ${shown()}, ${regime.label}`;
    part("said").textContent = found
      ? `${where}: accuracy ${accuracyText(found)}, mean cost ${percent(found.macs / cell.backbone_macs)} of the backbone's; `
        + `${found.shares.map((share, k) => `${percent(share)} leave at exit ${k + 1}`).join(", ")}. Mean of ${seeds}.`
      : `${where}: even the first exit costs more.`;
    const drawn = content.pictures[cell.dataset].source.length;
    part("whose").textContent = drawn
      ? `Pictures: ${drawn} test samples from easy to hard, and what the network of seed ${regime.pictures.seed} answers.`
      : "";
  }

  function draw() {
    const cell = offer();
    const row = Number(slider.value);
    const regime = cell.regimes.find((one) => one.label === part("regime").value);
    part("value").textContent = shown();
    slider.setAttribute("aria-valuetext", shown());
    drawChart(cell, row, regime);
    drawTable(cell, row, regime);
    drawExits(cell, row, regime);
    say(cell, row, regime);
  }

  for (const select of [dataset, model, rule, part("regime")]) select.addEventListener("change", draw);
  slider.addEventListener("input", draw);
  for (const choice of root.querySelectorAll(".ex-mode")) {
    choice.addEventListener("change", () => {
      setSlider();
      draw();
    });
  }
  setSlider();
  draw();
  part("live").hidden = false;
}
