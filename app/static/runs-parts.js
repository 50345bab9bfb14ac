// Pieces that the Runs tab is made of. What people wrote becomes text, never HTML; only tables are HTML, escaped by the
// server.
window.tinylab.runsParts = (() => {
  const { tinylab } = window;
  const text = (key, values = {}) =>
    Object.entries(values).reduce((filled, [name, value]) => filled.replaceAll(`{${name}}`, value), tinylab.text(`runs.${key}`));

  function make(tag, attributes = {}, ...content) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (typeof value === "boolean") made.toggleAttribute(name, value);
      else made.setAttribute(name, value);
    }
    made.append(...content);
    return made;
  }
  // What people wrote themselves is not translated.
  const own = (tag, attributes, words) => make(tag, { translate: "no", ...attributes }, words);
  const button = (words, click, look = {}) => make("button", { type: "button", class: "tl-act", onclick: click, ...look }, words);

  function size(bytes) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    const place = bytes < 1 ? 0 : Math.min(4, Math.floor(Math.log10(bytes) / 3));
    const value = bytes / 1000 ** place;
    return `${value.toLocaleString(tinylab.language, { maximumFractionDigits: place && value < 100 ? 1 : 0 })} ${units[place]}`;
  }

  const part = (title, ...content) => make("section", {}, make("h4", {}, title), ...content);
  const hint = (words) => make("p", { class: "tl-hint" }, words);
  const place = () => make("div", { class: "tl-runs-said", role: "status" });

  const notes = (card) => (card.notes ? [part(text("notes"), own("p", { class: "tl-runs-notes" }, card.notes))] : []);

  function results(card) {
    const figures = card.figures.map(([value, words]) => make("div", { class: "tl-figure" }, make("b", {}, value), make("span", {}, words)));
    const tables = make("div", {});
    tables.innerHTML = card.tables; // the server's, escaped
    if (!card.words.length && !figures.length && !card.tables) return [];
    return [part(text("results"), ...(figures.length ? [make("div", { class: "tl-figures" }, ...figures)] : []),
      ...card.words.map((words) => make("p", {}, words)), ...tables.children)];
  }

  function settings(card) {
    const lines = card.settings.map(([label, value, about]) => make("tr", {}, make("th", { scope: "row", title: about }, label), make("td", {}, own("span", {}, value))));
    const body = lines.length ? make("table", { class: "tl-table" }, make("tbody", {}, ...lines)) : make("p", { class: "tl-note" }, text("all_default"));
    return [part(text("settings"), body)];
  }

  return { text, make, own, button, size, part, hint, place, notes, results, settings };
})();
