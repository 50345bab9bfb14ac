// Which block hurts most?
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, predict, draw, whenSeen } = window.tinylab.lessons;
const { paint, canvas } = window.tinylab.digits;

whenSeen(root, server, (facts) => {
  const count = facts.losses.length, full = (1 << count) - 1;
  const words = { worst: facts.worst, mildest: facts.mildest, full: number(facts.full), loss: number(facts.losses[facts.worst]),
    mild: number(facts.losses[facts.mildest]), times: number(facts.losses[facts.worst] / facts.full, 0) };
  root.append(
    say("block.one"),
    predict({
      question: text("block.which_one"),
      options: facts.losses.map((_, i) => String(i)),
      right: facts.worst,
      reveal: (shown, picked) => {
        const slot = h("div", {}), asked = [...new Set([facts.worst, picked, facts.mildest])];
        const cards = asked.map((i) => {
          const picture = canvas(text("block.without", { i }));
          paint(picture, facts.digits, full ^ (1 << i), 5);
          return h("figure", {}, h("figcaption", {}, `${text("block.without", { i })}: ${number(facts.losses[i])}`), picture);
        });
        shown.append(say("block.one_truth", words), slot, h("div", { class: "lesson-compare" }, ...cards));
        draw(slot, facts.figure, { x: text("common.block_axis"), y: text("common.loss_axis"), alt: text("block.bars_alt", words) });
      },
    }),
  );
});
