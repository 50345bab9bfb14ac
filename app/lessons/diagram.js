// A DiT block, drawn by hand: press a part to read what it does; press the switch to see the way round it.
const root = element.querySelector(".lesson-widget");
const { h, text, say, button, live, predict } = window.tinylab.lessons;

const PARTS = [ // name, x, y, width of the boxes on the way through
  ["norm1", 150, 64], ["attention", 270, 64], ["gate1", 390, 64], ["norm2", 150, 188], ["mlp", 270, 188], ["gate2", 390, 188],
];
const WIDE = 104, HIGH = 44;
const told = live();

function tell(name) {
  root.querySelectorAll("[data-name]").forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.name === name)));
  told.replaceChildren(say(`block.${name}`));
}

function part(name, x, y, wide = WIDE, tall = HIGH) {
  const choose = () => tell(name);
  const keys = (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); choose(); } };
  return h("g", { class: "lesson-part", "data-name": name, tabindex: "0", role: "button", "aria-pressed": "false", "aria-label": text(`block.${name}_name`), onclick: choose, onkeydown: keys },
    h("rect", { x, y, width: wide, height: tall, rx: 8 }), h("text", { x: x + wide / 2, y: y + tall / 2 + 5, "text-anchor": "middle" }, text(`block.${name}_name`)));
}

function arrow(d, kind = "through") {
  return h("path", { d, class: `lesson-arrow lesson-${kind}`, "marker-end": "url(#lesson-tip)" });
}

const plus = (x, y) => h("g", { class: "lesson-plus" }, h("circle", { cx: x, cy: y, r: 12 }), h("path", { d: `M ${x - 6} ${y} H ${x + 6} M ${x} ${y - 6} V ${y + 6}` }));
const boxes = PARTS.map(([name, x, y]) => part(name, x, y));
const drawing = h("svg", { viewBox: "0 0 660 326", role: "group", "aria-label": text("block.drawing"), class: "lesson-diagram" },
  h("defs", {}, h("marker", { id: "lesson-tip", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, h("path", { d: "M 0 0 L 8 4 L 0 8 z" }))),
  arrow("M 98 36 H 586", "skip"), arrow("M 98 160 H 586", "skip"), // the highways
  arrow("M 120 36 V 86 H 150"), arrow("M 254 86 H 270"), arrow("M 374 86 H 390"), arrow("M 494 86 H 530 V 48"),
  arrow("M 120 160 V 210 H 150"), arrow("M 254 210 H 270"), arrow("M 374 210 H 390"), arrow("M 494 210 H 530 V 172"),
  h("path", { d: "M 586 36 H 610 V 124 H 80 V 160 H 98", class: "lesson-arrow lesson-skip" }),
  plus(530, 36), plus(530, 160),
  part("tokens", 6, 14, 92, HIGH), part("out", 586, 138, 70, HIGH), ...boxes,
  part("condition", 150, 274, 344, 40),
  arrow("M 202 274 V 234", "condition"), arrow("M 442 274 V 234", "condition"),
  arrow("M 150 294 H 137 V 142 H 202 V 110", "condition"), arrow("M 494 294 H 513 V 142 H 442 V 110", "condition"), // past the lower row
);
let skipped = false;
const toggle = button(text("block.skip"), () => {
  skipped = !skipped;
  drawing.classList.toggle("lesson-skipped", skipped);
  toggle.setAttribute("aria-checked", String(skipped));
  told.replaceChildren(say(skipped ? "block.skipped" : "block.unskipped"));
}, { role: "switch", "aria-checked": "false", id: "block-skip" });
const guess = predict({
  question: text("block.skip_question"),
  options: [text("block.skip_zeros"), text("block.skip_same"), text("block.skip_nothing")],
  right: 1,
  reveal: (shown) => { shown.append(h("div", { class: "lesson-row" }, toggle)); toggle.click(); },
});
root.append(say("block.intro"), drawing, told, guess);
tell("tokens");
root.dataset.ready = "";
