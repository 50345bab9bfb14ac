// What Gradio does not translate: choices, HTML that views make, figures. Texts and words.toml say what is what; a word
// may have places to be filled, "step {} of {}", and what stands in them is translated, too. In English nothing runs.
Object.assign(window.tinylab, (() => {
  const { language } = window.tinylab, all = window.tinylabTexts;
  if (language === "en") return { say: (text) => text, translate() {}, translateFigure: (figure) => figure };
  document.documentElement.lang = language;

  const exact = new Map(), patterns = [], given = new Set(), known = new Map();
  const MOST = 5000; // words that are remembered
  const NEVER = "script, style, input, textarea, code, pre, kbd, samp, svg, math, [translate=no], [contenteditable], .tl-run";
  const ATTRIBUTES = ["aria-label", "title", "alt"];

  for (const [key, english] of Object.entries(all.en.texts)) {
    const words = all[language].texts[key];
    const told = /^(glossary|tips)\./.test(key); // whole sentences, and names that mean something else elsewhere
    if (words && !told && !english.includes("\n") && !exact.has(english)) exact.set(english, words);
  }
  for (const [english, words] of Object.entries(all[language].words)) {
    if (/\{#?\}/.test(english)) patterns.push(compile(english, words)); else exact.set(english, words);
  }
  for (const words of exact.values()) given.add(words);
  patterns.sort((a, b) => b.letters - a.letters); // the one that says most goes first

  // "step {} of {}" as an expression and what fills "Schritt {} von {}"; {1} is the first place wherever it stands, and
  // {#} one for a number.
  function compile(english, words) {
    const form = english.split(/(\{#?\})/).map((part) =>
      (part === "{}" ? "(.+?)" : part === "{#}" ? "([\\d.,:%×±+−–-]+)" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")));
    const fill = (found) => {
      let place = 0;
      return words.replace(/\{(\d?)#?\}/g, (_, digit) => found[digit ? Number(digit) - 1 : place++] ?? "");
    };
    return { form: new RegExp(`^${form.join("")}$`, "su"), fill, letters: english.length };
  }

  // The words of the page's language, or null if they are not known.
  function find(text) {
    if (given.has(text)) return null;
    const whole = exact.get(text);
    if (whole !== undefined) return whole;
    for (const { form, fill } of patterns) {
      const found = form.exec(text);
      if (found) return fill(found.slice(1).map(say));
    }
    for (const [between, joint] of [[" · ", " · "], ["<br>", "<br>"], [/(?<=[.!?]) /u, " "], [", ", ", "]]) {
      const parts = text.split(between);
      if (parts.length > 1 && parts.length < 40) {
        const said = parts.map(say);
        const unsaid = parts.filter((part, i) => said[i] === part && /\p{L}{2}/u.test(part) && !given.has(part));
        if (joint === ", " ? !unsaid.length : unsaid.length < parts.length) return said.join(joint);
      }
    }
    return null;
  }

  function say(text) {
    const core = text.trim();
    if (core.length < 2 || core.length > 600 || !/\p{L}/u.test(core)) return text;
    if (!known.has(core)) {
      if (known.size > MOST) known.clear();
      known.set(core, find(core));
    }
    const words = known.get(core);
    return words === null ? text : text.replace(core, () => words);
  }

  function sayNode(node) {
    const words = say(node.data);
    if (words !== node.data) node.data = words;
  }

  function sayAttributes(element) {
    for (const name of ATTRIBUTES) {
      const text = element.getAttribute(name);
      if (!text) continue;
      const words = say(text);
      if (words !== text) element.setAttribute(name, words);
    }
  }

  // A label of an input may be said, what is in it may not.
  function translate(root) {
    if (root.nodeType === Node.TEXT_NODE) {
      if (!root.parentElement?.closest(NEVER)) sayNode(root);
      return;
    }
    if (root.nodeType !== Node.ELEMENT_NODE || root.closest("[translate=no]")) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
      if (node.nodeType === Node.TEXT_NODE) return NodeFilter.FILTER_ACCEPT;
      if (!node.matches(NEVER)) return NodeFilter.FILTER_ACCEPT;
      if (node.matches("input, textarea")) sayAttributes(node);
      return NodeFilter.FILTER_REJECT;
    });
    if (root.matches(NEVER)) return;
    for (let node = walker.currentNode; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) sayNode(node); else sayAttributes(node);
    }
  }

  // What a menu shows is in an input: said while nobody is at it, and as Gradio knows it as soon as somebody is.
  const originals = new WeakMap();
  function sayMenus() {
    for (const box of document.querySelectorAll("input[role=combobox]")) {
      if (box === document.activeElement) continue;
      const words = say(box.value);
      if (words === box.value) continue;
      originals.set(box, [box.value, words]);
      box.value = words;
    }
  }
  document.addEventListener("focusin", ({ target }) => {
    const [english, words] = originals.get(target) ?? [];
    if (words !== undefined && target.value === words) target.value = english;
  }, true);
  document.addEventListener("focusout", () => setTimeout(sayMenus, 200)); // when Gradio has put in what was picked

  function follow() {
    translate(document.body);
    const watch = { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES };
    new MutationObserver((changes) => {
      for (const { type, target, addedNodes } of changes) {
        if (type === "childList") addedNodes.forEach(translate);
        else if (type === "characterData") translate(target);
        else if (!target.closest("[translate=no], svg")) sayAttributes(target);
      }
      sayMenus();
    }).observe(document.body, watch);
  }
  if (document.body) follow(); else document.addEventListener("DOMContentLoaded", follow);

  const several = (value) => (Array.isArray(value) ? value.map((each) => (typeof each === "string" ? say(each) : each)) : value);
  // "block %{y}<extra></extra>": what stands before the mark of Plotly.
  const hover = (text) => (typeof text === "string" ? text.replace(/^(.*?)(<extra>.*)?$/s, (_, words, rest = "") => say(words) + rest) : text);

  function sayTrace(trace) {
    const said = { ...trace };
    if (trace.name) said.name = say(trace.name);
    if (trace.hovertemplate) said.hovertemplate = Array.isArray(trace.hovertemplate) ? trace.hovertemplate.map(hover) : hover(trace.hovertemplate);
    if (Array.isArray(trace.customdata)) {
      said.customdata = trace.customdata.map((each) => (Array.isArray(each) ? several(each) : typeof each === "string" ? say(each) : each));
    }
    if (trace.colorbar?.title?.text) said.colorbar = { ...trace.colorbar, title: { ...trace.colorbar.title, text: say(trace.colorbar.title.text) } };
    return said;
  }

  function sayAxis(axis) {
    const said = { ...axis };
    if (axis.title?.text) said.title = { ...axis.title, text: say(axis.title.text) };
    if (Array.isArray(axis.ticktext)) said.ticktext = several(axis.ticktext);
    return said;
  }

  // A copy of a figure in the language of the page; names of categories stay, as they tie the traces to the axes.
  function translateFigure(figure) {
    const layout = { ...figure.layout };
    if (layout.title?.text) layout.title = { ...layout.title, text: say(layout.title.text) };
    for (const name of Object.keys(layout)) if (/^[xy]axis\d*$/.test(name)) layout[name] = sayAxis(layout[name]);
    if (layout.annotations) layout.annotations = layout.annotations.map((note) => ({ ...note, text: note.text && say(note.text) }));
    return { ...figure, data: figure.data.map(sayTrace), layout };
  }

  return { say, translate, translateFigure };
})());
