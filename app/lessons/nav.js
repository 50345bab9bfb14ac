// The head or the foot of a lesson: where one is, and the way on. `data-lesson` and `data-pages` say of which.
const root = element.querySelector(".lesson-nav");
const { lesson, part } = root.dataset, pages = Number(root.dataset.pages);
const { h, text, button, go, open } = window.tinylab.lessons;

function steps() {
  const all = Array.from({ length: pages }, (_, i) => {
    const page = i + 1, here = open.lesson === lesson && open.page === page;
    const label = text(`${lesson}.step${page}`);
    return h("li", {}, button(`${page} ${label}`, () => go(lesson, page), { class: "lesson-step", "aria-current": here && "step" }));
  });
  return h("ol", { class: "lesson-steps" }, ...all);
}

function head() {
  return [
    button(text("common.back"), () => go(""), { class: "lesson-link" }),
    h("h2", { class: "lesson-title", tabindex: "-1" }, text(`${lesson}.title`)),
    h("nav", { "aria-label": text(`${lesson}.title`) }, steps()),
  ];
}

function foot() {
  const { page } = open, next = root.dataset.next;
  return [
    page > 1 && button(text("common.previous"), () => go(lesson, page - 1)),
    page < pages && button(text("common.next"), () => go(lesson, page + 1), { class: "lesson-button lesson-on" }),
    page === pages && next && button(text("common.after", { title: text(`${next}.title`) }), () => go(next, 1), { class: "lesson-button lesson-on" }),
    page === pages && button(text("common.all"), () => go("")),
  ].filter(Boolean);
}

const show = () => root.replaceChildren(...(part === "head" ? head() : foot()));
window.addEventListener("tl-lesson", show);
show();
