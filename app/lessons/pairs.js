// Does damage add up?
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, predict, draw, whenSeen } = window.tinylab.lessons;

whenSeen(root, server, (facts) => {
  const words = { mild: facts.mild, sum: number(facts.sum), together: number(facts.together), ratio: number(facts.ratio, 1), neighbours: number(facts.neighbours, 1) };
  root.append(
    say("block.two", words),
    predict({
      question: text("block.adds_up", words),
      options: [text("block.less"), text("block.as_much"), text("block.more")],
      right: facts.ratio > 1.2 ? 2 : facts.ratio < 0.8 ? 0 : 1,
      reveal: (shown) => {
        const slot = h("div", {});
        shown.append(say("block.two_truth", words), slot, say("block.heatmap", words));
        draw(slot, facts.figure, { x: text("common.block_axis"), y: text("common.block_axis"), alt: text("block.heatmap_alt", words) });
      },
    }),
  );
});
