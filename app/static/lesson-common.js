// What all lessons share: which one is open, words filled with numbers, predictions, pictures.
tinylab.lessons = (() => {
  // The address says `lesson=cut-2` for the second page of a lesson; the server needs `page` for itself.
  const asked = /^([a-z]+)(?:-(\d))?$/.exec(new URL(window.location).searchParams.get("lesson") ?? "") ?? [];
  const open = { lesson: asked[1] ?? "", page: Number(asked[2] ?? 1) };
  const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;
  const text = (key, facts = {}) => fill(tinylab.text(`lessons.${key}`), facts);
  const fill = (words, facts) => words.replace(/\{(\w+)\}/g, (whole, name) => facts[name] ?? whole);
  const number = (value, digits = 4) =>
    value.toLocaleString(tinylab.language, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: true });
  const percent = (share, digits = 1) => `${number(100 * share, digits)}${tinylab.language === "de" ? " " : ""}%`;

  // An element; `on…` are listeners, `false` and null leave an attribute away.
  function h(tag, attributes = {}, ...children) {
    const svg = ["svg", "rect", "path", "g", "line", "circle", "text", "defs", "marker", "title"].includes(tag);
    const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.flat().filter((child) => child != null && child !== false));
    return element;
  }

  // Paragraphs with **strong**, *stressed* and `code` parts.
  function prose(words, attributes = {}) {
    const inline = (part) => part.split(/(\*\*[^*]+\*\*|\*[^*]+\*|`[^`]+`)/).map((piece) => {
      if (piece.startsWith("**")) return h("strong", {}, piece.slice(2, -2));
      if (piece.startsWith("*")) return h("em", {}, piece.slice(1, -1));
      return piece.startsWith("`") ? h("code", {}, piece.slice(1, -1)) : piece;
    });
    const paragraphs = words.trim().split(/\n\s*\n/).map((part) => h("p", {}, ...inline(part.replace(/\s*\n\s*/g, " "))));
    return h("div", { class: "lesson-prose", ...attributes }, ...paragraphs);
  }

  const say = (key, facts) => prose(text(key, facts));
  const button = (words, onclick, attributes = {}) => h("button", { type: "button", class: "lesson-button", onclick, ...attributes }, words);
  const live = () => h("div", { class: "lesson-live", "aria-live": "polite" });

  // A question that is answered before the truth is shown. Answers go nowhere. `reveal` returns what is then seen.
  function predict({ question, options, right, reveal, before }) {
    const answers = h("div", { class: "lesson-options" }), truth = live();
    const box = h("div", { class: "lesson-predict", role: "group", "aria-label": question }, prose(`**${question}**`), before, answers, truth);
    const choose = (picked) => {
      [...answers.children].forEach((each, i) => {
        each.setAttribute("aria-pressed", String(i === picked));
        each.toggleAttribute("data-right", i === right);
        each.disabled = true;
      });
      box.dataset.answered = String(picked);
      const verdict = picked === right ? text("common.right", { answer: options[right] })
        : text("common.wrong", { answer: options[right], yours: options[picked] });
      const shown = h("div", {});
      truth.replaceChildren(prose(verdict, { class: "lesson-prose lesson-verdict" }), shown);
      reveal(shown, picked);
    };
    answers.append(...options.map((words, i) => button(words, () => choose(i), { "aria-pressed": "false" })));
    return box;
  }

  // Draw a figure of Python in `slot`; axes are named in the language of the page, `alt` says it in words.
  function draw(slot, figure, { x, y, alt = "" } = {}) {
    const paint = () => {
      if (!slot.isConnected || !slot.clientWidth) return;
      if (!window.Plotly) return void window.tinylab.plotly().then(() => slot.paint());
      const css = getComputedStyle(slot), { title, margin, ...rest } = figure.layout;
      const font = { color: css.color, family: css.fontFamily, size: (slot.clientWidth < 500 ? 0.7 : 0.82) * parseFloat(css.fontSize) };
      const named = (axis, words) => (axis ? { ...axis, title: { font, text: words ?? axis.title?.text } } : axis);
      const layout = { ...rest, font, width: slot.clientWidth, margin, xaxis: named(rest.xaxis, x), yaxis: named(rest.yaxis, y) };
      window.Plotly.react(slot, figure.data, layout, { displayModeBar: false });
    };
    slot.classList.add("lesson-figure");
    slot.setAttribute("role", "img");
    slot.setAttribute("aria-label", alt);
    slot.paint = paint;
    if (!slot.watched) {
      slot.watched = true;
      let width = 0;
      new ResizeObserver(() => { if (slot.clientWidth !== width) { width = slot.clientWidth; slot.paint(); } }).observe(slot);
      new MutationObserver(() => slot.paint()).observe(document.body, { attributes: true, attributeFilter: ["class"] });
    }
    paint();
  }

  // What the server knows; it is asked again while it does not answer. Nothing for a page that is left meanwhile.
  async function ask(root, server) {
    for (;;) {
      try {
        const answer = await server.facts({});
        if (answer) return answer;
      } catch { /* the server is away */ }
      if (!root.isConnected) return null;
      await new Promise((wake) => setTimeout(wake, 3000));
    }
  }

  // Ask the server once the widget is seen.
  function whenSeen(root, server, build) {
    let begun = false;
    const begin = async () => {
      if (begun || !root.clientWidth) return;
      begun = true;
      root.replaceChildren(h("p", { class: "tl-note" }, text("common.loading")));
      const facts = await ask(root, server);
      if (!facts) return;
      root.replaceChildren();
      build(facts);
      root.dataset.ready = "";
    };
    new ResizeObserver(begin).observe(root);
    begin();
  }

  function show() {
    const ids = open.lesson ? [`#lesson-${open.lesson}`, `#lesson-${open.lesson}-${open.page}`] : ["#learn-start"];
    const pages = ids.map((id) => `html body ${id}`).join(", ");
    let style = document.getElementById("lesson-shown");
    if (!style) document.head.append(style = h("style", { id: "lesson-shown" }));
    style.textContent = `${pages} { display: flex !important; }`;
    window.dispatchEvent(new Event("tl-lesson"));
  }

  function go(lesson, page = 1) {
    Object.assign(open, { lesson, page });
    tinylab.remember("tab", "learn");
    tinylab.remember("lesson", lesson && `${lesson}-${page}`);
    show();
    const title = document.querySelector(lesson ? `#lesson-${lesson} .lesson-title` : "#learn-start h2");
    title?.focus({ preventScroll: true });
    title?.scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "nearest" });
  }

  // An address may name what is not there: then begin at the beginning.
  function exists(known) {
    if (open.lesson && !(open.lesson in known)) Object.assign(open, { lesson: "", page: 1 });
    if (open.lesson && !(open.page >= 1 && open.page <= known[open.lesson])) open.page = 1;
    show();
  }

  return { exists, open, calm, text, fill, number, percent, h, prose, say, button, live, predict, draw, ask, whenSeen, show, go };
})();
tinylab.lessons.show();
