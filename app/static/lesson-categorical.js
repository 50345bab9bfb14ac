// A categorical of a few options: what is drawn from it, and the gradients that estimators pass back. The same formulas
// as tinylab/pruning/estimators.py; costs c make the loss of a drawn option D the sum of c * D.
tinylab.categorical = (() => {
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const dot = (a, b) => sum(a.map((value, i) => value * b[i]));

  function softmax(logits, tau = 1) {
    const top = Math.max(...logits), weights = logits.map((l) => Math.exp((l - top) / tau));
    return weights.map((w) => w / sum(weights));
  }

  // Noise for one draw; `random` gives numbers in [0, 1).
  const gumbel = (count, random = Math.random) =>
    Array.from({ length: count }, () => -Math.log(-Math.log(Math.min(1 - 1e-12, Math.max(1e-12, random())))));

  const scores = (logits, noise) => logits.map((l, i) => l + noise[i]);
  const soft = (logits, noise, tau) => softmax(scores(logits, noise), tau);
  function drawn(logits, noise) {
    const all = scores(logits, noise);
    return all.indexOf(Math.max(...all));
  }
  const hard = (logits, noise) => logits.map((_, i) => Number(i === drawn(logits, noise)));

  // The derivative of the sum of c * p by the logits of p.
  const pull = (p, costs) => p.map((value, i) => value * (costs[i] - dot(p, costs)));

  const exact = (logits, costs) => pull(softmax(logits), costs);
  const straightThrough = (logits, noise, tau, costs) => pull(soft(logits, noise, tau), costs).map((value) => value / tau);

  function reinmax(logits, noise, tau, costs) {
    const p = softmax(logits), relaxed = softmax(logits, tau), picked = hard(logits, noise);
    const middle = picked.map((d, i) => (d + relaxed[i]) / 2);
    const a = pull(middle, costs), b = pull(p, costs);
    return a.map((value, i) => 2 * value - b[i] / 2);
  }

  // Mean and deviation of a gradient over many draws.
  function average(estimate, logits, tau, costs, draws, random = Math.random) {
    const all = Array.from({ length: draws }, () => estimate(logits, gumbel(logits.length, random), tau, costs));
    const mean = logits.map((_, i) => sum(all.map((g) => g[i])) / draws);
    const deviation = logits.map((_, i) => Math.sqrt(sum(all.map((g) => (g[i] - mean[i]) ** 2)) / draws));
    return { mean, deviation };
  }

  // Numbers in [0, 1) that are the same on every page that begins with `seed` (mulberry32).
  function seeded(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  return { softmax, gumbel, soft, drawn, hard, exact, straightThrough, reinmax, average, seeded };
})();
