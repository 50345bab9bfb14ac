// Runs are watched again: a bar below the status plays what a run looked like, step by step, in the same charts.
// `attach` is called by static/parts/live.js once for each panel; `openRecording` leads to the runs that come with the lab.
window.tinylab.pageId = Math.random().toString(36).slice(2); // identifies this page among others that ask

window.tinylab.replay = (() => {
  const WHOLE = 20_000; // milliseconds that a whole run takes at speed 1
  const FRAME = 40; // milliseconds between two looks at the clock
  const NOTED = 300, AGAIN = 1000; // milliseconds after which the address names the step: at rest, and while it plays
  const CHUNK = 6, AHEAD = 24; // steps that are fetched at once, and that are there before they are needed
  const LATER = 2000; // milliseconds until steps that did not come are asked for again
  const SPEEDS = [0.5, 1, 2, 4];
  const text = (key) => window.tinylab.text(`replay.${key}`);
  const calm = () => window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  // What the address asked for when the page was opened; the panel of that run takes it.
  const query = new URL(window.location).searchParams;
  const asked = { run: query.get("run"), step: query.get("step"), play: query.get("play") };

  function button(bar, name, sign, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.className = `tl-replay-${name}`;
    made.textContent = sign;
    made.title = text(name);
    made.setAttribute("aria-label", text(name));
    made.addEventListener("click", act);
    bar.append(made);
    return made;
  }

  function build(below, acts) {
    const bar = document.createElement("div");
    bar.className = "tl-replay";
    bar.hidden = true;
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", text("bar"));
    const play = button(bar, "play", "▶", acts.toggle);
    button(bar, "back", "‹", () => acts.step(-1));
    button(bar, "forth", "›", () => acts.step(1));
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", min: 0, step: 1 });
    slider.setAttribute("aria-label", text("position"));
    slider.addEventListener("input", () => acts.go(Number(slider.value)));
    const place = document.createElement("output");
    place.setAttribute("aria-live", "off"); // the slider's text is read on demand
    bar.append(slider, place);
    const speed = document.createElement("select");
    speed.setAttribute("aria-label", text("speed"));
    for (const each of SPEEDS) speed.add(new Option(`${each}×`, each, each === 1, each === 1));
    speed.addEventListener("change", () => acts.hurry(Number(speed.value)));
    bar.append(speed);
    button(bar, "end", "⇥", acts.end);
    bar.addEventListener("keydown", (event) => keys(event, acts));
    below.after(bar);
    return { bar, play, slider, place };
  }

  // The slider knows the arrows by itself, a button the space, and a menu both.
  function keys(event, acts) {
    const { key, target } = event, on = (name) => target.matches(name);
    if (event.altKey || event.ctrlKey || event.metaKey || on("select")) return;
    const moves = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 };
    if (key === " " && !on("button")) acts.toggle();
    else if (key in moves && !on("input")) acts.step(moves[key]);
    else if (key === "Home" && !on("input")) acts.go(0);
    else if (key === "End" && !on("input")) acts.end();
    else return;
    event.preventDefault();
  }

  // Where a panel shows no run yet, it offers a recorded one.
  function invite(root) {
    if (!root.dataset.recorded) return;
    const kind = root.closest("[id$='-live']").id.replace(/-live$/, "");
    const made = button(root.querySelector(".tl-hint"), "watch", "", () => window.tinylab.openRecording(kind));
    const key = `watch_${kind}`, words = text(key) === `replay.${key}` ? text("watch") : text(key);
    made.textContent = `▶ ${words}`;
    made.removeAttribute("title");
    made.setAttribute("aria-label", words);
  }

  // A panel's replay. `panel`: root, below (the element that the bar follows), ask(start, count), shown(),
  // showStep(payload), showNow().
  function attach(panel) {
    let run = "", revision = "", steps = [], unit = "step", frames = new Map(), fetching = new Map();
    let at = -1, playing = false, speed = 1, since = 0, from = 0, timer = null, noting = null, noted = 0;
    let pending = false; // the address wants a step that is still to come
    const acts = { toggle, step, go, end, hurry };
    const { bar, play, slider, place } = build(panel.below, acts);
    const last = () => steps.length - 1;
    const past = () => pending || (at >= 0 && at < last());

    new ResizeObserver(() => panel.root.style.setProperty("--tl-status", `${panel.below.offsetHeight}px`)).observe(panel.below);

    // Every answer about a run has its state: `now` is "" for one that cannot be watched again yet.
    async function follow(id, now, atWork = false) {
      if (atWork && asked.run === id) { asked.run = null; forget(); }
      if (id === run && now === revision) return;
      const wanted = id === run && at >= 0 && at < last() ? steps[at] : null;
      if (id !== run) leave();
      [run, revision, frames, fetching] = [id, now, new Map(), new Map()];
      if (!now) return close();
      pending = wanted === null && asked.run === run && Boolean(asked.step || (asked.play && !calm()));
      const answer = await fetched(0, 0);
      if (id !== run || now !== revision) return;
      if (!answer) revision = ""; // the next answer about the run leads here again
      if (!(answer?.steps.length > 1)) return close();
      [steps, unit] = [answer.steps, answer.unit];
      slider.max = last();
      bar.hidden = false;
      begin(wanted);
    }

    // Where it begins: at its end, unless the address or whoever opened it wants something else.
    function begin(wanted) {
      const { step: there, play: plays } = asked.run === run ? asked : {};
      if (asked.run === run) asked.run = null;
      if (plays) window.tinylab.remember("play", null);
      pending = false;
      at = last();
      if (plays && !calm()) return toggle();
      const sought = wanted ?? (there ? Number(there) : NaN);
      if (sought < steps[last()]) go(Math.max(0, steps.findLastIndex((one) => one <= sought))); else put(last());
    }

    // There is nothing to watch again, or not now: the run is shown as it stands.
    function close() {
      const was = past();
      leave();
      if (was) panel.showNow();
    }

    // The address names no step of this run any more.
    function leave() {
      if (past()) forget();
      halt();
      clearTimeout(noting);
      [at, steps, pending] = [-1, [], false];
      bar.hidden = true;
      delete panel.root.dataset.step;
    }

    async function fetched(start, count) {
      try {
        const answer = await panel.ask(start, count);
        return answer?.steps ? answer : null;
      } catch { return null; /* the server is away */ }
    }

    // Make sure that the step `index` is on its way, together with those beside it.
    function fetch(index) {
      if (index < 0 || index > last() || frames.has(index)) return Promise.resolve();
      const chunk = Math.floor(index / CHUNK) * CHUNK, book = frames, table = fetching;
      if (table.has(chunk)) return table.get(chunk);
      const coming = fetched(chunk, CHUNK).then((answer) => {
        answer?.frames.forEach((frame, place) => book.set(chunk + place, frame));
        if (answer) table.delete(chunk); else setTimeout(() => table.delete(chunk), LATER);
      });
      table.set(chunk, coming);
      return coming;
    }

    function paint() {
      const words = unit === "cell" ? "at_cell" : "at_step", show = (number) => number.toLocaleString(window.tinylab.language);
      slider.value = at;
      place.textContent = text(words).replace("{at}", show(steps[at])).replace("{end}", show(steps[last()]));
      slider.setAttribute("aria-valuetext", place.textContent);
      const key = playing ? "pause" : "play";
      play.textContent = playing ? "❚❚" : "▶";
      play.title = text(key);
      play.setAttribute("aria-label", text(key));
      bar.toggleAttribute("data-playing", playing);
    }

    // Show a step. What is not there yet is shown when it comes, unless another one was asked for meanwhile.
    function put(index) {
      at = index;
      if (past()) panel.root.dataset.step = steps[at]; else delete panel.root.dataset.step;
      paint();
      if (!past()) return panel.showNow();
      const book = frames;
      if (book.has(index)) return panel.showStep(book.get(index));
      fetch(index).then(() => { if (at === index && past() && book === frames && book.has(index)) panel.showStep(book.get(index)); });
    }

    function go(index) {
      halt();
      put(Math.max(0, Math.min(last(), index)));
      clearTimeout(noting);
      noting = setTimeout(note, NOTED);
    }

    function step(count) { go(at + count); }
    function end() { go(last()); }

    function hurry(factor) {
      [from, since, speed] = [at, performance.now(), factor];
    }

    function toggle() {
      if (playing) return go(at);
      if (!past()) put(0);
      playing = true;
      hurry(speed);
      paint();
      tick();
    }

    function halt() {
      playing = false;
      clearTimeout(timer);
      if (steps.length) paint();
    }

    // The clock decides which step is due; it stands still while nobody looks or while that step is on its way.
    function tick() {
      timer = setTimeout(tick, FRAME);
      const due = Math.min(last(), from + Math.floor(((performance.now() - since) * speed * last()) / WHOLE));
      if (!panel.shown() || !(frames.has(due) || due === last())) hurry(speed);
      else if (due !== at) {
        put(due);
        if (performance.now() - noted > AGAIN) note(); // browsers refuse an address that changes all the time
      }
      prepare(due);
      if (at === last()) go(at);
    }

    // One request at a time for what is not there yet.
    function prepare(due) {
      for (let index = due; fetching.size === 0 && index < Math.min(last(), due + AHEAD); index += 1) fetch(index);
    }

    function note() {
      noted = performance.now();
      window.tinylab.remember("run", run);
      window.tinylab.remember("step", past() ? String(steps[at]) : null);
    }

    function forget() {
      if (new URL(window.location).searchParams.get("run") === run) window.tinylab.remember("step", null);
    }

    invite(panel.root);
    return { follow, past };
  }

  return { attach, asked };
})();

// Open the tab of a kind of job and watch a recorded run there.
window.tinylab.openRecording = async function openRecording(kind, run = "") {
  document.querySelector(`#tabs [role=tab][data-tab-id="${kind}"]`)?.click();
  const panel = await this.panel(kind), id = run || panel.dataset.recorded;
  if (!id) return;
  Object.assign(this.replay.asked, { run: id, step: null, play: "1" });
  this.remember("run", id);
  panel.dispatchEvent(new CustomEvent("tl-open", { detail: id }));
};
