// Tables are sorted by a click on a title, in the page alone: by the numbers behind the words, as `Table.sorted_by`
// does. What is pinned stays on top, what stands aside stays below, and what is not known comes after what is.
tinylab.tables = (() => {
  const NEXT = { "": "ascending", ascending: "descending", descending: "" };
  const WORDS = { inf: Infinity, "-inf": -Infinity, nan: NaN }; // numbers that Python writes in another way

  // What a cell is sorted by: a number, lower-case text, or null if there is nothing.
  function valueOf(cell) {
    const text = cell.dataset.value ?? "";
    if (text === "") return null;
    if (!cell.classList.contains("number")) return text.toLowerCase();
    const number = text in WORDS ? WORDS[text] : Number(text);
    return Number.isNaN(number) ? null : number;
  }

  // Numbers before text.
  function compare(a, b) {
    if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
    return a < b ? -1 : a > b ? 1 : 0;
  }

  function sort(table, place, descending) {
    const rows = [...table.tBodies[0].rows], of = (row) => valueOf(row.cells[place]);
    const top = rows.filter((row) => row.classList.contains("pinned"));
    const below = rows.filter((row) => !top.includes(row) && row.classList.contains("aside"));
    const between = rows.filter((row) => !top.includes(row) && !below.includes(row));
    const known = between.filter((row) => of(row) !== null), rest = between.filter((row) => of(row) === null);
    known.sort((a, b) => (descending ? compare(of(b), of(a)) : compare(of(a), of(b))));
    table.tBodies[0].append(...top, ...known, ...rest, ...below);
  }

  function dressTitle(title, order) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "tl-sort";
    button.append(...title.childNodes);
    title.append(button);
    if (order?.column === title.dataset.column) title.setAttribute("aria-sort", order.side);
  }

  return {
    // Make the titles of all tables below `root` buttons, and bring the rows into the order that was asked for.
    dress(root, orders) {
      for (const table of root.querySelectorAll("table[data-table]")) {
        const titles = [...table.tHead.rows[0].cells], order = orders[table.dataset.table];
        const place = titles.findIndex((title) => title.dataset.column === order?.column);
        titles.forEach((title) => dressTitle(title, order));
        if (place >= 0) sort(table, place, order.side === "descending");
      }
    },

    // After a click on a title: upwards, downwards, as it came.
    turn(title, orders) {
      const table = title.closest("table[data-table]"), side = NEXT[title.getAttribute("aria-sort") ?? ""];
      orders[table.dataset.table] = side ? { column: title.dataset.column, side } : undefined;
    },
  };
})();
