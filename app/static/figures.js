// Figures are saved as they are seen, zoomed and all, but dark on white: for paper and slides. Nothing is sent.
tinylab.figures = {
  // A line of buttons below the figure that is drawn in `slot`; `name` is that of the files.
  foot(slot, name) {
    if (slot.querySelector(":scope > .tl-save")) return;
    const foot = document.createElement("div");
    foot.className = "tl-save";
    for (const format of ["png", "svg"]) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = format.toUpperCase();
      button.setAttribute("aria-label", `Save this figure as ${format.toUpperCase()}`);
      button.addEventListener("click", () => this.save(slot, name(), format));
      foot.append(button);
    }
    slot.append(foot);
  },

  save(slot, filename, format) {
    const { layout, data } = slot;
    const paper = { paper_bgcolor: "white", plot_bgcolor: "white", font: { ...layout.font, color: "#1f2937" } };
    const { width, height } = layout, scale = format === "png" ? 2 : 1;
    return window.Plotly.downloadImage({ data, layout: { ...layout, ...paper } }, { format, filename, width, height, scale });
  },
};
