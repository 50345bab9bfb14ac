// The first thing that somebody sees who does not know the lab.
const root = element.querySelector(".lesson-start");
const { h, text, prose, button, go, exists } = window.tinylab.lessons;

function watchRecording() {
  if (window.tinylab.openRecording) return window.tinylab.openRecording("search");
  window.location.search = "?tab=search&run=recorded-search-digits-dit";
}

const pages = JSON.parse(root.dataset.lessons), lessons = Object.keys(pages);
const cards = lessons.map((id, i) =>
  h("button", { type: "button", class: "lesson-card", "data-lesson": id, onclick: () => go(id) },
    h("b", {}, `${i + 1} ${text(`${id}.title`)}`), h("span", {}, text(`${id}.about`))));
const tour = button(text("start.tour"), () => window.tinylab.tour?.start(), { id: "learn-tour" });
root.append(
  h("h2", { tabindex: "-1" }, text("start.title")),
  prose(text("start.intro")),
  h("div", { class: "lesson-cards" }, ...cards),
  h("div", { class: "lesson-row" }, button(text("start.watch"), watchRecording, { id: "learn-watch" }), window.tinylab.tour && tour),
);
exists(pages);
