// What the losses of recovery are worth.
const root = element.querySelector(".lesson-widget");
const { h, text, say, number, percent, predict, draw, whenSeen } = window.tinylab.lessons;

whenSeen(root, server, (facts) => {
  const { means } = facts, names = Object.keys(means), name = (key) => text(`distil.recipe_${key}`);
  const words = { ...Object.fromEntries(names.map((key) => [key, number(means[key], 5)])), full: number(facts.full), seeds: facts.seeds, regained: percent(facts.regained, 0),
    head: number(Math.abs(means.feature - means.logit), 5) };
  const gain = means.diffusion - means.logit, more = means.logit - means.masked;
  const answers = ["help_output", "help_hidden", "help_none"];
  root.append(
    say("distil.recipes_intro", words),
    predict({
      question: text("distil.what_helps"),
      options: answers.map((key) => text(`distil.${key}`)),
      right: answers.indexOf(gain > 5 * Math.abs(more) ? "help_output" : "help_hidden"),
      reveal: (shown) => {
        const slot = h("div", {}), figure = structuredClone(facts.figure);
        figure.data[0].y = figure.data[0].y.map(name);
        shown.append(say("distil.recipes_truth", words), slot, say("distil.paper", words));
        draw(slot, figure, { x: text("common.loss_axis"), y: "", alt: text("distil.recipes_alt", words) });
      },
    }),
  );
});
