// The Runs tab: a list to search, and beside it the card of a run or several runs beside each other.
window.tinylab.runs = (element, props, server, watch) => {
  const { tinylab } = window, list = element.querySelector(".tl-runs");
  const { text, make, own, button, size, part, hint, place, notes, results, settings } = tinylab.runsParts;
  const PAUSE = 5000, SOON = 250, MOST = 8; // milliseconds, milliseconds, runs beside each other
  const AT_WORK = ["created", "queued", "starting", "running"]; // states that change by themselves
  const shown = { words: "", page: 0, run: "", picked: new Set() };
  const newest = { list: 0, card: 0, any: 0 }; // questions: an answer that a later one has overtaken is not drawn
  let known = {}, timer = null, wait = null, failures = 0;

  const main = () => document.querySelector("#runs-main");
  const visible = () => element.getClientRects().length > 0;

  // The list

  const search = make("input", {
    type: "search", id: "runs-search", maxlength: "200", autocomplete: "off", "aria-label": text("search"),
    placeholder: text("search"), oninput: () => {
      clearTimeout(wait);
      wait = setTimeout(() => { shown.words = search.value; shown.page = 0; ask({ list: true }); }, SOON);
    },
  });
  const rows = make("ul", { class: "tl-runs-rows", id: "runs-rows", "aria-label": text("list") });
  const count = make("span", { role: "status", class: "tl-runs-count" });
  const back = button("‹", () => turn(-1), { "aria-label": text("newer") });
  const on = button("›", () => turn(1), { "aria-label": text("older") });
  const compare = button(text("compare"), compareRuns, { id: "runs-compare", disabled: true });
  const recorded = make("ul", { class: "tl-runs-rows", id: "runs-recorded", "aria-label": text("recorded") });
  const shelf = make("details", { class: "tl-runs-recorded" }, make("summary", {}, text("recorded")), recorded);
  const disk = make("div", { class: "tl-runs-disk", id: "runs-disk" });
  list.append(search, make("div", { class: "tl-runs-bar" }, count, compare, make("span", { class: "tl-runs-pages" }, back, on)), rows, shelf, disk);
  const entries = () => [...list.querySelectorAll(".tl-runs-rows li[data-run]")];

  function turn(by) {
    shown.page += by;
    ask({ list: true });
  }

  function drawList({ rows: found, count: many, page, pages, recorded: kept }) {
    if (!known.drawn) shelf.open = !many; // where nothing was computed yet, there is something to look at
    known.drawn = true;
    shown.page = page;
    count.textContent = text(many === 1 ? "count_one" : "count", { count: many.toLocaleString(tinylab.language) })
      + (pages > 1 ? ` · ${text("page", { page: page + 1, pages })}` : "");
    back.disabled = page === 0;
    on.disabled = page + 1 >= pages;
    back.parentElement.hidden = pages < 2;
    const focused = list.contains(document.activeElement) ? document.activeElement.closest("li[data-run]")?.dataset.run : null;
    const box = document.activeElement?.type === "checkbox";
    rows.replaceChildren(...found.map(drawRow));
    recorded.replaceChildren(...kept.map(drawRow));
    shelf.hidden = !kept.length;
    if (!found.length) rows.append(make("li", { class: "tl-runs-none" }, text(shown.words ? "none_found" : "none")));
    if (focused) entries().find((row) => row.dataset.run === focused)?.querySelector(box ? "input" : "button")?.focus();
    mark();
  }

  function drawRow(row) {
    const box = make("input", { type: "checkbox", "aria-label": text("pick", { run: row.title }), onchange: () => pick(row.id, box.checked) });
    box.checked = shown.picked.has(row.id);
    const about = make("span", { class: "tl-runs-about" }, row.kind, " · ", row.when, " · ", size(row.bytes));
    const badge = make("span", { class: "tl-badge" }, row.word);
    const press = make("button", { type: "button", class: "tl-runs-row", onclick: () => select(row.id) },
      own("span", { class: "tl-runs-title" }, row.title), badge, about);
    return make("li", { "data-run": row.id, class: `tl-${row.state}` }, box, press);
  }

  function mark() {
    for (const row of entries()) {
      const current = row.dataset.run === shown.run;
      row.classList.toggle("current", current);
      if (current) row.querySelector("button").setAttribute("aria-current", "true");
      else row.querySelector("button").removeAttribute("aria-current");
    }
    compare.disabled = shown.picked.size < 2;
    compare.textContent = text("compare") + (shown.picked.size ? ` (${shown.picked.size})` : "");
  }

  // Up and down lead from run to run.
  list.addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key], row = event.target.closest(".tl-runs-rows li[data-run]");
    if (!by || !row) return;
    const there = entries().filter((one) => one.offsetParent), next = there[there.indexOf(row) + by];
    next?.querySelector(event.target.type === "checkbox" ? "input" : "button")?.focus();
    event.preventDefault();
  });

  function pick(run, picked) {
    if (picked && shown.picked.size >= MOST) tinylab.tell(text("most", { most: MOST }));
    if (picked && shown.picked.size < MOST) shown.picked.add(run); else shown.picked.delete(run);
    for (const row of entries()) row.querySelector("input").checked = shown.picked.has(row.dataset.run);
    mark();
  }

  function drawDisk({ runs, trash, other, free }, deleted) {
    const parts = [text("disk_runs", { size: size(runs) }), text("disk_trash", { size: size(trash) })];
    if (other) parts.push(text("disk_other", { size: size(other) }));
    parts.push(text("disk_free", { size: size(free) }));
    const open = disk.querySelector("details")?.open ?? false;
    disk.replaceChildren(make("p", { class: "tl-note" }, parts.join(" · ")));
    if (!deleted.length) return;
    const lines = deleted.map((one) => make("li", { "data-run": one.id },
      own("span", { class: "tl-runs-title" }, one.title), make("span", { class: "tl-runs-about" }, `${one.when} · ${size(one.bytes)}`),
      button(text("restore"), () => restore(one.id), { "aria-label": `${text("restore")}: ${one.title}` })));
    disk.append(make("details", { open }, make("summary", {}, text("deleted", { count: deleted.length })),
      make("p", { class: "tl-note" }, text("deleted_note")), make("ul", { class: "tl-runs-deleted" }, ...lines)));
  }

  // The card

  function select(run) {
    shown.run = run;
    tinylab.remember("run", run);
    mark();
    ask({ card: true });
    if (main().getBoundingClientRect().top > 0.7 * window.innerHeight) main().scrollIntoView({ block: "start" });
  }

  const busy = () => main().contains(document.activeElement) && document.activeElement.matches("input, textarea");

  function drawCard(card) {
    if (!card) return main().replaceChildren(hint(shown.run ? text("gone") : text("hint")));
    const head = make("div", { class: `tl-runs-head tl-${card.state}` },
      own("h3", {}, card.title), make("span", { class: "tl-badge" }, card.word), own("code", { class: "tl-run" }, card.id));
    const facts = [card.kind, card.when, ...(card.took ? [text("took", { time: card.took })] : []), size(card.bytes.total)];
    const message = card.message ? [make("p", { class: "tl-note" }, card.message)] : [];
    main().replaceChildren(make("article", { class: "tl-card tl-runs-card", "data-run": card.id },
      head, make("p", { class: "tl-note" }, facts.join(" · ")), ...message, actions(card), place(),
      ...(card.own ? [form(card)] : notes(card)), ...results(card), ...settings(card), space(card),
      part(text("command"), make("div", { class: "tl-command" }, own("pre", {}, own("code", {}, card.command)),
        make("div", { class: "tl-save" }, make("button", { type: "button", class: "tl-copy" }, tinylab.text("panel.copy")))))));
  }

  function actions(card) {
    const save = (words, file, look) => make("a", { class: "tl-act", download: "", href: `tinylab/${file}/${encodeURIComponent(card.id)}`, ...look }, words);
    const open = new URL(window.location);
    for (const key of ["tab", "part"]) open.searchParams.delete(key);
    open.searchParams.set("run", card.id);
    return make("div", { class: "tl-runs-acts" },
      ...(card.opens ? [make("a", { class: "tl-act tl-first", href: open.href, id: "runs-open" }, text("open"))] : []),
      save(text("archive"), "archive", { id: "runs-archive" }), save(text("notebook"), "notebook", { id: "runs-notebook" }),
      ...(card.own ? [button(text("delete"), () => remove(card), { id: "runs-delete", class: "tl-act tl-danger", disabled: card.busy, title: card.busy ? text("busy") : "" })] : []));
  }

  function form(card) {
    const name = make("input", { id: "runs-name", maxlength: "80", placeholder: card.label, autocomplete: "off" });
    const notes = make("textarea", { id: "runs-notes", maxlength: "5000", rows: "3", placeholder: text("notes_hint") });
    [name.value, notes.value] = [card.name, card.notes];
    const changed = () => name.value !== card.name || notes.value !== card.notes;
    const keep = button(text("save"), () => describe(card, name.value, notes.value), { id: "runs-save", disabled: true });
    const check = () => { keep.disabled = !changed(); };
    for (const field of [name, notes]) field.addEventListener("input", check);
    name.addEventListener("keydown", (event) => { if (event.key === "Enter" && changed()) keep.click(); });
    return make("section", { class: "tl-runs-form" }, make("label", { for: "runs-name" }, text("name")), name,
      make("label", { for: "runs-notes" }, text("notes")), notes, keep);
  }

  function space(card) {
    const parts = Object.entries(card.bytes).filter(([name, bytes]) => name !== "total" && bytes);
    const words = parts.map(([name, bytes]) => text(`part_${name}`, { size: size(bytes) })).join(" · ");
    const less = card.own && card.bytes.checkpoints
      ? [button(text("thin"), () => thin(card), { id: "runs-thin", disabled: card.busy, title: text(card.state === "finished" ? "thin_all" : "thin_old") })] : [];
    return part(text("disk"), make("p", {}, words), ...less);
  }

  function compareRuns() {
    ask({ together: true }).then(() => main().scrollIntoView({ block: "nearest" }));
  }

  function drawTogether(found) {
    known.card = "";
    if (!found) return main().replaceChildren(hint(text("not_together")));
    const body = make("div", { class: "tl-runs-together" });
    body.innerHTML = found.html; // the server's, escaped
    body.querySelectorAll("thead th:not(:first-child), td").forEach((cell) => cell.setAttribute("translate", "no"));
    const [first, ...others] = found.runs.toReversed().map(encodeURIComponent); // the oldest first, as they were made
    const href = `tinylab/notebook/${first}?also=${others.join(",")}`;
    main().replaceChildren(make("article", { class: "tl-card" }, make("h3", {}, text("together")), body,
      make("div", { class: "tl-runs-acts" }, make("a", { class: "tl-act", download: "", href, id: "runs-notebook-all" }, text("notebook_all")),
        button(text("back"), () => ask({ card: true })))));
  }

  // What is done to runs

  async function order(what) {
    try {
      const done = await server.act(what);
      if (done.problem) { tell(done.problem, [], true); return null; }
      return done;
    } catch {
      tell(tinylab.text("panel.away"), [], true);
      return null;
    }
  }

  // A sentence on the card, with a button to undo if there is one; in place of the card where there is none.
  function tell(words, after = [], wrong = false) {
    const line = make("div", { class: wrong ? "tl-error" : "tl-done", role: wrong ? "alert" : "status", id: "runs-told" }, make("span", {}, words), ...after);
    const where = main().querySelector(".tl-runs-said");
    if (where) where.replaceChildren(line); else main().replaceChildren(line);
  }

  async function describe(card, name, notes) {
    if (!await order({ do: "describe", run: card.id, name, notes })) return;
    await ask({ list: true, card: true });
    tell(text("saved"));
  }

  async function remove(card) {
    const done = await order({ do: "delete", run: card.id });
    if (!done) return;
    shown.run = "";
    shown.picked.delete(card.id);
    tinylab.remember("run", "");
    const undo = button(text("undo"), () => restore(done.trashed), { id: "runs-undo" });
    main().replaceChildren();
    known.card = "";
    tell(text("was_deleted", { run: card.title }), [undo]);
    undo.focus();
    await ask({ list: true, disk: true });
  }

  async function restore(trashed) {
    const done = await order({ do: "restore", run: trashed });
    if (!done) return;
    shown.run = done.run;
    tinylab.remember("run", done.run);
    await ask({ list: true, card: true, disk: true });
    tell(text("was_restored"));
  }

  async function thin(card) {
    const done = await order({ do: "thin", run: card.id });
    if (!done) return;
    await ask({ list: true, card: true, disk: true });
    tell(text("thinned", { size: size(done.freed) }));
  }

  // Questions

  async function ask(parts) {
    const mine = ++newest.any, question = {};
    clearTimeout(timer);
    if (parts.list) question.list = { words: shown.words, page: shown.page };
    if (parts.card && shown.run) question.card = shown.run;
    if (parts.together) question.together = [...shown.picked];
    if (parts.disk) question.disk = true;
    for (const part of ["list", "card"]) if (parts[part]) newest[part] = mine;
    let found = null;
    try {
      found = await server.ask(question);
    } catch { /* the server is away: asked again below */ }
    failures = found ? 0 : failures + 1;
    if (found && element.isConnected) take(parts, found, mine);
    const calm = rows.querySelector(AT_WORK.map((state) => `.tl-${state}`).join()) ? 1 : 3;
    if (mine === newest.any && element.isConnected) timer = setTimeout(refresh, PAUSE * Math.min(6, calm + failures));
  }

  const fresh = (name, value) => {
    const json = JSON.stringify(value);
    if (known[name] === json) return false;
    known[name] = json;
    return true;
  };

  function take(parts, found, mine) {
    if (found.list && newest.list === mine && fresh("list", found.list)) drawList(found.list);
    if (found.disk && fresh("disk", [found.disk, found.deleted])) drawDisk(found.disk, found.deleted);
    if (parts.together) drawTogether(found.together);
    if (parts.card && newest.card === mine && fresh("card", [shown.run, found.card ?? null])) drawCard(found.card ?? null);
  }

  // News of what is in sight: of the card only where the list has some, and never under the hands of one who types.
  async function refresh() {
    if (document.hidden || !visible()) { timer = setTimeout(refresh, PAUSE); return; }
    const before = rowText();
    await ask({ list: true });
    if (rowText() !== before && main().querySelector("article[data-run]") && !busy() && !dirty()) ask({ card: true });
  }

  const rowText = () => entries().find((row) => row.dataset.run === shown.run)?.textContent ?? "";

  const dirty = () => main().querySelector("#runs-save:not([disabled])") !== null;

  function opened() {
    const run = new URL(window.location).searchParams.get("run") ?? "";
    if (run && !shown.run) shown.run = run;
    const empty = !main().childElementCount || main().querySelector(".tl-hint, article[data-run]");
    ask({ list: true, card: Boolean(empty) && !dirty(), disk: true });
  }

  let wide = false;
  new ResizeObserver(() => {
    if (visible() && !wide) opened();
    wide = visible();
  }).observe(element);
  document.addEventListener("visibilitychange", () => { if (!document.hidden && visible()) refresh(); });
  watch("value", () => {
    if (!props.value) return;
    [shown.run, shown.words, shown.page, search.value] = [props.value, "", 0, ""];
    tinylab.remember("run", props.value);
    ask({ list: true, card: true, disk: true });
  });
};
