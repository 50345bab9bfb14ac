// The recorded digits of every way to switch the blocks on and off.
tinylab.digits = (() => {
  const SIDE = 8, DIGITS = 10, sprites = {};

  // The picture with all digits, asked for once.
  const sprite = (url) => (sprites[url] ??= new Promise((done, failed) => {
    const image = new Image();
    image.onload = () => done(image);
    image.onerror = failed;
    image.src = url;
  }));

  // Draw the ten digits of `mask` into a canvas, `columns` beside each other.
  async function paint(canvas, { url, columns: perRow }, mask, columns = DIGITS) {
    canvas.dataset.wanted = mask;
    const image = await sprite(url);
    if (canvas.dataset.wanted !== String(mask)) return; // something newer was asked for meanwhile
    const rows = Math.ceil(DIGITS / columns), pen = canvas.getContext("2d");
    canvas.width = columns * (SIDE + 1) - 1;
    canvas.height = rows * (SIDE + 1) - 1;
    const left = (mask % perRow) * SIDE * DIGITS, top = Math.floor(mask / perRow) * SIDE;
    for (let i = 0; i < DIGITS; i += 1) {
      const x = (i % columns) * (SIDE + 1), y = Math.floor(i / columns) * (SIDE + 1);
      pen.drawImage(image, left + i * SIDE, top, SIDE, SIDE, x, y, SIDE, SIDE);
    }
    canvas.dataset.mask = mask;
  }

  const bits = (number) => number.toString(2).split("1").length - 1;
  const blocks = (mask, count = 12) => [...Array(count).keys()].filter((i) => (mask >> i) & 1);
  const maskOf = (kept) => kept.split(" ").reduce((mask, block) => mask | (1 << Number(block)), 0);

  function canvas(words) {
    return tinylab.lessons.h("canvas", { class: "lesson-digits", role: "img", "aria-label": words });
  }

  // Blocks as cells: filled ones are kept.
  function cells(mask, count = 12) {
    const { h } = tinylab.lessons;
    const all = [...Array(count).keys()].map((i) => h("i", { class: (mask >> i) & 1 ? "on" : "off" }, String(i)));
    return h("div", { class: "tl-cells", role: "img", "aria-label": blocks(mask, count).join(" ") }, ...all);
  }

  return { paint, bits, blocks, maskOf, canvas, cells };
})();
