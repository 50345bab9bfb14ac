// The choice of the rules against the choice of the search, seed by seed.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, percent, predict, draw, whenSeen } = window.tinylab.lessons;
const { paint, canvas, cells, maskOf } = window.tinylab.digits;

whenSeen(root, server, (facts) => {
  const { first, learned } = facts;
  const words = { first: first.kept, learned: learned.kept, rules: first.rules, all: number(facts.all, 0), draws: number(facts.draws, 0), rank: learned.rank,
    before: number(first.before), learned_before: number(learned.before), after: number(first.after, 5), learned_after: number(learned.after, 5),
    better: facts.better, same: facts.same, seeds: facts.seeds, difference: number(Math.abs(facts.difference), 5), error: number(facts.error, 5),
    gap: percent(Math.abs(facts.difference) / first.after) };
  const answers = ["lab_choice", "no_difference", "rules_choice"];
  const card = (key, choice) => {
    const picture = canvas(text("cut.digits_of_choice", { kept: choice.kept }));
    paint(picture, facts.digits, maskOf(choice.kept), 5);
    return h("figure", {}, h("figcaption", {}, h("b", {}, text(key, words)), ` ${text("cut.loss_now", { loss: number(choice.before) })}`), cells(maskOf(choice.kept)), picture);
  };
  root.append(
    say("cut.finalists", words),
    predict({
      question: text("cut.who_wins"),
      options: answers.map((key) => text(`cut.${key}`)),
      right: answers.indexOf(facts.difference < 0 ? "lab_choice" : "rules_choice"),
      before: h("div", { class: "lesson-compare" }, card("cut.rules_choice", first), card("cut.lab_choice", learned)),
      reveal: (shown, picked) => {
        const slot = h("div", {});
        if (answers[picked] === "no_difference") shown.append(say("cut.close", words));
        shown.append(say("cut.won", words), slot, say("cut.why", words), say("cut.honest", words));
        draw(slot, facts.figure, { x: text("cut.seed"), y: text("cut.y"), alt: text("cut.seeds_alt", words) });
      },
    }),
  );
});
