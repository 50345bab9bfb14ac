// The guided tour: a light on one thing after the other, with a few words beside it (texts of tour.toml). Next, Back and
// End, the arrow keys and Escape; the focus stays within and goes back to where it was. Offered once.
window.tinylab.tour = (() => {
  const { tinylab } = window;
  const STOPS = [ // the text, the tab that is opened for it, and what it is about: the first of these that is in sight
    { name: "model", tab: "load", about: ["#load-card .tl-cells", "#load-card"] },
    { name: "search", tab: "search", about: ["#search-start"] },
    { name: "heatmap", tab: "search", about: ["#search-live [data-slot=heatmap]", "#search-live .tl-hint", "#search-live"] },
    { name: "formula", tab: "search", about: ["#search-formula"] },
    { name: "compare", tab: "compare", about: ["#compare-live [data-slot=losses]", "#compare-methods"] },
    { name: "finetune", tab: "finetune", about: ["#finetune-recipe"] },
    { name: "generate", tab: "generate", about: ["#sample-against"] },
    { name: "measure", tab: "measure", about: ["#evaluate-against", "#measure-parts"] },
    { name: "tools", tab: null, about: [".tl-tools"] },
  ];
  const SEEN = "tinylab-tour-seen", GAP = 12;
  const text = (key) => tinylab.text(`tour.${key}`);
  let box = null, light = null, place = 0, before = null, waiting = 0;

  const seen = () => { try { return localStorage.getItem(SEEN) === "yes"; } catch { return true; } };
  const remember = () => { try { localStorage.setItem(SEEN, "yes"); } catch { /* a page without storage offers nothing */ } };
  const inSight = (element) => element && element.getClientRects().length > 0;
  const found = (stop) => stop.about.map((selector) => document.querySelector(selector)).find(inSight);

  function button(act, words) {
    const made = Object.assign(document.createElement("button"), { type: "button", textContent: words });
    made.dataset.act = act;
    return made;
  }

  function build() {
    light = Object.assign(document.createElement("div"), { className: "tl-light" });
    box = Object.assign(document.createElement("div"), { className: "tl-tour", id: "tl-tour", tabIndex: -1 });
    for (const [name, value] of Object.entries({ role: "dialog", "aria-modal": "true", "aria-labelledby": "tl-tour-place", "aria-describedby": "tl-tour-text", translate: "no" })) {
      box.setAttribute(name, value);
    }
    box.innerHTML = '<p class="tl-note" id="tl-tour-place"></p><p id="tl-tour-text"></p><div class="tl-tour-buttons"></div>';
    box.lastChild.append(button("end", text("end")), button("back", text("back")), button("next", text("next")));
    box.addEventListener("click", (event) => {
      const act = event.target.closest("button")?.dataset.act;
      if (act === "end") end(); else if (act) go(place + (act === "next" ? 1 : -1));
    });
    document.body.append(light, box);
  }

  function start() {
    remember();
    tinylab.tips.hide();
    document.querySelector(".tl-offer")?.remove();
    if (box) return;
    before = document.activeElement;
    build();
    document.addEventListener("keydown", press, true);
    window.addEventListener("resize", put);
    document.addEventListener("scroll", put, { capture: true, passive: true });
    go(0);
  }

  function end() {
    if (!box) return;
    waiting += 1;
    box.remove();
    light.remove();
    box = light = null;
    document.removeEventListener("keydown", press, true);
    window.removeEventListener("resize", put);
    document.removeEventListener("scroll", put, { capture: true });
    if (before?.isConnected) before.focus();
  }

  function press(event) {
    const act = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") end();
    else if (act) go(place + act);
    else if (event.key === "Tab") turn(event.shiftKey);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  // Tab goes round within the box.
  function turn(backwards) {
    const buttons = [...box.querySelectorAll("button:not([disabled])")], at = buttons.indexOf(document.activeElement);
    buttons.at((at + (backwards ? -1 : 1) + (at < 0 && backwards ? 1 : 0)) % buttons.length).focus();
  }

  async function go(number) {
    if (number >= STOPS.length) return end();
    place = Math.max(0, number);
    const stop = STOPS[place], mine = ++waiting;
    if (stop.tab) document.querySelector(`#tab-${stop.tab}-button`)?.click();
    const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    for (let tries = 0; tries < 40 && !found(stop); tries++) await new Promise((resolve) => setTimeout(resolve, 50));
    if (mine !== waiting || !box) return; // somebody was faster
    found(stop)?.scrollIntoView({ block: "center", behavior: calm ? "auto" : "smooth" });
    box.dataset.stop = stop.name;
    box.querySelector("#tl-tour-place").textContent = text("place").replace("{number}", place + 1).replace("{count}", STOPS.length);
    box.querySelector("#tl-tour-text").textContent = text(`stop.${stop.name}`);
    box.querySelector("[data-act=back]").disabled = place === 0;
    box.querySelector("[data-act=next]").textContent = text(place + 1 === STOPS.length ? "done" : "next");
    put();
    box.querySelector("[data-act=next]").focus({ preventScroll: true });
  }

  // The light around what the stop is about, the box below or above it, within the window.
  function put() {
    if (!box) return;
    const element = found(STOPS[place]), { width, height } = box.getBoundingClientRect();
    const around = element?.getBoundingClientRect() ?? new DOMRect(window.innerWidth / 2, window.innerHeight / 2, 0, 0);
    const top = Math.max(4, around.top - 6), bottom = Math.min(window.innerHeight - 4, around.bottom + 6);
    Object.assign(light.style, { left: `${around.left - 6}px`, top: `${top}px`, width: `${around.width + 12}px`, height: `${Math.max(0, bottom - top)}px` });
    const left = Math.max(GAP, Math.min(around.left, window.innerWidth - width - GAP));
    const below = bottom + GAP + height < window.innerHeight, above = top - GAP - height > 0;
    const lowest = window.innerHeight - height - GAP, y = below ? bottom + GAP : above ? top - GAP - height : lowest;
    Object.assign(box.style, { left: `${left}px`, top: `${Math.max(0, Math.min(y, lowest))}px` }); // also while it scrolls
  }

  // A small line below the header, once; it stands in the way of nothing.
  function offer() {
    if (seen() || document.querySelector(".tl-offer")) return;
    const bar = Object.assign(document.createElement("div"), { className: "tl-offer" });
    bar.setAttribute("translate", "no");
    const yes = button("yes", text("offer_yes")), no = button("no", text("offer_no"));
    yes.addEventListener("click", start);
    no.addEventListener("click", () => { remember(); bar.remove(); });
    bar.append(Object.assign(document.createElement("span"), { textContent: text("offer") }), yes, no);
    (document.querySelector(".tl-top") ?? document.body).append(bar);
  }

  return { start, end, offer, stops: STOPS.map((stop) => stop.name) };
})();
