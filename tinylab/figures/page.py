"""Figures in one HTML file that needs nothing else: no network, no server."""

import html
from collections.abc import Sequence
from typing import Any

from plotly.io.json import to_json_plotly
from plotly.offline import get_plotlyjs

__all__ = ["figure_block", "html_page", "page"]

_STYLE = "body{font-family:sans-serif;color:#222;background:#fff;margin:0 auto;padding:8px;max-width:960px}"
# Draws every figure of the page. Beside the picture as PNG there is one as SVG, and paper has another width.
_DRAW = """
(() => {
  const body = getComputedStyle(document.body);
  const font = { family: body.fontFamily, color: body.color };
  const save = (div, format) =>
    Plotly.downloadImage(div, {
      format, filename: div.id, width: div.clientWidth, height: div.clientHeight, scale: format === "png" ? 2 : 1,
    });
  const button = (format, icon) => ({
    name: format, title: "Save as " + format.toUpperCase(), icon: Plotly.Icons[icon], click: (div) => save(div, format),
  });
  const config = {
    responsive: true,
    displaylogo: false,
    modeBarButtonsToRemove: ["toImage", "lasso2d", "select2d", "autoScale2d"],
    modeBarButtonsToAdd: [button("png", "camera"), button("svg", "disk")],
  };
  const divs = [];
  for (const source of document.querySelectorAll("script[data-figure]")) {
    const figure = JSON.parse(source.textContent), div = document.getElementById(source.dataset.figure);
    const layout = Object.assign({}, figure.layout, { font: Object.assign({}, font, figure.layout.font) });
    const drawn = Plotly.newPlot(div, figure.data, layout, config);
    if (figure.frames) drawn.then(() => Plotly.addFrames(div, figure.frames));
    divs.push(div);
  }
  for (const moment of ["beforeprint", "afterprint"])
    addEventListener(moment, () => divs.forEach((div) => Plotly.Plots.resize(div)));
})();
"""


def page(title: str, body: str, *, style: str = _STYLE, script: str = "", draws: bool = True) -> str:
    """A whole page around `body`, which is HTML; `title` is text.

    Args:
        style, script: what the page has of its own.
        draws: whether there are figures, which need the library that draws them: 5 MB, in the page itself.
    """
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style>"
    )
    scripts = [get_plotlyjs(), _DRAW] if draws else []
    ends = "".join(f"<script>{text}</script>" for text in (*scripts, script) if text)
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{body}{ends}</body></html>\n'


def figure_block(figure: dict[str, Any], name: str, *, words: str = "") -> str:
    """The place of one figure in a page, and its data.

    Args:
        name: an id that no other figure of the page has; files that are saved from it are called so.
        words: what the figure shows, for those who do not see it; without any they hear the figure's own texts.
    """
    place, height = html.escape(name), figure["layout"]["height"]
    told = f' role="img" aria-label="{html.escape(words)}"' if words else ""
    data = to_json_plotly(figure).replace("</", "<\\/")  # no text in it can end the script
    return (
        f'<div id="{place}" class="plotly-graph-div"{told} style="width:100%;height:{height:g}px"></div>'
        f'<script type="application/json" data-figure="{place}">{data}</script>'
    )


def html_page(title: str, figures: Sequence[dict[str, Any]], *, words: str = "") -> str:
    """A page with these figures below each other, as wide as the window.

    Args:
        words: a sentence below the title.
    """
    parts = [figure_block(figure, f"figure-{index}") for index, figure in enumerate(figures)]
    head = f"<h1>{html.escape(title)}</h1><p>{html.escape(words)}</p>"
    return page(title, head + "\n".join(parts), draws=bool(figures))
