// Figures are saved as they are seen, zoomed and all, but dark on white: for paper and slides. Nothing is sent.
window.tinylab.figures = (() => {
  function buttons(slot, name) {
    const { figures, text } = window.tinylab, foot = document.createElement("div");
    foot.className = "tl-save";
    const add = (act, words, label, press) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = words;
      button.dataset.act = act;
      button.setAttribute("aria-label", label);
      button.addEventListener("click", () => press(button));
      foot.append(button);
      return button;
    };
    const data = add("data", text("header.data.show"), text("header.data.show_label"), (button) => figures.toggleData(slot, button));
    data.setAttribute("aria-expanded", "false");
    add("csv", "CSV", text("header.data.csv_label"), () => figures.saveCsv(slot, name()));
    for (const format of ["png", "svg"]) {
      const words = format.toUpperCase();
      add(format, words, text("header.data.save_label").replace("{format}", words), () => figures.save(slot, name(), format));
    }
    return foot;
  }

  // The sentence that describes the figure.
  function unseen(slot) {
    const sentence = document.createElement("p");
    sentence.className = "tl-unseen";
    sentence.id = `tl-said-${Math.random().toString(36).slice(2)}`;
    slot.setAttribute("aria-describedby", sentence.id);
    return sentence;
  }

  return {
    // A line of buttons below the figure that is drawn in `slot`, and what it says to those who do not see it; `name` is
    // that of the files. Called on every redraw: the table is made again only while it is open.
    foot(slot, name) {
      const { alternatives, text } = window.tinylab;
      if (!slot.querySelector(":scope > .tl-save")) slot.append(buttons(slot, name), unseen(slot));
      slot.querySelector(":scope > .tl-unseen").textContent = alternatives.summary(slot);
      const open = slot.querySelector(":scope > .tl-data"), button = slot.querySelector("[data-act=data]");
      if (!open) return;
      const fresh = alternatives.table(slot), { scrollTop, scrollLeft } = open;
      open.replaceWith(fresh);
      Object.assign(fresh, { scrollTop, scrollLeft });
      button.setAttribute("aria-label", text("header.data.hide_label"));
    },

    save(slot, filename, format) {
      const { layout, data } = slot;
      const paper = { paper_bgcolor: "white", plot_bgcolor: "white", font: { ...layout.font, color: "#1f2937" } };
      const { width, height } = layout, scale = format === "png" ? 2 : 1;
      return window.Plotly.downloadImage({ data, layout: { ...layout, ...paper } }, { format, filename, width, height, scale });
    },

    saveCsv(slot, filename) {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([window.tinylab.alternatives.csv(slot)], { type: "text/csv;charset=utf-8" }));
      link.download = `${filename}.csv`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    },

    // Show or hide the table of what is drawn.
    toggleData(slot, button) {
      const open = slot.querySelector(":scope > .tl-data"), { alternatives, text } = window.tinylab;
      if (open) open.remove(); else slot.append(alternatives.table(slot));
      button.setAttribute("aria-expanded", String(!open));
      button.setAttribute("aria-label", text(open ? "header.data.show_label" : "header.data.hide_label"));
    },
  };
})();
