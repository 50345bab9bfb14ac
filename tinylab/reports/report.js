(() => {
  const number = (text) => (text !== "" && !isNaN(Number(text)) ? Number(text) : null);
  const compare = (a, b) => {
    const [x, y] = [number(a), number(b)];
    return x !== null && y !== null ? x - y : a.localeCompare(b, undefined, { numeric: true });
  };
  const sort = (table, index, title) => {
    const up = title.getAttribute("aria-sort") !== "ascending";
    table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
    title.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = table.tBodies[0], value = (row) => row.cells[index].dataset.value;
    const rows = [...body.rows].filter((row) => !row.matches(".pinned, .aside"));
    const known = rows.filter((row) => value(row) !== "").sort((a, b) => (up ? 1 : -1) * compare(value(a), value(b)));
    const last = [...body.rows].filter((row) => row.matches(".aside:not(.pinned)"));
    body.append(...known, ...rows.filter((row) => value(row) === ""), ...last);
  };
  for (const table of document.querySelectorAll("table[data-table]")) {
    [...table.tHead.rows[0].cells].forEach((title, index) => {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "sort" });
      button.append(...title.childNodes);
      button.addEventListener("click", () => sort(table, index, title));
      title.append(button);
    });
  }
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", async () => {
      const text = document.getElementById(button.dataset.copy).textContent;
      try {
        await navigator.clipboard.writeText(text);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
        button.textContent = "Selected";
      }
    });
  }
  document.querySelector("[data-print]")?.addEventListener("click", () => print());
})();
