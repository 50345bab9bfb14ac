// Tips: what a control is for (texts of tips.toml, by element id) and what a term means (glossary.toml). They appear on
// hover and on focus by key, Escape closes them, and aria-describedby ties them to what they are about.
window.tinylab.tips = (() => {
  const { tinylab } = window;
  const MARKED = ".tl-intro .md, .tl-help .md, .lesson-aside .md"; // prose in which terms are marked
  const LESSON = ".lesson-prose:not([data-marked])"; // the same in lessons, which make it again whenever it changes
  const UNMARKED = "button, a, code, h1, h2, h3, .katex, .tl-term, .lesson-aside em"; // the last are titles of papers
  const PAGES = ".lesson-page, .lesson-start"; // prose of one page has every term marked once
  const NAMED = ".tl-live th, .tl-live h4, .tl-card th, .tl-figure span"; // titles that may be a term themselves
  const WAIT = 350, LEAVE = 200; // milliseconds
  const words = new Map(), titles = new Map(); // by a term in small letters: its key, and how it must be written if that matters
  const bare = (title) => title.replace(/\s*\([^)]*\)\s*$/, "").trim(); // without what stands in brackets behind it
  let tip = null, about = null, byKey = false, timer = null;

  for (const key of tinylab.glossary.keys) {
    const { name, words: several } = tinylab.glossary.term(key);
    const learn = (known, word) => {
      const exact = /\p{Lu}.*\p{Lu}|^\p{Lu}{1,3}$/u.test(word) ? word : null; // IS is a score, is is not
      if (!known.has(word.toLowerCase())) known.set(word.toLowerCase(), { key, exact });
    };
    for (const word of several.split(", ").filter(Boolean)) { learn(words, word); learn(titles, word); }
    learn(titles, bare(name));
  }
  const listed = [...words.keys()].sort((a, b) => b.length - a.length).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const form = new RegExp(`(?<![\\p{L}\\p{N}-])(${listed.join("|")})(?![\\p{L}\\p{N}-])`, "giu");

  const termOf = (title) => {
    const said = bare(title), found = titles.get(said.toLowerCase());
    return found && (!found.exact || found.exact === said) ? found.key : null;
  };

  // The tip of a control, or of all whose ids end so: "search-stop" or "any.stop".
  const tipOf = (id) => [`tips.${id}`, `tips.any.${id.slice(id.indexOf("-") + 1)}`].map((key) => [key, tinylab.text(key)])
    .find(([key, said]) => said !== key)?.[1];

  // Make the first occurrence of every term in a piece of prose, or on a page of a lesson, something to point at.
  function mark(prose) {
    const around = prose.closest(PAGES) ?? prose, nodes = [];
    const seen = new Set([...around.querySelectorAll(".tl-term")].map((term) => term.dataset.term));
    const walker = document.createTreeWalker(prose, NodeFilter.SHOW_TEXT, (node) =>
      (node.parentElement.closest(UNMARKED) ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT));
    while (walker.nextNode()) nodes.push(walker.currentNode);
    for (const node of nodes) {
      const pieces = [];
      let from = 0;
      for (const found of node.data.matchAll(form)) {
        const { key, exact } = words.get(found[0].toLowerCase());
        if (seen.has(key) || (exact && exact !== found[0])) continue;
        seen.add(key);
        pieces.push(node.data.slice(from, found.index), button(key, found[0]));
        from = found.index + found[0].length;
      }
      if (from) node.replaceWith(...pieces, node.data.slice(from));
    }
    prose.dataset.marked = prose.textContent.length;
  }

  // Not a real button, which would not break over lines as words do.
  function button(key, said) {
    const made = document.createElement("span");
    Object.assign(made, { className: "tl-term", textContent: said, tabIndex: 0 });
    made.setAttribute("role", "button");
    made.dataset.term = key;
    return made;
  }

  // At once, so that what is spoken as soon as it changes is spoken once.
  function sweepLessons() {
    for (const prose of document.querySelectorAll(LESSON)) mark(prose);
  }

  function sweep() {
    for (const prose of document.querySelectorAll(MARKED)) {
      if (prose.textContent.trim() && prose.dataset.marked !== String(prose.textContent.length)) mark(prose);
    }
    for (const title of document.querySelectorAll(NAMED)) {
      if (title.dataset.term) continue;
      const key = termOf(title.textContent);
      if (!key) continue;
      title.dataset.term = key;
      if (!title.querySelector("button")) title.tabIndex = 0;
    }
    for (const head of document.querySelectorAll(".gr-accordion > button.label-wrap")) {
      head.setAttribute("aria-expanded", String(head.classList.contains("open")));
    }
    for (const group of document.querySelectorAll("fieldset.block:not([aria-label])")) {
      const label = group.querySelector("[data-testid=block-info]")?.textContent.trim();
      if (label) group.setAttribute("aria-label", label);
    }
  }

  // What is told of an element: its term, else the tip of the control that it belongs to.
  function told(target) {
    const place = target.closest("[data-term]");
    if (place) return { anchor: place, said: tinylab.text(`glossary.${place.dataset.term}.short`) };
    const label = target.closest("[data-testid=block-info], .block label, button, input, textarea, [role=combobox]");
    if (!label) return null;
    const control = label.closest("[id^='tab-'] [id*='-']:is(.block, button)");
    const said = control && !control.matches("[id$='-live']") && tipOf(control.id);
    return said ? { anchor: label, said } : null;
  }

  function box() {
    if (tip) return tip;
    tip = document.createElement("div");
    Object.assign(tip, { className: "tl-tip", id: "tl-tip", hidden: true });
    tip.setAttribute("role", "tooltip");
    tip.setAttribute("translate", "no");
    tip.addEventListener("pointerenter", () => clearTimeout(timer));
    tip.addEventListener("pointerleave", () => hideSoon());
    document.body.append(tip);
    return tip;
  }

  function show({ anchor, said }) {
    hide();
    about = anchor;
    box().textContent = said;
    tip.hidden = false;
    const place = anchor.getBoundingClientRect(), { width, height } = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(place.left, window.innerWidth - width - 8));
    const below = place.bottom + 8 + height < window.innerHeight || place.top < height + 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${below ? place.bottom + 8 : place.top - height - 8}px`;
    describe(anchor, true);
  }

  // What an element is described by, with the tip or without it.
  function describe(element, on) {
    const others = (element.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== "tl-tip");
    const ids = on ? [...others, "tl-tip"] : others;
    if (ids.length) element.setAttribute("aria-describedby", ids.join(" ")); else element.removeAttribute("aria-describedby");
  }

  function hide() {
    clearTimeout(timer);
    if (about) describe(about, false);
    about = null;
    if (tip) tip.hidden = true;
  }

  function hideSoon() {
    clearTimeout(timer);
    timer = setTimeout(hide, LEAVE);
  }

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch" || !(event.target instanceof Element) || event.target.closest(".tl-tip")) return;
    const found = told(event.target);
    if (!found) { if (about) hideSoon(); return; }
    clearTimeout(timer);
    if (found.anchor !== about) timer = setTimeout(() => show(found), WAIT);
  });
  document.addEventListener("pointerdown", () => { byKey = false; hide(); }, true);
  document.addEventListener("keydown", (event) => {
    byKey = event.key === "Tab" || event.key.startsWith("Arrow");
    if (event.key === "Escape" && about) hide();
    if (["Enter", " "].includes(event.key) && event.target.matches?.(".tl-term")) { event.preventDefault(); event.target.click(); }
  }, true);
  document.addEventListener("focusin", (event) => {
    if (!(event.target instanceof Element)) return;
    const found = (byKey || event.target.matches(".tl-term")) && told(event.target);
    if (found) show({ ...found, anchor: event.target.closest("[data-term]") ?? event.target });
    else hide();
  });
  document.addEventListener("focusout", () => { if (about) hideSoon(); });
  document.addEventListener("scroll", () => { if (about && !about.matches(":focus")) hide(); }, { capture: true, passive: true });
  document.addEventListener("click", (event) => {
    const key = event.target.closest?.(".tl-term")?.dataset.term;
    if (key) { hide(); tinylab.glossary.open(key); }
  });

  let planned = null;
  const plan = () => { planned ??= setTimeout(() => { planned = null; sweep(); }, 250); };
  function follow() {
    const changed = () => { sweepLessons(); plan(); };
    changed();
    new MutationObserver(changed).observe(document.body, { subtree: true, childList: true });
    document.addEventListener("click", plan); // accordions say by a class whether they are open
  }
  if (document.body) follow(); else document.addEventListener("DOMContentLoaded", follow);

  return { hide, tipOf };
})();
