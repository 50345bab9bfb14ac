// What Gradio does not translate: choices, HTML that views make, figures. Texts and words.toml have the words; a word
// may have places to be filled, "step {} of {}", and what stands in them is translated, too. In English nothing runs.
Object.assign(window.tinylab, (() => {
  const { language } = window.tinylab, all = window.tinylabTexts;
  if (language === "en") return { translate() {}, translateFigure: (figure) => figure };
  document.documentElement.lang = language;

  const exact = new Map(), patterns = [], given = new Set(), known = new Map();
  const MOST = 5000; // words that are remembered
  const NEVER = "script, style, input, textarea, code, pre, kbd, samp, svg, math, [translate=no], [contenteditable], .tl-run";
  const ATTRIBUTES = ["aria-label", "title", "alt"];

  for (const [key, english] of Object.entries(all.en.texts)) {
    const words = all[language].texts[key];
    const whole = /^(glossary|tips)\./.test(key); // whole sentences, and names that mean something else elsewhere
    if (words && !whole && !english.includes("\n") && !exact.has(english)) exact.set(english, words);
  }
  for (const [english, words] of Object.entries(all[language].words)) {
    if (/\{#?\}/.test(english)) patterns.push(compile(english, words)); else exact.set(english, words);
  }
  for (const words of exact.values()) given.add(words);
  patterns.sort((a, b) => b.letters - a.letters); // the longest one goes first

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
      if (found) return fill(found.slice(1).map(word));
    }
    for (const [between, joint] of [[" · ", " · "], ["<br>", "<br>"], [/(?<=[.!?]) /u, " "], [", ", ", "]]) {
      const parts = text.split(between);
      if (parts.length > 1 && parts.length < 40) {
        const result = parts.map(word);
        const unknown = parts.filter((part, i) => result[i] === part && /\p{L}{2}/u.test(part) && !given.has(part));
        if (joint === ", " ? !unknown.length : unknown.length < parts.length) return result.join(joint);
      }
    }
    return null;
  }

  function word(text) {
    const core = text.trim();
    if (core.length < 2 || core.length > 600 || !/\p{L}/u.test(core)) return text;
    if (!known.has(core)) {
      if (known.size > MOST) known.clear();
      known.set(core, find(core));
    }
    const words = known.get(core);
    return words === null ? text : text.replace(core, () => words);
  }

  function translateNode(node) {
    const words = word(node.data);
    if (words !== node.data) node.data = words;
  }

  function translateAttributes(element) {
    for (const name of ATTRIBUTES) {
      const text = element.getAttribute(name);
      if (!text) continue;
      const words = word(text);
      if (words !== text) element.setAttribute(name, words);
    }
  }

  // A label of an input is translated, what is in it is not.
  function translate(root) {
    if (root.nodeType === Node.TEXT_NODE) {
      if (!root.parentElement?.closest(NEVER)) translateNode(root);
      return;
    }
    if (root.nodeType !== Node.ELEMENT_NODE || root.closest("[translate=no]")) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT, (node) => {
      if (node.nodeType === Node.TEXT_NODE) return NodeFilter.FILTER_ACCEPT;
      if (!node.matches(NEVER)) return NodeFilter.FILTER_ACCEPT;
      if (node.matches("input, textarea")) translateAttributes(node);
      return NodeFilter.FILTER_REJECT;
    });
    if (root.matches(NEVER)) return;
    for (let node = walker.currentNode; node; node = walker.nextNode()) {
      if (node.nodeType === Node.TEXT_NODE) translateNode(node); else translateAttributes(node);
    }
  }

  // What a menu shows is in an input: translated while nobody is at it, and as Gradio knows it as soon as somebody is.
  const originals = new WeakMap();
  function translateMenus() {
    for (const box of document.querySelectorAll("input[role=combobox]")) {
      if (box === document.activeElement) continue;
      const words = word(box.value);
      if (words === box.value) continue;
      originals.set(box, [box.value, words]);
      box.value = words;
    }
  }
  document.addEventListener("focusin", ({ target }) => {
    const [english, words] = originals.get(target) ?? [];
    if (words !== undefined && target.value === words) target.value = english;
  }, true);
  document.addEventListener("focusout", () => setTimeout(translateMenus, 200)); // when Gradio has put in what was picked

  function follow() {
    translate(document.body);
    const watch = { subtree: true, childList: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES };
    new MutationObserver((changes) => {
      for (const { type, target, addedNodes } of changes) {
        if (type === "childList") addedNodes.forEach(translate);
        else if (type === "characterData") translate(target);
        else if (!target.closest("[translate=no], svg")) translateAttributes(target);
      }
      translateMenus();
    }).observe(document.body, watch);
  }
  if (document.body) follow(); else document.addEventListener("DOMContentLoaded", follow);

  const several = (value) => (Array.isArray(value) ? value.map((each) => (typeof each === "string" ? word(each) : each)) : value);
  // "block %{y}<extra></extra>": what stands before the mark of Plotly.
  const hover = (text) => (typeof text === "string" ? text.replace(/^(.*?)(<extra>.*)?$/s, (_, words, rest = "") => word(words) + rest) : text);

  function translateTrace(trace) {
    const result = { ...trace };
    if (trace.name) result.name = word(trace.name);
    if (trace.hovertemplate) result.hovertemplate = Array.isArray(trace.hovertemplate) ? trace.hovertemplate.map(hover) : hover(trace.hovertemplate);
    if (Array.isArray(trace.customdata)) {
      result.customdata = trace.customdata.map((each) => (Array.isArray(each) ? several(each) : typeof each === "string" ? word(each) : each));
    }
    if (trace.colorbar?.title?.text) result.colorbar = { ...trace.colorbar, title: { ...trace.colorbar.title, text: word(trace.colorbar.title.text) } };
    return result;
  }

  function translateAxis(axis) {
    const result = { ...axis };
    if (axis.title?.text) result.title = { ...axis.title, text: word(axis.title.text) };
    if (Array.isArray(axis.ticktext)) result.ticktext = several(axis.ticktext);
    return result;
  }

  // A copy of a figure in the language of the page; names of categories stay, as they tie the traces to the axes.
  function translateFigure(figure) {
    const layout = { ...figure.layout };
    if (layout.title?.text) layout.title = { ...layout.title, text: word(layout.title.text) };
    for (const name of Object.keys(layout)) if (/^[xy]axis\d*$/.test(name)) layout[name] = translateAxis(layout[name]);
    if (layout.annotations) layout.annotations = layout.annotations.map((note) => ({ ...note, text: note.text && word(note.text) }));
    return { ...figure, data: figure.data.map(translateTrace), layout };
  }

  return { translate, translateFigure };
})());
