// Browser half of app/live.py. Gradio runs this once per panel with: element, props, server, trigger, watch.
const root = element.querySelector(".tl-live");
const hint = root.querySelector(".tl-hint");
const invitation = hint.textContent;
const slots = Object.fromEntries([...root.querySelectorAll(".tl-slot")].map((s) => [s.dataset.slot, s]));
const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
const AT_WORK = ["created", "starting", "running"];
let run = "", revision = "", state = "", timer = null, failures = 0, generation = 0;
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
  patchChildren(slot, fresh);
}

function draw(name, figure) {
  const slot = slots[name], css = getComputedStyle(root);
  slot.hidden = false;
  if (!visible()) return; // drawn at its size when the tab is opened
  const { height, margin, ...rest } = figure.layout;
  const narrow = root.clientWidth < 500;
  // On a narrow screen the entries of a legend stand one below the other and need room.
  const more = narrow ? 20 * Math.max(0, figure.data.filter((t) => t.name && t.showlegend !== false).length - 1) : 0;
  const font = { color: css.color, family: css.fontFamily, size: narrow ? 11 : 13 };
  const layout = { ...rest, font, margin: { ...margin, t: margin.t + more }, autosize: true };
  slot.style.height = `${height + more}px`;
  window.Plotly.react(slot, figure.data, layout, {
    responsive: true,
    displaylogo: false,
    showSendToCloud: false, // nothing leaves this machine
    plotlyServerURL: "",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: `tinylab-${run}-${name}` },
  });
  slot.setAttribute("role", "figure");
  slot.setAttribute("aria-label", figure.layout.title.text);
}

function show(answer) {
  hint.hidden = true;
  for (const [name, slot] of Object.entries(slots)) {
    const text = answer.html[name], figure = answer.figures[name];
    slot.hidden = text === undefined && !figure;
    if (text !== undefined && last.html[name] !== text) write(slot, text);
    if (figure && window.Plotly) draw(name, figure);
  }
  last = answer;
}

function clear(words) {
  for (const slot of Object.values(slots)) {
    if (slot.data && window.Plotly) window.Plotly.purge(slot);
    slot.innerHTML = "";
    slot.style.height = "";
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
  const now = answer.gone ? "gone" : answer.state, changed = now !== state;
  state = now;
  root.dataset.state = state;
  if (changed) trigger("submit", { run, state });
}

function pause() {
  if (failures) return Math.min(1000 * 2 ** failures, 5000); // the server is away: ask less often
  return AT_WORK.includes(state) && visible() && !document.hidden ? (calm ? 3000 : 1000) : 5000;
}

async function ask() {
  const mine = ++generation;
  clearTimeout(timer);
  let answer = null;
  try {
    answer = await server.ask({ run, revision });
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
  run = id; revision = ""; state = "";
  root.dataset.run = run;
  root.dataset.state = "";
  if (run) { ask(); } else { generation += 1; clearTimeout(timer); }
}

const askNow = () => { if (run) ask(); };
const redraw = () => {
  for (const [name, figure] of Object.entries(last.figures)) draw(name, figure);
};
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
