// What the interactive figures share: arithmetic, number format, parts of the page, style.
// No dependencies. A notebook carries this file within an output; a page loads it once.

/** Softmax with the maximum subtracted, in double precision. */
export const softmax = (z) => {
  const top = Math.max(...z);
  const e = z.map((x) => Math.exp(x - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((x) => x / sum);
};

/** The largest number of single precision. */
export const LARGEST32 = (2 - 2 ** -23) * 2 ** 127;

/** The formula as it stands, in single precision, where exp overflows beyond log(LARGEST32). */
export const naiveSoftmax32 = (z) => {
  const e = z.map((x) => Math.fround(Math.exp(Math.fround(x))));
  const sum = e.reduce((a, b) => Math.fround(a + b), 0);
  return e.map((x) => Math.fround(x / sum));
};

/** Column j of the Jacobian: how every probability answers to score j. */
export const jacobianColumn = (p, j) => p.map((pi, i) => pi * ((i === j) - p[j]));

/** Loss and gradient at the label's score, one step and two steps, scores z, label y. */
export const lossAndGradients = (z, y, single = false) => {
  const round = single ? Math.fround : (x) => x;
  const top = Math.max(...z);
  const e = z.map((x) => round(Math.exp(round(x - top))));
  const sum = e.reduce((a, b) => round(a + b), 0);
  const p = e.map((x) => round(x / sum));
  const rest = z.reduce((a, x, i) => (i === z.indexOf(top) ? a : round(a + e[i])), 0);
  const upstream = round(-1 / p[y]); // of -log p_y; then the diagonal of the Jacobian
  return {
    loss: round(round(top - z[y]) + round(Math.log1p(rest))),
    twoStepLoss: round(-Math.log(p[y])),
    gradient: round(p[y] - 1),
    twoStepGradient: round(round(p[y] - round(p[y] * p[y])) * upstream),
  };
};

/** A number as the figures and their tables print it. */
export const show = (x, digits = 4) =>
  Number.isNaN(x) ? "NaN"
    : !Number.isFinite(x) ? (x > 0 ? "∞" : "−∞")
    : (Object.is(x, -0) ? 0 : x).toFixed(digits).replace(/^-(?=.*[1-9])/, "−").replace(/^-/, "");

/** An element with attributes and children; names as in HTML, functions are listeners. */
export const make = (name, attributes = {}, ...children) => {
  const svg = ["svg", "path", "line", "rect", "text", "circle"].includes(name);
  const node = svg ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes))
    if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value);
  node.append(...children);
  return node;
};

/** A range input with a label; its value is spoken and shown. */
export const slider = (label, { min, max, step, value }, changed) => {
  const output = make("span", { class: "value", "aria-hidden": "true" }); // aria-valuetext says it
  const input = make("input", { type: "range", "aria-label": label, min, max, step, input: changed });
  input.value = value;
  const tell = (shown = input.valueAsNumber) => {
    output.textContent = show(shown, step < 1 ? 2 : 0);
    input.setAttribute("aria-valuetext", output.textContent);
  };
  return { input, output, tell };
};

/** A table from a heading and rows of text; the first column heads its rows. */
export const table = (caption, head, rows) =>
  make("table", {}, make("caption", {}, caption),
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map(([first, ...others]) =>
      make("tr", {}, make("th", { scope: "row" }, first),
        ...others.map((text) => make("td", {}, text))))));

const style = `
.interactive { --ink: #1b1b1b; --soft: #5c6370; --bar: #0072b2; --mark: #b34700; --track: #e9edf2;
  display: block; box-sizing: border-box; color: var(--ink); max-width: 46rem; margin: 1rem auto; line-height: 1.4; }
:is([data-theme="dark"], [data-jp-theme-light="false"]) .interactive {
  --ink: #e8eaed; --soft: #b4bac4; --bar: #56b4e9; --mark: #ffb347; --track: #333a44; }
.interactive .score { display: grid; grid-template-columns: 2.2rem minmax(6rem, 1fr) 3.4rem 2fr 4rem;
  gap: 0.5rem; align-items: center; margin-block: 0.3rem; }
.interactive input[type="range"] { width: 100%; min-height: 1.6rem; accent-color: var(--bar); }
.interactive :focus-visible { outline: 3px solid var(--mark); outline-offset: 2px; }
.interactive .value { font-variant-numeric: tabular-nums; text-align: right; }
.interactive small { display: block; color: var(--mark); line-height: 1; }
.interactive .track { position: relative; height: 1.5rem; background: var(--track); }
.interactive .bar { position: absolute; inset: 0 auto 0 0; background: var(--bar); }
.interactive .naive { inset: 65% auto 0 0; background: var(--mark); }
.interactive .arrow { position: absolute; top: 50%; height: 3px; margin-top: -1.5px; background: var(--mark); }
.interactive .arrow::after { content: ""; position: absolute; top: -4px; border: 5.5px solid transparent; }
.interactive .arrow.up::after { right: -6px; border-left-color: var(--mark); border-right: 0; }
.interactive .arrow.down::after { left: -6px; border-right-color: var(--mark); border-left: 0; }
.interactive .buttons { display: flex; flex-wrap: wrap; gap: 0.5rem; margin-block: 0.7rem; align-items: center; }
.interactive button, .interactive select { font: inherit; font-size: 0.9em; padding: 0.3rem 0.7rem;
  min-height: 2rem; color: inherit; background: var(--track); border: 1px solid var(--soft); border-radius: 0.3rem; }
.interactive summary { padding-block: 0.2rem; cursor: pointer; }
.interactive .note { color: var(--soft); font-size: 0.9em; margin-block: 0.4rem; min-height: 2.8em; }
.interactive table { border-collapse: collapse; margin: 0.4rem 0; font-variant-numeric: tabular-nums; color: inherit; }
.interactive caption { caption-side: top; text-align: left; color: var(--soft); }
.interactive :is(th, td) { padding: 0.15rem 0.8rem 0.15rem 0; text-align: right; color: inherit; }
.interactive .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(17rem, 1fr)); gap: 1rem; }
.interactive svg { width: 100%; height: auto; display: block; }
.interactive .numbers { overflow-x: auto; }
.interactive svg text { fill: var(--ink); font: 10px system-ui, sans-serif; }
@media (prefers-reduced-motion: no-preference) { .interactive .bar { transition: width 0.12s; } }
@media (max-width: 640px) {
  .interactive .score { grid-template-columns: 1.5rem minmax(0, 1fr) 3.6rem; }
  .interactive .score .track { grid-column: 1 / 3; } }`;

/** Base of the figures: it keeps the table that it finds as what to fall back on. */
export class InteractiveFigure extends HTMLElement {
  connectedCallback() {
    if (this.built) return;
    this.built = true;
    if (!document.querySelector("style[data-interactive]"))
      document.head.append(make("style", { "data-interactive": "" }, style));
    this.classList.add("interactive");
    this.numbers = make("div",
      { class: "numbers", role: "region", "aria-label": "The same in numbers", tabindex: "0" });
    const parts = this.build();
    const folded = make("details", {}, make("summary", {}, "The same in numbers"), this.numbers);
    this.replaceChildren(...parts, folded);
    this.update();
  }
}

/** Register an element once, however many outputs carry its script. */
export const define = (name, constructor) =>
  customElements.get(name) || customElements.define(name, constructor);
