// Two choices, one of which looks far better right after the cut; then every candidate falls to where training takes it.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, predict, draw, calm, whenSeen } = window.tinylab.lessons;
const { paint, canvas, cells, maskOf } = window.tinylab.digits;
const signed = (value) => number(value, 2).replace("-", "−");
const LENGTH = 1500, PAUSE = 40; // of the animation, and between two pictures of it, milliseconds

whenSeen(root, server, (facts) => {
  const [fallen, risen] = facts.pair, slot = h("div", {});
  const names = ["A", "B"];
  const cards = facts.pair.map((each, i) => {
    const picture = canvas(text("cut.digits_of_choice", { kept: each.kept }));
    paint(picture, facts.digits, maskOf(each.kept), 5);
    return h("figure", {}, h("figcaption", {}, h("b", {}, names[i]), ` ${text("cut.loss_now", { loss: number(each.before) })}`), cells(maskOf(each.kept)), picture);
  });

  // Before the fine-tuning only the axis of the loss right after the cut says something: all dots hang at the top.
  const after = facts.figure.data.map((trace) => [...trace.y]);
  const ceiling = Math.max(...after.flat()) * 1.03;
  const hang = (share) => facts.figure.data.map((trace, k) => ({ ...trace, y: after[k].map((y) => ceiling * (y / ceiling) ** share) }));
  function show(share) {
    const { layout } = facts.figure, told = share > 0;
    const yaxis = { ...layout.yaxis, showticklabels: told, range: [layout.yaxis.range[0], Math.log10(ceiling * 1.08)] };
    const shown = { data: hang(share), layout: { ...layout, yaxis, ...(told ? {} : { shapes: [], annotations: [] }) } };
    draw(slot, shown, { x: text("cut.x"), y: told ? text("cut.y") : "", alt: text(told ? "cut.scatter" : "cut.scatter_before", { all: facts.finetuned }) });
    root.dataset.share = share;
  }
  async function fall() {
    const begin = performance.now();
    for (let share = calm() ? 1 : 0; ; share = Math.min(1, (performance.now() - begin) / LENGTH)) {
      show(share ** 2);
      if (share === 1) return;
      await new Promise((wake) => setTimeout(wake, PAUSE));
    }
  }

  const words = { finetuned: number(facts.finetuned, 0), all: number(facts.all, 0), a: number(fallen.before), b: number(risen.before),
    a_after: number(fallen.after), b_after: number(risen.after), a_rank: number(fallen.rank, 0), b_rank: number(risen.rank, 0),
    correlation: signed(facts.correlation), with_first: signed(facts.with_first), without_first: signed(facts.without_first),
    one_before: number(facts.early["1"][0], 2), one_after: number(facts.early["1"][1], 3), four_before: number(facts.early["4"][0], 2), four_after: number(facts.early["4"][1], 3),
    times: number(facts.best / facts.full, 1), full: number(facts.full) };

  // What is marked in the picture, in numbers.
  function table() {
    const titles = ["table_name", "table_kept", "table_before", "table_after", "table_rank"].map((key) => h("th", { scope: "col" }, text(`cut.${key}`, words)));
    const rows = facts.table.map((each) => h("tr", {}, h("th", { scope: "row" }, each.names.join(", ")),
      ...[each.kept, number(each.before), number(each.after, 5), number(each.rank, 0)].map((value) => h("td", {}, value))));
    return h("details", { class: "lesson-details" }, h("summary", {}, text("cut.table")),
      h("div", { class: "lesson-scroll" }, h("table", { class: "tl-table" }, h("thead", {}, h("tr", {}, ...titles)), h("tbody", {}, ...rows))), say("cut.table_note", words));
  }
  const below = h("div", {});
  root.append(
    say("cut.training", words),
    predict({
      question: text("cut.which_ends_lower"),
      options: names.map((name, i) => text("cut.option", { name, kept: facts.pair[i].kept })),
      right: 1,
      before: h("div", { class: "lesson-compare" }, ...cards),
      reveal: (shown) => { fall(); shown.append(say("cut.turned", words)); below.append(table()); },
    }),
    slot,
    h("p", { class: "tl-note" }, text("cut.dots", words)),
    below,
  );
  show(0);
});
