// Two choices, one of which looks far better right after the cut; then every candidate falls to where training takes it.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, predict, draw, calm, whenSeen } = window.tinylab.lessons;
const { paint, canvas, cells, maskOf } = window.tinylab.digits;
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
    correlation: number(facts.correlation, 2), full: number(facts.full) };
  root.append(
    say("cut.training", words),
    predict({
      question: text("cut.which_ends_lower"),
      options: names.map((name, i) => text("cut.option", { name, kept: facts.pair[i].kept })),
      right: 1,
      before: h("div", { class: "lesson-compare" }, ...cards),
      reveal: (shown) => { fall(); shown.append(say("cut.turned", words)); },
    }),
    slot,
    h("p", { class: "tl-note" }, text("cut.dots", words)),
  );
  show(0);
});
