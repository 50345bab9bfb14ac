// What the whole page shares: its address leads back to what it shows, and what was asked for comes into view.
window.tinylab = {
  ready: false, // before that, tabs open by themselves

  opened(key, value) {
    if (this.ready) this.remember(key, value);
  },

  remember(key, value) {
    const url = new URL(window.location);
    if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
    window.history.replaceState(null, "", url);
  },

  // The panel of a kind of job, once it is there: Gradio makes what is in a tab when the tab is opened first.
  panel(kind) {
    const find = () => document.querySelector(`#${kind}-live .tl-live[data-ready]`);
    return new Promise((resolve) => {
      const look = () => { const found = find(); if (found) resolve(found); else setTimeout(look, 50); };
      look();
    });
  },

  // Resolves when charts can be drawn: from then on `window.Plotly` is there.
  plotly() {
    this.plotting ??= new Promise((resolve) => {
      const load = () => {
        const script = document.createElement("script");
        script.src = document.getElementById("tl-plotly").href;
        script.onload = resolve;
        script.onerror = () => { script.remove(); setTimeout(load, 3000); }; // the server is away
        document.head.append(script);
      };
      load();
    });
    return this.plotting;
  },

  // The panel that is in sight: which kind of job it is for, and the run that it shows.
  panelInSight() {
    const panel = [...document.querySelectorAll(".tl-live")].find((one) => one.clientWidth > 0);
    return { kind: panel?.parentElement.closest("[id$='-live']")?.id.replace(/-live$/, "") ?? "", run: panel?.dataset.run ?? "" };
  },

  // An address that shows somebody else what this page shows now.
  async link() {
    const url = new URL(window.location), { run } = this.panelInSight();
    for (const key of ["__theme", "key", "play", "lang"]) url.searchParams.delete(key);
    const tab = document.querySelector("#tabs [role=tab][aria-selected=true]");
    if (tab) url.searchParams.set("tab", tab.dataset.tabId);
    if (run) {
      url.searchParams.set("run", run);
      const key = await this.keyOf?.(run);
      if (key) url.searchParams.set("key", key);
    }
    const model = document.querySelector("#loaded-model b")?.textContent;
    if (model) url.searchParams.set("model", model);
    return url.href;
  },

  async copyLink() {
    const link = await this.link();
    await this.copy(link);
    return link;
  },

  // Copy a text; where the browser does not let a page do so, show it to be copied by hand.
  async copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      this.tell(this.text("lab.copied"));
    } catch {
      window.prompt(this.text("lab.copy_by_hand"), text);
    }
  },

  // A sentence that appears for a moment, and is read to those who do not see it.
  tell(sentence) {
    let place = document.querySelector(".tl-told");
    if (!place) {
      place = document.createElement("div");
      place.className = "tl-told";
      place.setAttribute("role", "status");
      document.body.append(place);
    }
    place.textContent = sentence;
    clearTimeout(this.telling);
    this.telling = setTimeout(() => { place.textContent = ""; }, 4000);
  },

  // Compare the run that a panel shows with something; "" for nothing. The address calls it `key`.
  compareWith(kind, key, other) {
    const panel = document.querySelector(`#${kind}-live .tl-live`);
    if (!panel || (panel.dataset.other || "") === (other || "")) return;
    panel.dataset.other = other || "";
    this.remember(key, other);
    panel.dispatchEvent(new Event("tl-ask"));
  },

  // After a click that was to show a run: look at the run at once, or at the message if there is one.
  show(kind, run, message) {
    if (message) document.querySelector(`#${kind}-message`)?.scrollIntoView({ block: "nearest" });
    if (message || !run) return;
    this.remember("run", run);
    const panel = document.querySelector(`#${kind}-live .tl-live`);
    panel.dispatchEvent(new Event("tl-ask"));
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (panel.getBoundingClientRect().top > 0.7 * window.innerHeight) {
      panel.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" });
    }
  },
};

document.addEventListener("click", (event) => {
  const code = event.target.closest(".tl-copy")?.closest(".tl-command")?.querySelector("code");
  if (code) window.tinylab.copy(code.textContent);
});
