// The glossary: a dialog to search in, opened from the header, by the key "?", and from any marked term. Its words are
// texts, what all languages share lies in the header's data-terms, and Gradio has set the formulas (app/page/header.py).
window.tinylab.glossary = (() => {
  const { tinylab } = window;
  const text = (key) => tinylab.text(key);
  const keys = Object.keys(window.tinylabTexts.en.texts).filter((key) => /^glossary\.[^.]+\.name$/.test(key)).map((key) => key.split(".")[1]);
  const term = (key) => Object.fromEntries(["name", "words", "short", "more"].map((part) => [part, text(`glossary.${key}.${part}`)]));
  let dialog = null;

  const made = (name, className, words) => Object.assign(document.createElement(name), { className, textContent: words ?? "" });

  function formulaOf(key) {
    const heading = [...document.querySelectorAll("#tl-formulas h4")].find((each) => each.textContent === key);
    return heading?.nextElementSibling?.querySelector(".katex-display")?.cloneNode(true);
  }

  function entry(key, references) {
    const place = made("section", "tl-entry"), words = term(key), { source, see = [] } = references[key] ?? {};
    place.id = `tl-entry-${key}`;
    place.tabIndex = -1;
    place.dataset.words = [words.name, words.words, words.short].join(" ").toLowerCase();
    place.append(made("h3", "", words.name), made("p", "", `${words.short} ${words.more}`));
    const formula = formulaOf(key);
    if (formula) place.append(formula);
    const foot = made("p", "tl-note");
    if (source) foot.append(`${text("header.terms.source")}: ${source}. `);
    if (see.length) foot.append(`${text("header.terms.see")}: `);
    see.forEach((other, i) => {
      const link = made("button", "tl-link", text(`glossary.${other}.name`));
      link.type = "button";
      link.addEventListener("click", () => show(other));
      foot.append(i ? ", " : "", link);
    });
    if (foot.childNodes.length) place.append(foot);
    return place;
  }

  function build() {
    const references = JSON.parse(document.querySelector("[data-terms]")?.dataset.terms ?? "{}");
    const place = made("dialog", "tl-dialog tl-glossary");
    place.setAttribute("translate", "no");
    place.setAttribute("aria-labelledby", "tl-glossary-title");
    const head = made("header", ""), title = made("h2", "", text("header.glossary"));
    title.id = "tl-glossary-title";
    const box = Object.assign(document.createElement("input"), { type: "text", placeholder: text("header.terms.search") });
    box.setAttribute("role", "searchbox"); // one of type search would take the first Escape for itself
    box.setAttribute("aria-label", text("header.terms.search"));
    const close = made("button", "tl-close", "×");
    close.type = "button";
    close.setAttribute("aria-label", text("header.terms.close"));
    head.append(title, box, close);
    const list = made("div", "tl-entries"), none = made("p", "tl-note", text("header.terms.none"));
    none.hidden = true;
    none.setAttribute("role", "status");
    const sorted = [...keys].sort((a, b) => text(`glossary.${a}.name`).localeCompare(text(`glossary.${b}.name`), tinylab.language));
    list.append(none, ...sorted.map((key) => entry(key, references)));
    place.append(head, list);
    close.addEventListener("click", () => place.close());
    place.addEventListener("click", (event) => { if (event.target === place) place.close(); }); // beside it
    box.addEventListener("input", () => search(box.value));
    (document.querySelector(".gradio-container") ?? document.body).append(place); // where the style of formulas holds
    return place;
  }

  // All words must occur in a term's name, its other words or its first sentence.
  function search(asked) {
    const words = asked.toLowerCase().split(/\s+/).filter(Boolean), entries = [...dialog.querySelectorAll(".tl-entry")];
    for (const each of entries) each.hidden = !words.every((word) => each.dataset.words.includes(word));
    dialog.querySelector(".tl-note").hidden = entries.some((each) => !each.hidden);
  }

  function show(key) {
    dialog.querySelector("input").value = "";
    search("");
    const place = dialog.querySelector(`#tl-entry-${key}`);
    place?.scrollIntoView({ block: "start" });
    place?.focus({ preventScroll: true });
  }

  // Open it, at a term if one is named.
  function open(key) {
    if (dialog && !dialog.querySelector(".katex")) { dialog.remove(); dialog = null; } // the formulas were not set yet
    dialog ??= build();
    tinylab.tips?.hide();
    if (!dialog.open) dialog.showModal();
    if (key) show(key); else { search(""); dialog.querySelector("input").value = ""; dialog.querySelector("input").focus(); }
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, select, [contenteditable=true]");
    if (event.key !== "?" || typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    open();
  });

  return { open, keys, term };
})();
