"""How a report looks: for a phone, a desk, a projector and paper."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root { --ink: #1d2327; --quiet: #5b656d; --line: #dfe4e8; --ground: #f6f8f9; --accent: #00795a; --warn: #b34700; }
* { box-sizing: border-box; }
html { font-size: clamp(16px, 0.35vw + 12.5px, 24px); scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: #fff; line-height: 1.55; overflow-wrap: break-word;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif; }
.page { max-width: 72rem; margin: 0 auto; padding: 0 1.4rem 4rem; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.15; letter-spacing: -.015em; margin: .2em 0 .35em; }
h2 { font-size: 1.45rem; line-height: 1.25; letter-spacing: -.01em; margin: 0 0 .35rem; scroll-margin-top: 1rem; }
h3 { font-size: 1.02rem; margin: 0; }
.over { display: flex; flex-wrap: wrap; gap: .2rem .9rem; align-items: baseline; margin: 2rem 0 .6rem; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: var(--accent); text-underline-offset: 2px; }
a:focus-visible, button:focus-visible, [tabindex]:focus-visible { outline: 3px solid #56b4e9; outline-offset: 2px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.quiet { color: var(--quiet); font-size: .88rem; }

header { padding: 2.2rem 0 1.2rem; border-bottom: 1px solid var(--line); }
.mark { display: flex; align-items: center; gap: .6rem; color: var(--quiet); font-size: .88rem; }
.mark span { display: grid; gap: 3px; width: 24px; }
.mark i { height: 5px; border-radius: 2px; background: #009e73; }
.mark i:nth-child(2), .mark i:nth-child(3) { background: #cfd6da; }
.high { display: flex; flex-wrap: wrap; gap: .8rem 2.6rem; margin: 1.3rem 0 .4rem; padding: 0; list-style: none; }
.high b { display: block; font-size: 1.75rem; line-height: 1.15; letter-spacing: -.01em;
  font-variant-numeric: tabular-nums; }
.high span { color: var(--quiet); font-size: .86rem; }
.files { display: flex; flex-wrap: wrap; gap: .6rem; margin-top: 1.1rem; }
.files a, .files button, .small { font: inherit; line-height: 1.4; font-size: .86rem;
  border: 1px solid var(--line); border-radius: 6px;
  padding: .3rem .75rem; background: #fff; color: var(--ink); text-decoration: none; cursor: pointer; }
.over .small { padding: 0 .5rem; font-size: .78rem; color: var(--quiet); }
.files a:hover, .files button:hover, .small:hover { background: var(--ground); }

nav { margin: 1.4rem 0 0; }
nav ol { margin: .3rem 0; padding-left: 1.4rem; columns: 2 18rem; }
nav li { padding: .1rem 0; break-inside: avoid; }

section { padding: 2.6rem 0 .6rem; border-bottom: 1px solid var(--line); }
section:last-of-type { border-bottom: 0; }
h2 a { color: inherit; text-decoration: none; }
h2 a:hover::after { content: " #"; color: var(--quiet); }
.run { display: flex; flex-wrap: wrap; gap: .3rem .8rem; align-items: center; color: var(--quiet);
  font-size: .86rem; }
.run code { overflow-wrap: anywhere; }
.state { font-weight: 600; padding: .05rem .6rem; border-radius: 99px; background: var(--line); color: var(--ink); }
.state.finished { background: #00795a; color: #fff; }
.state.failed, .state.interrupted { background: var(--warn); color: #fff; }
.state.running, .state.starting { background: #0068a3; color: #fff; }
.unfinished { border-left: 4px solid #d55e00; background: #fdf3ec; padding: .5rem .9rem; border-radius: 6px; }

.plots { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.4rem 1.6rem; margin: 1.4rem 0; }
figure { margin: 0; min-width: 0; }
.plots figure { border: 1px solid var(--line); border-radius: 10px; overflow: hidden; }
.plots .wide, .plots figure:only-child { grid-column: 1 / -1; }
figcaption { color: var(--quiet); font-size: .86rem; line-height: 1.4; }
.plots h4 { margin: 0; padding: .7rem 1rem 0; font-size: .98rem; line-height: 1.3; }
.plots figcaption { padding: 0 1rem .8rem; }

.tl-scroll { overflow-x: auto; width: fit-content; max-width: 100%; border: 1px solid var(--line);
  border-radius: 10px; }
.tl-table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
.tl-table th, .tl-table td { padding: .45rem .8rem; text-align: left; border-bottom: 1px solid var(--line);
  vertical-align: top; }
.tl-table td { white-space: nowrap; }
.tl-table td.text { white-space: normal; min-width: 6.5rem; }
.tl-table thead th { background: var(--ground); color: var(--quiet); font-weight: 600; vertical-align: bottom; }
.tl-table tbody th { font-weight: 500; min-width: 7.5rem; overflow-wrap: break-word; }
.tl-table tbody tr:last-child > * { border-bottom: 0; }
.tl-table .number { text-align: right; }
.tl-table thead th.right { text-align: right; }
.tl-table td.best { font-weight: 700; color: var(--accent); }
.tl-table tr.aside > * { color: var(--quiet); background: var(--ground); font-style: italic; }
.tl-table tr.pinned > * { background: #eef7f3; border-bottom: 2px solid #009e73; }
.tl-pin { display: inline-block; margin-left: .5rem; padding: 0 .5rem; border-radius: 99px; background: #00795a;
  color: #fff; font-size: .72rem; font-style: normal; }
.tl-error-of, .tl-against { color: var(--quiet); font-weight: 400; font-size: .82em; }
.tl-against, .tl-span { display: block; }
.tl-against.good { color: #00795a; }
.tl-against.bad { color: var(--warn); }
.tl-note { color: var(--quiet); font-size: .86rem; }
.sort { all: unset; cursor: pointer; }
.sort:hover { color: var(--ink); text-decoration: underline; }
.sort::after { content: "\\2195"; opacity: .35; padding-left: .3em; }
[aria-sort="ascending"] .sort::after { content: "\\2191"; opacity: 1; }
[aria-sort="descending"] .sort::after { content: "\\2193"; opacity: 1; }

.pictures { display: grid; gap: 1.2rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr));
  margin: 1.4rem 0; }
.pictures img { display: block; width: 100%; image-rendering: pixelated; background: #000; border-radius: 8px; }
.pictures figcaption { padding-top: .35rem; }
.film { display: grid; gap: .5rem; margin: 1.4rem 0; }
.film figure { display: grid; grid-template-columns: 6.5rem minmax(0, 1fr); gap: .8rem; align-items: center; }
.film img { display: block; width: 100%; max-width: 46rem; image-rendering: pixelated; background: #000;
  border-radius: 6px; }
.film figcaption { grid-row: 1; }
.film img { grid-column: 2; grid-row: 1; }

.commands { counter-reset: step; list-style: none; margin: 1rem 0; padding: 0; display: grid; gap: .7rem; }
.commands li { counter-increment: step; display: grid; grid-template-columns: 1.8rem minmax(0, 1fr) auto;
  gap: .6rem; align-items: start; }
.commands li::before { content: counter(step); color: var(--quiet); text-align: right; padding-top: .5rem;
  font-variant-numeric: tabular-nums; }
.commands pre { margin: 0; padding: .5rem .8rem; background: var(--ground); border: 1px solid var(--line);
  border-radius: 8px; font-size: .82rem; white-space: pre-wrap; overflow-wrap: anywhere; }

@media (max-width: 50rem) {
  .plots { grid-template-columns: minmax(0, 1fr); gap: 1.1rem; }
  .page { padding: 0 1rem 3rem; }
  .film figure { grid-template-columns: minmax(0, 1fr); gap: .2rem; }
  .film figcaption, .film img { grid-column: 1; grid-row: auto; }
  .plots figure { margin: 0 -.4rem; }
  .commands li { grid-template-columns: minmax(0, 1fr) auto; }
  .commands li::before { display: none; }
  .tl-table th, .tl-table td { padding: .4rem .6rem; }
}
@media print {
  @page { margin: 14mm; }
  html { font-size: 10.5pt; }
  .page { max-width: none; padding: 0; }
  .files, .small, .modebar-container, .sort::after, .updatemenu-container,
  .slider-container { display: none !important; }
  section { break-before: page; border-bottom: 0; padding-top: 0; }
  figure, tr, .commands li { break-inside: avoid; }
  .plots { display: block; }
  .plots figure { margin-bottom: 1rem; }
  .tl-scroll { overflow: visible; }
  .tl-table { font-size: 7.5pt; }
  .tl-table :is(th, td), .tl-table tbody th, .tl-table td.text { padding: .25rem .35rem; white-space: normal;
    min-width: 0; overflow-wrap: anywhere; }
  a { color: inherit; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
"""


SCRIPT = """
(() => {
  const number = (text) => (text !== "" && !isNaN(Number(text)) ? Number(text) : null);
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    return x !== null && y !== null ? x - y : a.localeCompare(b, undefined, { numeric: true });
  };
  const sort = (table, index, title) => {
    const up = title.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0], value = (row) => row.cells[index].dataset.value;
    const rows = [...body.rows].filter((row) => !row.matches(".pinned, .aside"));
    const known = rows.filter((row) => value(row) !== "").sort((a, b) => (up ? 1 : -1) * compare(value(a), value(b)));
    const last = [...body.rows].filter((row) => row.matches(".aside:not(.pinned)"));
    body.append(...known, ...rows.filter((row) => value(row) === ""), ...last);
  };
  for (const table of document.querySelectorAll("table[data-table]")) {
    [...table.tHead.rows[0].cells].forEach((title, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "sort" });
      button.append(...title.childNodes);
      button.addEventListener("click", () => sort(table, index, title));
      title.append(button);
    });
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
        button.textContent = "Selected";
      }
    });
  }
  document.querySelector("[data-print]")?.addEventListener("click", () => print());
})();
"""
