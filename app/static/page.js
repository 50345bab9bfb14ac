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

  // Set something beside the run that a panel shows; "" for nothing. The address calls it `key`.
  beside(kind, key, other) {
    const panel = document.querySelector(`#${kind}-live .tl-live`);
    if (!panel || (panel.dataset.beside || "") === (other || "")) return;
    panel.dataset.beside = other || "";
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
