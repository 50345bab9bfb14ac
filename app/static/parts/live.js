// Browser half of app/page/live.py. Gradio runs this once per panel with: element, props, server, trigger, watch.
const root = element.querySelector(".tl-live");
const hint = root.querySelector(".tl-hint"), words = hint.querySelector("p");
const invitation = words.dataset.text ? window.tinylab.text(words.dataset.text) : words.textContent;
const slots = Object.fromEntries([...root.querySelectorAll(".tl-slot")].map((s) => [s.dataset.slot, s]));
const PLAIN = 14; // pixels of type that figures are made for; in larger type they grow
const HEADING = 40, LINE = 19; // pixels of a figure that belong to its heading: its first line, and every other one
const LETTER = 8.6; // pixels of a letter of it, at most on average
const grown = {}; // pixels that a figure has grown by for its heading and its legend
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const orders = {}; // by table: the column that it is sorted by, and which way
const NOTHING = { html: {}, figures: {} };
let run = "", revision = "", state = "", offers = "", working = false, timer = null, failures = 0, generation = 0;
let last = NOTHING, newest = NOTHING; // what is shown, and what the run has come to
let soonest = 1000; // milliseconds that the server wants between two questions: more the more pages are open

const visible = () => root.clientWidth > 0;
const magnified = () => parseFloat(getComputedStyle(root).fontSize) / PLAIN || 1;

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
  window.tinylab.translate?.(fresh); // before it is compared: what is translated already stays as it is
  patchChildren(slot, fresh);
}

// A heading in as many lines as it takes at this width, given in pixels of plain type.
function broken(text, width) {
  const most = Math.max(12, Math.floor((width - 32) / LETTER)), lines = [""];
  for (const word of text.split(" ")) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (longer.length <= most) lines[lines.length - 1] = longer; else lines.push(word);
  }
  return lines;
}

// The legend stands between heading and plot: grow it by as many lines as both take at this width.
function fit(name, figure) {
  const slot = slots[name], legend = slot.querySelector(".legend .bg"), { margin, title } = slot.layout;
  const scale = magnified(), top = margin.t - (grown[name] || 0);
  const heading = scale * (HEADING + LINE * (title.text.split("<br>").length - 1));
  const taken = heading + (legend ? legend.getBoundingClientRect().height : 0);
  const more = Math.ceil(legend ? taken - top : Math.max(0, taken - top));
  if (Math.abs(more - (grown[name] || 0)) < 3) return;
  grown[name] = more;
  draw(name, figure, true);
}

// What a figure looks like here: as wide as its place, in the page's type, its heading in lines.
function laidOut(slot, figure, more) {
  const css = getComputedStyle(root), scale = magnified();
  const { margin, title, ...rest } = figure.layout;
  const font = { color: css.color, family: css.fontFamily, size: scale * (slot.clientWidth < 500 ? 11 : 13) };
  const lines = broken(title.text, slot.clientWidth / scale);
  const pad = { ...title.pad, t: scale * (title.pad.t + (lines.length > 1 ? LINE / 2 : 0)) }; // else it begins higher
  const heading = { ...title, text: lines.join("<br>"), pad, font: { ...title.font, size: scale * title.font.size } };
  const sides = Object.fromEntries(Object.entries(margin).map(([side, pixels]) => [side, scale * pixels]));
  const layout = { ...rest, font, title: heading, margin: { ...sides, t: sides.t + more } };
  for (const [key, axis] of Object.entries(rest)) { // titles of axes have a size of their own
    const size = /^[xy]axis/.test(key) && axis?.title?.font?.size;
    if (size) layout[key] = { ...axis, title: { ...axis.title, font: { ...axis.title.font, size: scale * size } } };
  }
  return { ...layout, width: slot.clientWidth, height: scale * figure.layout.height + more };
}

function draw(name, original, fitted = false) {
  const slot = slots[name];
  const figure = window.tinylab.translateFigure?.(original) ?? original;
  const drawn = window.Plotly.react(slot, figure.data, laidOut(slot, figure, grown[name] || 0), {
    displaylogo: false,
    showSendToCloud: false, // nothing leaves this machine
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["toImage", "select2d", "lasso2d", "autoScale2d"],
  });
  slot.setAttribute("role", "figure");
  slot.setAttribute("aria-label", figure.layout.title.text);
  window.tinylab.figures.foot(slot, () => `tinylab-${run}-${name}`, figure);
  if (!fitted) drawn.then(() => { if (visible() && last.figures[name] === original) fit(name, original); });
}

function redraw() {
  if (!visible() || !Object.keys(last.figures).length) return; // drawn at its size when the tab is opened
  if (!window.Plotly) return void window.tinylab.plotly().then(redraw);
  for (const [name, figure] of Object.entries(last.figures)) draw(name, figure);
}

function show(payload) {
  hint.hidden = true;
  // All are shown or hidden first: two slots beside each other share the width.
  for (const [name, slot] of Object.entries(slots)) slot.hidden = !(name in payload.html || name in payload.figures);
  for (const [name, slot] of Object.entries(slots)) {
    const text = payload.html[name];
    if (text !== undefined && last.html[name] !== text) write(slot, text);
  }
  last = payload;
  redraw();
}

function clear(sentence) {
  for (const slot of Object.values(slots)) {
    if (slot.data && window.Plotly) window.Plotly.purge(slot);
    slot.innerHTML = "";
    slot.hidden = true;
  }
  last = newest = NOTHING;
  words.textContent = sentence;
  hint.hidden = false;
}

// The run as it stands, or as it was: `replay` shows its steps through these two.
const replay = window.tinylab.replay.attach({
  root,
  below: slots.status,
  ask: (start, count) => server.replay({ run, start, count, other: root.dataset.other || "" }),
  shown: () => visible() && !document.hidden,
  showStep: show,
  showNow: () => show(newest),
});

function take(answer) {
  soonest = Math.max(1000, Number(answer.pause) || 0);
  if (answer.gone) {
    if (state !== "gone") clear(window.tinylab.text("panel.gone"));
    revision = "";
  } else if (!answer.same) {
    revision = answer.revision;
    newest = answer;
  }
  const now = answer.gone ? "gone" : answer.state, offered = answer.offers ? answer.offers.join("\n") : offers;
  const changed = now !== state || offered !== offers;
  [state, offers] = [now, offered];
  working = Boolean(answer.working);
  root.dataset.state = state;
  replay.follow(run, answer.gone || working ? "" : revision, working);
  if (!answer.gone && !answer.same && !replay.past()) show(answer);
  if (changed) trigger("submit", { run, state });
}

function pause() {
  if (failures) return Math.min(1000 * 2 ** failures, 5000); // the server is away: ask less often
  if (!visible() || document.hidden) return Math.max(working ? 5000 : 30000, 5 * soonest); // asked at once when it is seen
  return working ? Math.max(soonest, calm ? 3000 : 1000) : Math.max(5000, soonest);
}

async function ask() {
  const mine = ++generation;
  clearTimeout(timer);
  let answer = null;
  try {
    answer = await server.ask({ run, revision, other: root.dataset.other || "", page: window.tinylab.pageId });
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
  replay.follow(run, "");
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
// Gradio may bring the value that a page was loaded with only after its tab was opened. A run that was asked for meanwhile
// stays.
let wanted = "", until = 0;
root.addEventListener("tl-open", (event) => {
  [wanted, until] = [event.detail, Date.now() + 2000];
  props.value = wanted;
  follow(wanted);
});
watch("value", () => {
  if (Date.now() < until && props.value !== wanted) props.value = wanted;
  follow(props.value || "");
});
follow(props.value || "");
root.dataset.ready = "";
