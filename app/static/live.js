// Browser half of app/live.py. Gradio runs this once per panel with: element, props, server, trigger, watch.
const root = element.querySelector(".tl-live");
const hint = root.querySelector(".tl-hint");
const invitation = hint.textContent;
const slots = Object.fromEntries([...root.querySelectorAll(".tl-slot")].map((s) => [s.dataset.slot, s]));
const HEADING = 40, LINE = 19; // pixels of a figure that belong to its heading: its first line, and every other one
const LETTER = 8.6; // pixels of a letter of it, at most on average
const room = {}; // pixels that a figure has grown by for its heading and its legend
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const orders = {}; // by table: the column that it is sorted by, and which way
let run = "", revision = "", state = "", offers = "", working = false, timer = null, failures = 0, generation = 0;
let last = { html: {}, figures: {} };

const visible = () => root.clientWidth > 0;

// Make `old` equal to `fresh` by the fewest changes: what stays the same is not rebuilt, so nothing flickers.
function patch(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  patchChildren(old, fresh);
}

function patchChildren(old, fresh) {
  const before = [...old.childNodes], after = [...fresh.childNodes];
  after.forEach((node, i) => (before[i] ? patch(before[i], node) : old.append(node)));
  before.slice(after.length).forEach((node) => node.remove());
}

function write(slot, text) {
  const fresh = document.createElement("div");
  fresh.innerHTML = text; // ours, escaped by the view
  window.tinylab.tables.dress(fresh, orders);
  patchChildren(slot, fresh);
}

// A heading in as many lines as it takes at this width.
function broken(text, width) {
  const most = Math.max(12, Math.floor((width - 32) / LETTER)), lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length <= most) lines[lines.length - 1] = longer; else lines.push(word);
  }
  return lines;
}

// The legend stands between heading and plot: make room for as many lines as both take at this width.
function fit(name, figure) {
  const slot = slots[name], legend = slot.querySelector(".legend .bg");
  const heading = HEADING + LINE * (broken(figure.layout.title.text, slot.clientWidth).length - 1);
  const taken = heading + (legend ? legend.getBoundingClientRect().height : 0);
  const more = Math.ceil(legend ? taken - figure.layout.margin.t : Math.max(0, taken - figure.layout.margin.t));
  if (Math.abs(more - (room[name] || 0)) < 3) return;
  room[name] = more;
  draw(name, figure, true);
}

function draw(name, figure, fitted = false) {
  const slot = slots[name], css = getComputedStyle(root);
  slot.hidden = false;
  if (!visible()) return; // drawn at its size when the tab is opened
  const { margin, title, ...rest } = figure.layout;
  const narrow = slot.clientWidth < 500;
  const more = room[name] || 0;
  const font = { color: css.color, family: css.fontFamily, size: narrow ? 11 : 13 };
  const size = { width: slot.clientWidth, height: figure.layout.height + more };
  const lines = broken(title.text, slot.clientWidth);
  const pad = { ...title.pad, t: title.pad.t + (lines.length > 1 ? LINE / 2 : 0) }; // else it begins higher
  const heading = { ...title, text: lines.join("<br>"), pad };
  const layout = { ...rest, ...size, font, title: heading, margin: { ...margin, t: margin.t + more } };
  const drawn = window.Plotly.react(slot, figure.data, layout, {
    displaylogo: false,
    showSendToCloud: false, // nothing leaves this machine
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d"],
  });
  window.tinylab.figures.foot(slot, () => `tinylab-${run}-${name}`);
  if (!fitted) drawn.then(() => { if (last.figures[name] === figure) fit(name, figure); });
  slot.setAttribute("role", "figure");
  slot.setAttribute("aria-label", title.text);
}

function redraw() {
  for (const [name, figure] of Object.entries(last.figures)) draw(name, figure);
}

function show(answer) {
  hint.hidden = true;
  // All are shown or hidden first: two slots beside each other share the width.
  for (const [name, slot] of Object.entries(slots)) slot.hidden = !(name in answer.html || name in answer.figures);
  for (const [name, slot] of Object.entries(slots)) {
    const text = answer.html[name], figure = answer.figures[name];
    if (text !== undefined && last.html[name] !== text) write(slot, text);
  }
  last = answer;
  if (window.Plotly) redraw();
}

function clear(words) {
  for (const slot of Object.values(slots)) {
    if (slot.data && window.Plotly) window.Plotly.purge(slot);
    slot.innerHTML = "";
    slot.hidden = true;
  }
  last = { html: {}, figures: {} };
  hint.textContent = words;
  hint.hidden = false;
}

function take(answer) {
  if (answer.gone) {
    if (state !== "gone") clear("This run is not there any more: its folder was deleted or cannot be read.");
    revision = "";
  } else if (!answer.same) {
    revision = answer.revision;
    show(answer);
  }
  const now = answer.gone ? "gone" : answer.state, offered = answer.offers ? answer.offers.join("\n") : offers;
  const changed = now !== state || offered !== offers;
  [state, offers] = [now, offered];
  working = Boolean(answer.working);
  root.dataset.state = state;
  if (changed) trigger("submit", { run, state });
}

function pause() {
  if (failures) return Math.min(1000 * 2 ** failures, 5000); // the server is away: ask less often
  return working && visible() && !document.hidden ? (calm ? 3000 : 1000) : 5000;
}

async function ask() {
  const mine = ++generation;
  clearTimeout(timer);
  let answer = null;
  try {
    answer = await server.ask({ run, revision, beside: root.dataset.beside || "" });
  } catch (error) { /* told by `answer` */ }
  if (mine !== generation || !element.isConnected) return;
  failures = answer ? 0 : failures + 1;
  root.toggleAttribute("data-away", failures > 1);
  try {
    if (answer) take(answer);
  } finally {
    timer = setTimeout(ask, pause());
  }
}

function follow(id) {
  if (id === run) return;
  clear(invitation);
  run = id; revision = ""; state = ""; offers = "";
  root.dataset.run = run;
  root.dataset.state = "";
  if (run) { ask(); } else { generation += 1; clearTimeout(timer); }
}

root.addEventListener("click", (event) => {
  const title = event.target.closest(".tl-sort")?.closest("th");
  if (!title) return;
  const { slot } = title.closest(".tl-slot").dataset;
  window.tinylab.tables.turn(title, orders);
  write(slots[slot], last.html[slot]);
});

const askNow = () => { if (run) ask(); };
let width = root.clientWidth;
new ResizeObserver(() => {
  if (root.clientWidth === width) return;
  const opened = width === 0;
  width = root.clientWidth;
  redraw();
  if (opened) askNow();
}).observe(root);
// Light and dark: the body's class says which.
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ["class"] });
document.addEventListener("visibilitychange", () => { if (!document.hidden) askNow(); });
root.addEventListener("tl-ask", askNow);
watch("value", () => follow(props.value || ""));
follow(props.value || "");
