// Does damage add up?
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, predict, draw, whenSeen } = window.tinylab.lessons;

whenSeen(root, server, (facts) => {
  const words = { mild: facts.mild, sum: number(facts.sum), together: number(facts.together), ratio: number(facts.ratio, 1), neighbours: number(facts.neighbours, 1), less: facts.less, pairs: facts.pairs, less_first: facts.less_first };
  root.append(
    say("block.two", words),
    predict({
      question: text("block.adds_up", words),
      options: [text("block.less"), text("block.as_much"), text("block.more")],
      right: facts.ratio > 1.2 ? 2 : facts.ratio < 0.8 ? 0 : 1,
      reveal: (shown) => shown.append(say("block.two_truth", words), pairs()),
    }),
  );

  // Then every pair, which needs a guess of its own: the map would tell.
  function pairs() {
    return predict({
      question: text("block.pair_question"),
      options: [text("block.pair_late"), text("block.pair_early"), text("block.pair_neighbours")],
      right: 1,
      reveal: (shown) => {
        const slot = h("div", {});
        shown.append(say("block.heatmap", words), slot);
        draw(slot, facts.figure, { x: text("common.block_axis"), y: text("common.block_axis"), alt: text("block.heatmap_alt", words) });
      },
    });
  }
});
