// What the whole page shares: its address leads back to what it shows, and what was asked for comes into view.
window.tinylab = {
  ready: false, // before that, tabs open by themselves

  opened(tab) {
    if (this.ready) this.remember("tab", tab);
  },

  remember(key, value) {
    const url = new URL(window.location);
    if (value) url.searchParams.set(key, value); else url.searchParams.delete(key);
    window.history.replaceState(null, "", url);
  },

  // Show another run beside the one that a panel shows; "" for none.
  compare(kind, run) {
    const panel = document.querySelector(`#${kind}-live .tl-live`);
    if (!panel || (panel.dataset.beside || "") === (run || "")) return;
    panel.dataset.beside = run || "";
    this.remember("beside", run);
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
