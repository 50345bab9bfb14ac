// What a figure says to those who do not see it: a sentence, a table, a file. Made from what is drawn, nothing else.
window.tinylab.alternatives = (() => {
  const MOST = 60; // rows of a table in the page
  const plain = (text) => String(text ?? "").replace(/<br\s*\/?>/g, " ").replace(/<[^>]*>/g, "")
    .replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
  const short = (value) => (isNumber(value) ? String(Number(value.toPrecision(5))) : plain(value));
  const title = (figure) => plain(figure.layout.title?.text);
  // Those that carry data: not the lines between dots, nor entries that are for the legend alone.
  const drawn = (figure) => figure.data.filter((trace) => trace.hoverinfo !== "skip" && trace.visible !== false
    && (trace.type === "heatmap" || lengthOf(trace) > 0));
  const lengthOf = (trace) => {
    const x = trace.x ?? [], y = trace.y ?? [], count = Math.max(x.length, y.length);
    for (let i = 0; i < count; i++) if (x[i] !== null && y[i] !== null) return count;
    return 0;
  };
  const axisTitle = (figure, axis) => plain(figure.layout[`${axis}axis`]?.title?.text) || axis;

  // Head and rows of all that is drawn. Of a heatmap the longer side goes down; of others every point is a row.
  function rowsOf(figure) {
    const traces = drawn(figure), map = traces.find((trace) => trace.type === "heatmap");
    if (map) return mapRows(figure, map);
    const { text } = window.tinylab;
    const head = [text("header.data.trace"), axisTitle(figure, "x"), axisTitle(figure, "y")];
    const rows = traces.flatMap((trace, number) => Array.from({ length: lengthOf(trace) }, (_, i) =>
      [plain(trace.name ?? `${number + 1}`), trace.x?.[i] ?? i, trace.y?.[i] ?? i])).filter(([, x, y]) => x !== null && y !== null);
    return traces.length === 1 && !traces[0].name ? { head: head.slice(1), rows: rows.map((row) => row.slice(1)) } : { head, rows };
  }

  function mapRows(figure, { x, y, z }) {
    if (x.length > y.length) {
      return { head: [axisTitle(figure, "x"), ...y.map(plain)], rows: x.map((value, i) => [value, ...z.map((row) => row[i])]) };
    }
    return { head: [axisTitle(figure, "y"), ...x.map(plain)], rows: y.map((value, i) => [plain(value), ...(z[i] ?? [])]) };
  }

  // At most so many rows, evenly, the first and the last among them.
  function thinned(rows, most = MOST) {
    if (rows.length <= most) return rows;
    return Array.from({ length: most }, (_, i) => rows[Math.round((i * (rows.length - 1)) / (most - 1))]);
  }

  function cell(name, value, scope) {
    const made = document.createElement(name);
    made.textContent = short(value);
    if (scope) made.scope = scope;
    if (isNumber(value)) made.className = "number";
    return made;
  }

  function filled(key, values) {
    return window.tinylab.text(key).replace(/\{(\w+)\}/g, (_, name) => short(values[name]));
  }

  function spoken(trace, number) {
    const name = plain(trace.name ?? `${number + 1}`), numbers = (trace.orientation === "h" ? trace.x : trace.y) ?? [];
    if (trace.type === "bar") {
      const names = (trace.orientation === "h" ? trace.y : trace.x) ?? [];
      return filled("header.data.bars", { name, values: thinned(numbers.map((value, i) => `${plain(names[i])} ${short(value)}`), 12).join(", ") });
    }
    const dots = trace.mode === "markers" && typeof trace.y?.[0] === "string"; // names on y, values on x
    const values = [...(dots ? trace.x : numbers)].filter(isNumber);
    if (!values.length) return name;
    let [min, max] = [Infinity, -Infinity];
    for (const value of values) { min = Math.min(min, value); max = Math.max(max, value); }
    return filled("header.data.summary", { name, count: values.length, first: values[0], last: values.at(-1), min, max });
  }

  function spokenMap({ x, y, z }) {
    let [min, max, best] = [Infinity, -Infinity, 0];
    for (const row of z) for (const value of row) if (isNumber(value)) { min = Math.min(min, value); max = Math.max(max, value); }
    z.forEach((row, i) => { if ((row.at(-1) ?? -Infinity) > (z[best].at(-1) ?? -Infinity)) best = i; });
    return filled("header.data.heatmap", { rows: y.length, columns: x.length, min, max, best: y[best] });
  }

  const quoted = (value) => {
    const text = isNumber(value) ? String(value) : plain(value);
    const safe = isNumber(value) || !/^[=+\-@\t]/.test(text) ? text : `'${text}`; // no sheet takes a name for a formula
    return /[",\n\r]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
  };

  return {
    // A sentence for each line that is drawn.
    summary(figure) {
      const traces = drawn(figure);
      if (!traces.length) return window.tinylab.text("header.data.none");
      const said = traces.slice(0, 12).map((trace, i) => (trace.type === "heatmap" ? spokenMap(trace) : spoken(trace, i)));
      return `${title(figure)}. ${said.join(". ")}.`;
    },

    table(figure) {
      const { head, rows } = rowsOf(figure), shown = thinned(rows), place = document.createElement("div");
      place.className = "tl-scroll tl-data";
      place.tabIndex = 0;
      place.setAttribute("role", "region");
      place.setAttribute("aria-label", title(figure));
      const table = document.createElement("table");
      table.className = "tl-table";
      table.createCaption().textContent = shown.length < rows.length
        ? `${title(figure)}. ${filled("header.data.thinned", { shown: shown.length, all: rows.length })}` : title(figure);
      table.createTHead().insertRow().append(...head.map((words) => cell("th", words, "col")));
      const body = table.createTBody();
      for (const row of shown) body.insertRow().append(...row.map((value, i) => (i ? cell("td", value) : cell("th", value, "row"))));
      place.append(table);
      return place;
    },

    csv(figure) {
      const { head, rows } = rowsOf(figure);
      return [head, ...rows].map((row) => row.map(quoted).join(",")).join("\r\n") + "\r\n";
    },
  };
})();
