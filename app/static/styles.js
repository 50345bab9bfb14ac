// How the page looks: dark or light, and for a projector. The address holds it as `view=dark,projector`; without a word
// about it the browser's own preference decides, as Gradio does. Also mounts the buttons of the header (app/page/header.py).
window.tinylab.styles = (() => {
  const root = document.documentElement;
  const views = new Set((new URL(window.location).searchParams.get("view") ?? "").split(",").filter(Boolean));
  const wanted = () => (views.has("dark") ? true : views.has("light") ? false : null);
  const isDark = () => document.body.classList.contains("dark");
  let bar = null;

  // The body's classes are Gradio's and ours: what was asked for is put back whenever Gradio goes by the system.
  function dress() {
    const { body } = document, dark = wanted();
    if (dark !== null && body.classList.contains("dark") !== dark) body.classList.toggle("dark", dark);
    if (body.classList.contains("tl-projector") !== views.has("projector")) {
      body.classList.toggle("tl-projector", views.has("projector"));
    }
    root.classList.toggle("tl-projected", views.has("projector"));
    root.style.colorScheme = isDark() ? "dark" : "light";
    showState();
  }

  // The state of the buttons.
  function showState() {
    const state = { dark: document.body.classList.contains("dark"), projector: views.has("projector") };
    for (const [name, on] of Object.entries(state)) {
      bar?.querySelector(`[data-tool=${name}]`)?.setAttribute("aria-pressed", String(on));
    }
  }

  function watchBody() {
    dress();
    new MutationObserver(dress).observe(document.body, { attributes: true, attributeFilter: ["class"] });
  }

  // Before the first paint there is no body yet: its ground is painted by a rule until Gradio has come.
  if (wanted() !== null) {
    const ground = document.createElement("style"), side = wanted() ? "-dark" : "";
    ground.textContent = `body:not(:has(.gradio-container)) { background: var(--bg${side}) !important; color: var(--col${side}) !important; }`;
    document.head.append(ground);
  }
  if (document.body) watchBody();
  else new MutationObserver((_, watcher) => {
    if (!document.body) return;
    watcher.disconnect();
    watchBody();
  }).observe(root, { childList: true });

  function keep() {
    window.tinylab.remember("view", ["light", "dark", "projector"].filter((view) => views.has(view)).join(","));
    dress();
  }

  function toggleDark() {
    const dark = !isDark();
    const system = window.matchMedia("(prefers-color-scheme: dark)").matches;
    for (const view of ["dark", "light"]) views.delete(view);
    if (dark !== system) views.add(dark ? "dark" : "light");
    document.body.classList.toggle("dark", dark);
    keep();
  }

  function toggleProjector() {
    if (!views.delete("projector")) views.add("projector");
    keep();
    window.dispatchEvent(new Event("resize")); // charts fill their new places
  }

  const ACTIONS = {
    tour: () => window.tinylab.tour.start(),
    glossary: () => window.tinylab.glossary.open(),
    dark: toggleDark,
    projector: toggleProjector,
    link: () => window.tinylab.copyLink?.(),
  };

  return {
    // How much larger everything is than usual.
    get scale() { return views.has("projector") ? 1.35 : 1; },

    // Put the words of the page's language on the buttons of the header, and have them work.
    mount(element) {
      const { tinylab } = window;
      bar = element.querySelector(".tl-tools");
      for (const each of [bar, ...bar.querySelectorAll("[data-text]")]) {
        const words = tinylab.text(each.dataset.text);
        if (each.matches("button")) each.textContent = words; else each.setAttribute("aria-label", words);
      }
      const menu = bar.querySelector("select");
      menu.value = tinylab.language;
      menu.addEventListener("change", () => tinylab.speak(menu.value));
      bar.addEventListener("click", (event) => ACTIONS[event.target.closest("button")?.dataset.tool]?.());
      showState();
      tinylab.tour?.offer();
    },
  };
})();
