// A thought experiment in plain arithmetic: one hidden value is huge.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, percent, live, predict } = window.tinylab.lessons;
const VALUES = 1024, OFF_THERE = 0.01, OFF_ELSEWHERE = 0.1; // hidden values of one image, relative errors of the student

const share = (size) => {
  const huge = (OFF_THERE * size) ** 2, rest = (VALUES - 1) * OFF_ELSEWHERE ** 2;
  return huge / (huge + rest);
};
const shown = live(), bar = h("i", { class: "right" });
const input = h("input", { type: "range", min: 0, max: 3, step: 0.05, value: 0, "aria-label": text("distil.size"), oninput: () => set(Number(input.value)) });

function set(exponent) {
  const size = 10 ** exponent;
  input.value = exponent;
  input.setAttribute("aria-valuetext", number(size, 0));
  bar.style.cssText = `left: 0; width: ${100 * share(size)}%`;
  root.dataset.share = share(size);
  shown.replaceChildren(say("distil.share", { size: number(size, 0), share: percent(share(size)), values: number(VALUES - 1, 0) }));
}

const words = { values: number(VALUES, 0), size: number(1000, 0), share: percent(share(1000), 0) };
const play = h("div", { hidden: true }, h("label", { class: "lesson-slider" }, h("span", {}, text("distil.size")), input),
  h("div", { class: "lesson-track lesson-wide" }, bar), shown);
root.append(
  say("distil.intro"),
  say("distil.thought", words),
  predict({
    question: text("distil.how_much", words),
    options: [percent(1 / VALUES, 1), percent(0.1, 0), percent(0.5, 0), percent(share(1000), 0), percent(0.99, 0)],
    right: 3,
    reveal: (place) => { place.append(say("distil.how_much_truth", words)); play.hidden = false; set(3); },
  }),
  play,
);
set(0);
root.dataset.ready = "";
