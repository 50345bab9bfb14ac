// Browser half of app/page/header.py. Gradio runs this with: element, server.
const chip = element.querySelector(".tl-line");
const EVERY = 10_000; // milliseconds

const fill = (key, ...values) => values.reduce((text, value) => text.replace("{}", value), window.tinylab.text(key));

function words({ working, waiting, own }) {
  const parts = [];
  if (working) parts.push(fill("lab.line_working", working));
  if (waiting) parts.push(fill("lab.line_waiting", waiting));
  if (own?.place) {
    const minutes = own.seconds === null ? null : Math.max(1, Math.round(own.seconds / 60));
    parts.push(minutes === null ? fill("lab.line_place", own.place) : fill("lab.line_place_in", own.place, minutes));
  }
  return parts.join(" · ");
}

async function look() {
  if (!element.isConnected) return;
  if (!document.hidden) {
    try {
      const found = await server.ask({});
      chip.hidden = !(found.working || found.waiting);
      chip.textContent = words(found);
      chip.href = found.own ? `?run=${encodeURIComponent(found.own.run)}` : "#";
    } catch { /* the panels say that the lab is away */ }
  }
  setTimeout(look, EVERY);
}

look();
