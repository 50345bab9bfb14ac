// Browser half of app/page/header.py. Gradio runs this with: element, server.
const chip = element.querySelector(".tl-queue");
const EVERY = 10_000; // milliseconds

const fill = (key, ...values) => values.reduce((text, value) => text.replace("{}", value), window.tinylab.text(key));

function words({ working, waiting, own }) {
  const parts = [];
  if (working) parts.push(fill("lab.queue_working", working));
  if (waiting) parts.push(fill("lab.queue_waiting", waiting));
  if (own?.place) {
    const minutes = own.seconds === null ? null : Math.max(1, Math.round(own.seconds / 60));
    parts.push(minutes === null ? fill("lab.queue_place", own.place) : fill("lab.queue_place_in", own.place, minutes));
  }
  return parts.join(" · ");
}

async function poll() {
  if (!element.isConnected) return;
  if (!document.hidden) {
    try {
      const found = await server.ask({});
      chip.hidden = !(found.working || found.waiting);
      chip.textContent = words(found);
      chip.href = found.own ? `?run=${encodeURIComponent(found.own.run)}` : "#";
    } catch { /* the panels say that the lab is away */ }
  }
  setTimeout(poll, EVERY);
}

poll();
