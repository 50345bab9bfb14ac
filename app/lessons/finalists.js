// The choice of the rules against the choice of the search, seed by seed.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, predict, draw, whenSeen } = window.tinylab.lessons;
const { paint, canvas, cells, maskOf } = window.tinylab.digits;

whenSeen(root, server, (facts) => {
  const { first, learned } = facts;
  const words = { first: first.kept, learned: learned.kept, rules: first.rules, all: number(facts.all, 0), rank: learned.rank,
    before: number(first.before), learned_before: number(learned.before), after: number(first.after, 5), learned_after: number(learned.after, 5),
    better: facts.better, same: facts.same, seeds: facts.seeds, difference: number(Math.abs(facts.difference), 5), error: number(facts.error, 5) };
  const card = (key, choice) => {
    const picture = canvas(text("cut.digits_of_choice", { kept: choice.kept }));
    paint(picture, facts.digits, maskOf(choice.kept), 5);
    return h("figure", {}, h("figcaption", {}, h("b", {}, text(key, words)), ` ${text("cut.loss_now", { loss: number(choice.before) })}`), cells(maskOf(choice.kept)), picture);
  };
  root.append(
    say("cut.finalists", words),
    predict({
      question: text("cut.who_wins"),
      options: [text("cut.rules_choice"), text("cut.lab_choice"), text("cut.no_difference")],
      right: facts.difference < 0 ? 1 : 0,
      before: h("div", { class: "lesson-compare" }, card("cut.rules_choice", first), card("cut.lab_choice", learned)),
      reveal: (shown) => {
        const slot = h("div", {});
        shown.append(say("cut.won", words), slot, say("cut.why", words), say("cut.honest", words));
        draw(slot, facts.figure, { x: text("cut.seed"), y: text("cut.y"), alt: text("cut.seeds_alt", words) });
      },
    }),
  );
});
