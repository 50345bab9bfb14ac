// Twelve switches: the recorded digits, the loss and what is read follow at once.
const root = element.querySelector(".lesson-widget");
const PER_ROW = 5; // digits
const { h, text, say, number, button, live, whenSeen } = window.tinylab.lessons;
const { paint, bits, blocks, canvas } = window.tinylab.digits;

whenSeen(root, server, (facts) => {
  const count = Math.log2(facts.loss.length), full = facts.loss.length - 1;
  const halves = facts.loss.map((loss, mask) => ({ loss, mask })).filter(({ mask }) => bits(mask) === count / 2);
  halves.sort((a, b) => a.loss - b.loss);
  let mask = full, tried = null;
  const picture = canvas(text("cut.digits")), told = live(), rank = live();
  const before = canvas(text("cut.digits_full"));
  paint(before, facts.digits, full, PER_ROW);

  const switches = Array.from({ length: count }, (_, i) =>
    h("button", { type: "button", class: "lesson-switch", role: "switch", "data-block": i, "aria-label": text("common.block", { i }), onclick: () => set(mask ^ (1 << i)) },
      h("span", {}, String(i))));

  function set(next) {
    mask = next;
    switches.forEach((each, i) => each.setAttribute("aria-checked", String(Boolean((mask >> i) & 1))));
    paint(picture, facts.digits, mask, PER_ROW);
    const read = bits(facts.read[mask]), kept = bits(mask);
    root.dataset.mask = mask;
    picture.setAttribute("aria-label", text("cut.digits_of", { kept: blocks(mask).join(" ") || "–", read }));
    const numbers = [[number(facts.loss[mask]), text("cut.loss")], [`${read} / 10`, text("cut.read")], [`${kept} / ${count}`, text("cut.on")]];
    told.replaceChildren(h("div", { class: "tl-figures" }, ...numbers.map(([value, words]) => h("div", { class: "tl-figure" }, h("b", {}, value), h("span", {}, words)))));
    rankOf(kept);
  }

  function rankOf(kept) {
    if (kept !== count / 2) return rank.replaceChildren(say(kept > count / 2 ? "cut.more" : "cut.fewer", { count: Math.abs(kept - count / 2), half: count / 2 }));
    const place = halves.findIndex((each) => each.mask === mask) + 1;
    if (tried === null || place < tried) tried = place;
    root.dataset.rank = place;
    const facts_ = { rank: number(place, 0), all: number(halves.length, 0), loss: number(facts.loss[mask]), best: number(tried, 0) };
    rank.replaceChildren(say(place === 1 ? "cut.rank_best" : "cut.rank", facts_));
  }

  const presets = [
    button(text("cut.all_on"), () => set(full)),
    button(text("cut.all_off"), () => set(0)),
    button(text("cut.random"), () => set(halves[Math.floor(Math.random() * halves.length)].mask)),
    root.dataset.part === "half" && button(text("cut.show_best"), () => set(halves[0].mask)),
  ].filter(Boolean);
  root.append(
    say(root.dataset.part === "half" ? "cut.intro" : "block.switches", { steps: facts.steps }),
    h("div", { class: "lesson-switches", role: "group", "aria-label": text("cut.switches") }, ...switches),
    h("div", { class: "lesson-row" }, ...presets),
    h("div", { class: "lesson-compare" }, h("figure", {}, h("figcaption", {}, text("cut.digits_full")), before), h("figure", {}, h("figcaption", {}, text("cut.digits")), picture)),
    told,
    ...(root.dataset.part === "half" ? [say("cut.challenge", { all: number(halves.length, 0) }), rank] : []),
  );
  set(full);
});
