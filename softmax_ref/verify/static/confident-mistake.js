// <confident-mistake>: scores (d, 0, ½), the label is the second class. As d grows the network is
// wrong with ever more confidence. Loss and gradient in one step and in two: find the cliff.
import {
  InteractiveFigure, define, lossAndGradients, make, show, slider, table,
} from "./interactive-figure.js";

const LIMITS = { float64: 800, float32: 120 };
const SAMPLES = 160;
const [WIDTH, HEIGHT, LEFT, BOTTOM] = [340, 130, 34, 18];

const finite = (v) => Number.isFinite(v.twoStepLoss) && Number.isFinite(v.twoStepGradient);
const kind = (v) => [v.twoStepLoss, v.twoStepGradient]
  .map((x) => (Number.isFinite(x) ? "finite" : show(x))).join();

class ConfidentMistake extends InteractiveFigure {
  build() {
    this.control = slider("score d of the wrong class", { min: 0, max: 800, step: 1, value: 10 },
      () => this.update());
    this.precision = make("select", { "aria-label": "precision", change: () => this.choose() },
      ...Object.keys(LIMITS).map((name) => make("option", {}, name)));
    this.plots = make("div", { class: "plots", "aria-hidden": "true" });
    this.note = make("p", { class: "note", role: "status" });
    return [
      make("div", { class: "score" }, make("span", {}, "d"), this.control.input, this.control.output,
        make("div", { class: "buttons" }, this.precision)),
      this.plots, this.note,
    ];
  }

  choose() {
    const limit = LIMITS[this.precision.value];
    const share = this.control.input.valueAsNumber / this.control.input.max;
    this.control.input.max = limit;
    this.control.input.value = Math.round(share * limit);
    this.update();
  }

  at(d) {
    return lossAndGradients([d, 0, 0.5], 1, this.precision.value === "float32");
  }

  /** One panel: the exact curve up to d, the two-step curve over it, and where that one ends. */
  panel(title, name, twoStep, low, high, samples) {
    const limit = LIMITS[this.precision.value];
    const x = (d) => LEFT + (WIDTH - LEFT - 6) * (d / limit);
    const y = (v) => HEIGHT - BOTTOM - (HEIGHT - BOTTOM - 18) * ((v - low) / (high - low));
    const path = (key) => samples.filter(([, v]) => Number.isFinite(v[key]))
      .map(([d, v], i) => `${i ? "L" : "M"}${x(d).toFixed(1)} ${y(v[key]).toFixed(1)}`).join("");
    const broken = samples.filter(([, v]) => !Number.isFinite(v[twoStep]));
    const panel = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` },
      make("text", { x: LEFT, y: 11 }, title),
      make("line", { x1: LEFT, x2: WIDTH - 6, y1: y(low), y2: y(low), stroke: "var(--soft)" }),
      make("line", { x1: LEFT, x2: LEFT, y1: y(low), y2: y(high), stroke: "var(--soft)" }),
      ...[low, high].map((v) =>
        make("text", { x: LEFT - 4, y: y(v) + 3, "text-anchor": "end" }, show(v, 0))),
      make("text", { x: LEFT, y: HEIGHT - 4 }, "d = 0"),
      make("text", { x: WIDTH - 6, y: HEIGHT - 4, "text-anchor": "end" }, show(limit, 0)));
    if (broken.length) {
      const from = x(broken[0][0]);
      const to = x(broken.at(-1)[0]);
      panel.append(
        make("rect", { x: from, width: Math.max(to - from, 1.5), y: y(high),
          height: y(low) - y(high), fill: "var(--mark)", "fill-opacity": 0.35 }),
        make("text", { x: from - 3, y: name === "loss" ? y(low) - 8 : y(high) + 20, "text-anchor": "end" },
          `two steps: ${show(broken[0][1][twoStep])} from d = ${broken[0][0]}`));
    }
    panel.append(
      make("path", { d: path(name), fill: "none", stroke: "var(--bar)", "stroke-width": 3 }),
      make("path", { d: path(twoStep), fill: "none", stroke: "var(--mark)", "stroke-width": 1.6,
        "stroke-dasharray": "5 4" }));
    return panel;
  }

  update() {
    this.control.tell();
    const limit = LIMITS[this.precision.value];
    const d = this.control.input.valueAsNumber;
    const steps = [...Array(d + 1).keys()];
    const every = Math.max(1, Math.round(limit / SAMPLES));
    const samples = steps.map((step) => [step, this.at(step)])
      .filter(([step, v]) => step % every === 0 || step === d || !finite(v));
    this.plots.replaceChildren(
      this.panel("loss", "loss", "twoStepLoss", 0, limit, samples),
      this.panel("gradient at the label's score", "gradient", "twoStepGradient", -1, 0, samples));
    const now = samples.at(-1)[1];
    this.note.textContent = finite(now)
      ? "Solid: one step. Dashed: softmax first, then the logarithm, two chain-rule factors. Go on."
      : `Over the cliff: two steps give loss ${show(now.twoStepLoss)} and gradient `
        + `${show(now.twoStepGradient)}; one step still gives ${show(now.loss)} and `
        + `${show(now.gradient)}.`;
    const marks = new Set([0, 10, 50, d, limit]); // and where the two steps change their kind
    for (let step = 1; step <= limit; step++)
      if (kind(this.at(step)) !== kind(this.at(step - 1))) marks.add(step - 1).add(step);
    this.numbers.replaceChildren(table(
      `Scores (d, 0, ½), second class right, ${this.precision.value}`,
      ["d", "loss, one step", "loss, two steps", "gradient, one step", "gradient, two steps"],
      [...marks].sort((a, b) => a - b).map((mark) => {
        const v = this.at(mark);
        return [String(mark), ...[v.loss, v.twoStepLoss, v.gradient, v.twoStepGradient]
          .map((value) => show(value))];
      })));
  }
}

define("confident-mistake", ConfidentMistake);
