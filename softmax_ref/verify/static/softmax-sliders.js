// <softmax-sliders scores="2.5 -1 3.2 0.5">: move a score, watch every probability answer.
// The arrows are the Jacobian's column of the score that was moved last: where each bar's end
// would go, to first order, if that score grew by one.
import {
  InteractiveFigure, LARGEST32, define, jacobianColumn, make, naiveSoftmax32, show, slider, softmax, table,
} from "./interactive-figure.js";

const SUBSCRIPTS = "₁₂₃₄₅₆₇₈₉";
const NOTES = {
  start: "Move one score up: its own bar grows, all the others shrink. The arrows say how fast.",
  shift: "One was added to every score. No bar moved: softmax sees differences only.",
  hot: "Twice the temperature, all scores halved: the bars move towards each other.",
  cold: "Half the temperature, all scores doubled: the largest takes more.",
  overflow: "The thin bars and the second numbers are the plain formula in float32: beyond "
    + `${show(Math.log(LARGEST32), 1)} exp overflows, and ∞/∞ is NaN. The full bars subtract the `
    + "largest score first.",
};

class SoftmaxSliders extends InteractiveFigure {
  build() {
    this.start = this.getAttribute("scores").split(" ").map(Number);
    this.values = this.start;
    this.moved = 0;
    this.comparing = false;
    this.rows = this.start.map((value, i) => {
      const control = slider(`score z${SUBSCRIPTS[i]}`, { min: -5, max: 5, step: 0.1, value },
        () => this.move(i));
      const bar = make("div", { class: "bar" });
      const naive = make("div", { class: "bar naive", hidden: "" });
      const arrow = make("div", { class: "arrow" });
      const value_ = make("span", { class: "value" });
      const element = make("div", { class: "score" }, make("span", {}, `z${SUBSCRIPTS[i]}`),
        control.input, control.output,
        make("div", { class: "track", "aria-hidden": "true" }, bar, naive, arrow), value_);
      return { ...control, bar, naive, arrow, value: value_, element };
    });
    this.note = make("p", { class: "note", role: "status" }, NOTES.start);
    const preset = (label, note, scores) =>
      make("button", { type: "button", click: () => this.preset(note, scores(this.values)) }, label);
    return [
      make("div", { role: "group", "aria-label": "Scores and their probabilities" },
        ...this.rows.map((row) => row.element)),
      make("div", { class: "buttons" },
        preset("Start", "start", () => this.start),
        preset("Shift all by 1", "shift", (z) => z.map((x) => x + 1)),
        preset("Temperature × 2", "hot", (z) => z.map((x) => x / 2)),
        preset("Temperature ÷ 2", "cold", (z) => z.map((x) => x * 2)),
        preset("Overflow", "overflow", (z) => z.map((x, i) => 89 - i))),
      this.note,
    ];
  }

  /** Set all scores, between the steps of the sliders or beyond their range if need be. */
  preset(note, scores) {
    const largest = Math.max(...scores.map(Math.abs));
    const reach = [5, 10, 20, 50, 100].find((limit) => largest <= limit);
    if (!reach) return;
    this.values = scores;
    this.comparing = note === "overflow" || (this.comparing && note !== "start");
    this.note.textContent = NOTES[note];
    this.rows.forEach(({ input }, i) => {
      input.min = -reach;
      input.max = reach;
      input.value = this.values[i];
    });
    this.update();
  }

  move(i) {
    this.moved = i;
    this.values = this.values.with(i, this.rows[i].input.valueAsNumber);
    this.update();
  }

  update() {
    const z = this.values;
    const p = softmax(z);
    const column = jacobianColumn(p, this.moved);
    const naive = naiveSoftmax32(z);
    this.rows.forEach((row, i) => {
      row.tell(z[i]);
      row.bar.style.width = `${100 * p[i]}%`;
      row.value.replaceChildren(show(p[i]),
        ...(this.comparing ? [make("small", {}, show(naive[i]))] : []));
      row.naive.hidden = !this.comparing;
      row.naive.style.width = Number.isFinite(naive[i]) ? `${100 * naive[i]}%` : "0";
      const [from, to] = [p[i], p[i] + column[i]].sort((a, b) => a - b);
      row.arrow.style.left = `${100 * from}%`;
      row.arrow.style.width = `${100 * (to - from)}%`;
      row.arrow.className = `arrow ${column[i] >= 0 ? "up" : "down"}`;
      row.arrow.hidden = Math.abs(column[i]) < 0.005;
    });
    const j = SUBSCRIPTS[this.moved];
    const head = ["i", "score z", "probability p", `∂p / ∂z${j}`];
    const rows = z.map((x, i) => [String(i + 1), show(x, 2), show(p[i]), show(column[i])]);
    if (this.comparing) {
      head.push("plain formula, float32");
      rows.forEach((row, i) => row.push(show(naive[i])));
    }
    this.numbers.replaceChildren(table("Scores, probabilities, and the Jacobian's column", head, rows));
  }
}

define("softmax-sliders", SoftmaxSliders);
