// The first thing that somebody sees who does not know the lab.
const root = element.querySelector(".lesson-start");
const { h, text, say, button, go, exists, calm, ask } = window.tinylab.lessons;
const LASTS = 5000; // milliseconds that the search fills its picture: what moves longer by itself has to have a switch

const watchRecording = (run) => window.tinylab.openRecording("search", run);

// A pixel for each block and moment, drawn from left to right once it is seen; with reduced motion it is there at once.
// It says in no words what the search keeps: the first lesson asks for that.
function film(canvas, { rows, shades }) {
  const columns = rows[0].length, paper = canvas.getContext("2d");
  let drawn = 0, begun = 0;
  const paint = (count) => {
    for (; drawn < count; drawn += 1) {
      rows.forEach((row, block) => { paper.fillStyle = shades[row[drawn]]; paper.fillRect(drawn, block, 1, 1); });
    }
    canvas.dataset.drawn = drawn;
  };
  const move = (now) => {
    if (!canvas.isConnected) return;
    if (canvas.clientWidth && !document.hidden) {
      begun ||= now;
      paint(Math.min(columns, Math.floor(columns * (now - begun) / LASTS)));
    }
    if (drawn < columns) setTimeout(() => requestAnimationFrame(move), 100);
  };
  if (calm()) paint(columns); else requestAnimationFrame(move);
}

function search(facts) {
  const labels = facts.rows.map((_, block) => h("li", {}, String(block)));
  const canvas = h("canvas", { width: facts.rows[0].length, height: facts.rows.length });
  const picture = h("button", { type: "button", "aria-label": text("start.look"), onclick: () => watchRecording(facts.run) },
    h("ol", { "aria-hidden": "true" }, ...labels), canvas);
  film(canvas, facts);
  return [picture, say("start.picture", { blocks: labels.length })];
}

const pages = JSON.parse(root.dataset.lessons), lessons = Object.keys(pages);
const cards = lessons.map((id, i) =>
  h("button", { type: "button", class: "lesson-card", "data-lesson": id, onclick: () => go(id) },
    h("b", {}, `${i + 1} ${text(`${id}.title`)}`), h("span", {}, text(`${id}.about`))));
const tour = button(text("start.tour"), () => window.tinylab.tour?.start(), { id: "learn-tour" });
const beside = h("div", { class: "lesson-search" });
root.append(
  h("div", {},
    h("h2", { tabindex: "-1" }, text("start.title")),
    say("start.intro"),
    h("div", { class: "lesson-cards" }, ...cards),
    h("div", { class: "lesson-row" }, button(text("start.watch"), () => watchRecording(), { id: "learn-watch" }), window.tinylab.tour && tour)),
  beside,
);
exists(pages);
ask(root, server).then((facts) => { if (facts?.rows) beside.append(...search(facts)); });
