// Hidden values of the built-in models, and what a mask at k sigma leaves out.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, percent, button, live, predict, draw, whenSeen } = window.tinylab.lessons;

whenSeen(root, server, (facts) => {
  const all = facts.models.flatMap(({ model, pairs }) => pairs.map((pair) => ({ model, ...pair })));
  const standard = facts.ks.indexOf(2), first = all.findLastIndex((pair) => pair.model === facts.models[0].model);
  let chosen = first, at = standard;
  const picture = h("div", {}), curves = h("div", {}), told = live(), drawings = h("div", { hidden: true }, h("div", { class: "lesson-grid" }, picture, curves));
  const menu = h("select", { "aria-label": text("distil.pair"), onchange: () => { chosen = Number(menu.value); update(); } },
    ...all.map((pair, i) => h("option", { value: i, selected: i === chosen }, text("distil.pair_of", pair))));
  const input = h("input", { type: "range", min: 0, max: facts.ks.length - 1, step: 1, value: at, "aria-label": text("distil.k"), oninput: () => { at = Number(input.value); update(); } });
  const shownK = h("output", {});

  function update() {
    const pair = all[chosen], k = facts.ks[at];
    const words = { ...pair, k: number(k, 2), masked: percent(pair.masked[at]), carried: percent(pair.carried[at]), separate: percent(pair.separate[at], 0), furthest: number(pair.furthest, 1), images: number(facts.images, 0) };
    shownK.textContent = `${number(k, 2)} σ`;
    input.setAttribute("aria-valuetext", `${number(k, 2)} sigma`);
    Object.assign(root.dataset, { k, masked: pair.masked[at], carried: pair.carried[at] });
    told.replaceChildren(say("distil.masked", words), say(pair.separate[at] > 1 ? "distil.separate_more" : "distil.separate_less", words));
    const line = (figure) => ({ ...figure, layout: { ...figure.layout, shapes: [{ type: "line", x0: k, x1: k, yref: "paper", y0: 0, y1: 1, line: { dash: "dash", color: "#888", width: 2 } }] } });
    const named = { ...pair.curves, data: pair.curves.data.map((trace, i) => ({ ...trace, name: text(i ? "distil.masked_line" : "distil.carried_line") })) };
    draw(picture, line(pair.counts), { x: "|h − μ| / σ", y: text("distil.values"), alt: text("distil.histogram_alt", words) });
    draw(curves, line(named), { x: text("distil.k"), y: text("distil.share_axis"), alt: text("distil.curves_alt", words) });
  }

  const start = all[first], words = { ...start, masked: percent(start.masked[standard]), carried: percent(start.carried[standard], 0), furthest: number(start.furthest, 1), images: number(facts.images, 0) };
  const options = [start.masked[standard], 0.3, start.carried[standard], 0.95].map((share) => percent(share, 0));
  root.append(
    say("distil.hidden_intro", words),
    predict({ question: text("distil.carried_by", words), options, right: 2, reveal: (shown) => { drawings.hidden = false; shown.append(say("distil.carried_truth", words)); update(); } }),
    drawings,
  );
  drawings.append(h("label", { class: "lesson-slider" }, h("span", {}, text("distil.k")), input, shownK), h("label", { class: "lesson-slider" }, h("span", {}, text("distil.pair")), menu), told, say("distil.honest"));
});
