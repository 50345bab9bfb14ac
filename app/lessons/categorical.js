// A choice of three. `data-part` says how far the lesson is: probabilities, draws, gradients. All parts share the numbers.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, percent, button, live, predict } = window.tinylab.lessons;
const maths = window.tinylab.categorical, part = root.dataset.part;
const START = [0.5, 0, -0.5];
const shared = (window.tinylab.lessons.choice ??= { logits: [...START], tau: 1, costs: [0.3, 1, 0.1], changed: new EventTarget() });
const DRAWS = 1000, OPTIONS = ["A", "B", "C"];
const random = maths.seeded(Number(root.dataset.seed) || 7);
let noise = null, counts = [0, 0, 0], countedFor = "";
const places = {};
let asking = true; // the question of this page is open: what would answer it is locked or not there yet

// Until the scores are to be doubled, everybody sees the same ones here.
const scores = () => (asking && part === "softmax" ? START : shared.logits);

function slider(label, value, low, high, step, set, locked = false) {
  const shown = h("output", {}, number(value, 1));
  const input = h("input", { type: "range", min: low, max: high, step, value, disabled: locked, "aria-label": label, oninput: () => {
    set(Number(input.value));
    shown.textContent = number(Number(input.value), 1);
    shared.changed.dispatchEvent(new Event("change"));
  } });
  return h("label", { class: "lesson-slider" }, h("span", {}, label), input, shown);
}

// Bars of one quantity, one for each option; negative ones go to the left. `whiskers` are deviations.
function bars(title, values, most, { digits = 3, whiskers, kind = "" } = {}) {
  const both = values.some((value) => value < 0) || kind.includes("signed");
  const scale = (value) => `${Math.min(100, (100 * Math.abs(value)) / most) / (both ? 2 : 1)}%`;
  const rows = values.map((value, i) => {
    const place = both ? (value < 0 ? "right: 50%" : "left: 50%") : "left: 0";
    const reach = whiskers && `left: calc(50% + ${Math.max(-50, Math.min(50, ((value - whiskers[i]) / most) * 50))}%); right: calc(50% - ${Math.max(-50, Math.min(50, ((value + whiskers[i]) / most) * 50))}%)`;
    return h("div", { class: "lesson-bar" }, h("span", {}, OPTIONS[i]),
      h("div", { class: `lesson-track${both ? " lesson-signed" : ""}` }, h("i", { class: kind, style: `${place}; width: ${scale(value)}` }), reach && h("u", { style: reach })),
      h("b", {}, whiskers ? `${number(value, digits)} ± ${number(whiskers[i], 2)}` : number(value, digits)));
  });
  return h("div", { class: "lesson-bars", role: "group", "aria-label": title }, h("h4", {}, title), ...rows);
}

const place = (name, attributes = {}) => (places[name] = h("div", attributes));
const put = (name, ...what) => places[name].replaceChildren(...what.filter(Boolean));

function controls() {
  const logits = shared.logits.map((value, i) => slider(text("gradient.logit", { option: OPTIONS[i] }), value, -3, 3, 0.1, (v) => { shared.logits[i] = v; }, part === "softmax"));
  const costs = part === "gradient" ? shared.costs.map((value, i) => slider(text("gradient.cost", { option: OPTIONS[i] }), value, 0, 2, 0.1, (v) => { shared.costs[i] = v; })) : [];
  const tau = part === "softmax" ? [] : [slider("τ", shared.tau, 0.1, 4, 0.1, (v) => { shared.tau = v; }, part === "gradient")];
  return h("div", { class: "lesson-controls" }, h("div", {}, ...logits, ...tau), h("div", {}, ...costs));
}

function showSoftmax() {
  put("bars", bars(text("gradient.probabilities"), maths.softmax(scores()), 1));
}

function drawOne() {
  noise = maths.gumbel(3, random);
  counts[maths.drawn(shared.logits, noise)] += 1;
  update();
}

function drawMany() {
  for (let i = 0; i < DRAWS; i += 1) counts[maths.drawn(shared.logits, (noise = maths.gumbel(3, random)))] += 1;
  update();
}

function showDraws() {
  const key = shared.logits.join(" ");
  if (key !== countedFor) [counts, countedFor] = [[0, 0, 0], key]; // other scores, another count
  const total = counts.reduce((a, b) => a + b, 0);
  if (!noise) noise = maths.gumbel(3, random);
  const hard = maths.hard(shared.logits, noise);
  put("bars",
    bars(text("gradient.noisy"), shared.logits.map((l, i) => l + noise[i]), 6, { digits: 2, kind: "signed" }),
    bars(text("gradient.hard"), hard, 1, { digits: 0 }),
    bars(text("gradient.soft", { tau: number(shared.tau, 1) }), maths.soft(shared.logits, noise, shared.tau), 1));
  put("counts", !asking && total > 0 && bars(text("gradient.counted", { total: number(total, 0) }), counts.map((n) => n / total), 1), !asking && total > 0 && bars(text("gradient.probabilities"), maths.softmax(shared.logits), 1));
  root.dataset.counts = counts.join(" ");
}

function showGradients() {
  if (!noise) noise = maths.gumbel(3, random);
  const { logits, costs, tau } = shared;
  const one = maths.straightThrough(logits, noise, tau, costs), exact = maths.exact(logits, costs);
  const through = maths.average(maths.straightThrough, logits, tau, costs, DRAWS, maths.seeded(1));
  const better = maths.average(maths.reinmax, logits, tau, costs, DRAWS, maths.seeded(1));
  const most = Math.max(0.2, ...[...exact, ...through.mean, ...better.mean].map(Math.abs)) * 1.4;
  const spread = (g) => Math.sqrt(g.deviation.reduce((a, b) => a + b * b, 0));
  const bias = (g) => Math.sqrt(g.mean.reduce((a, b, i) => a + (b - exact[i]) ** 2, 0));
  put("bars",
    bars(text("gradient.exact"), exact, most, { kind: "signed right" }),
    bars(text("gradient.one", { option: OPTIONS[maths.drawn(logits, noise)] }), one, most, { kind: "signed" }),
    bars(text("gradient.mean", { draws: number(DRAWS, 0) }), through.mean, most, { kind: "signed", whiskers: through.deviation }),
    !asking && bars(text("gradient.reinmax", { draws: number(DRAWS, 0) }), better.mean, most, { kind: "signed", whiskers: better.deviation }));
  put("told", !asking && say("gradient.measured", { tau: number(tau, 1), bias: number(bias(through), 3), spread: number(spread(through), 3), bias_reinmax: number(bias(better), 3), spread_reinmax: number(spread(better), 3) }));
  Object.assign(root.dataset, { exact: exact.join(" "), one: one.join(" "), noise: noise.join(" "), bias: bias(through), spread: spread(through) });
}

// The answer is given: the sliders and the rest come to life.
function answered(shown, key, words) {
  asking = false;
  root.querySelectorAll("input, .lesson-draw-many").forEach((each) => { each.disabled = each.hidden = false; });
  shown.append(say(key, words));
  shared.changed.dispatchEvent(new Event("change"));
  follow();
}

// Sliders show what another page may have set.
function follow() {
  const values = [...scores(), ...(part === "softmax" ? [] : [shared.tau]), ...(part === "gradient" ? shared.costs : [])];
  root.querySelectorAll("input").forEach((each, i) => { each.value = values[i]; each.nextSibling.textContent = number(values[i], 1); });
}

function update() {
  ({ softmax: showSoftmax, draw: showDraws, gradient: showGradients })[part]();
}

const largest = () => Math.max(...maths.softmax(shared.logits));
const ask = (question, options, right, reveal) => predict({ question: text(`gradient.${question}`), options: options.map((key) => text(`gradient.${key}`)), right: options.indexOf(right), reveal });
const questions = {
  softmax: () => ask("twice", ["nothing", "flatter", "surer"], "surer", (shown) => { shared.logits = START.map((score) => 2 * score); answered(shown, "gradient.twice_truth"); }),
  draw: () => ask("how_often", ["by_softmax", "always", "even"], "by_softmax", (shown) => { answered(shown, "gradient.how_often_truth", { share: percent(largest()) }); drawMany(); }),
  gradient: () => ask("small_tau", ["nearer", "nearer_noisier", "further"], "nearer_noisier", (shown) => answered(shown, "gradient.small_tau_truth")),
};
const buttons = {
  softmax: [],
  draw: [button(text("gradient.draw"), drawOne, { class: "lesson-button lesson-draw" }), button(text("gradient.draw_many", { draws: number(DRAWS, 0) }), drawMany, { class: "lesson-button lesson-draw-many", hidden: true })],
  gradient: [button(text("gradient.draw"), () => { noise = maths.gumbel(3, random); update(); }, { class: "lesson-button lesson-draw" })],
};
root.append(say(`gradient.${part}_intro`), controls(), h("div", { class: "lesson-row" }, ...buttons[part]), questions[part](),
  place("bars", { class: "lesson-grid" }), place("counts", { class: "lesson-grid" }), place("told", { "aria-live": "polite" }));
shared.changed.addEventListener("change", update);
new ResizeObserver(() => { if (root.clientWidth) { follow(); update(); } }).observe(root);
update();
root.dataset.ready = "";
