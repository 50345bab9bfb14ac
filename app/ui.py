"""The page: a header and the tabs."""

from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from app.access.links import link_keeper
from app.access.visitors import visitor_of
from app.page.context import attach
from app.page.header import model_chip, queue_chip, tools
from app.page.lab import Lab
from app.tabs import TABS
from app.texts import text, words_script

__all__ = ["CSS", "HEAD", "THEME", "build_page"]

_STATIC = Path(__file__).parent / "static"
_PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"

_FIRST = ("page.js", "words.js")  # the other scripts of the page build on these, and not on each other


def _scripts() -> str:
    """All scripts of the page, in one element each."""
    # Those in `parts` are run by components.
    others = sorted(file.name for file in _STATIC.glob("*.js") if file.name not in _FIRST)
    texts = [words_script(), *((_STATIC / name).read_text() for name in (*_FIRST, *others))]
    return "".join(f"<script>{script}</script>" for script in texts)


CSS = "".join(file.read_text() for file in sorted(_STATIC.glob("*.css")))
# What draws charts is fetched at leisure, and run when the first chart is to be seen: running it takes half a second.
HEAD = f'<link rel="prefetch" as="script" id="tl-plotly" href="gradio_api/file={_PLOTLY.as_posix()}">{_scripts()}'
_SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
THEME = gr.themes.Soft(primary_hue="teal", secondary_hue="teal", neutral_hue="slate", font=_SANS, font_mono=_MONO).set(
    # Colours of text and buttons reach the contrast that small print needs (4.5 to 1).
    body_background_fill="*neutral_50",
    body_text_color_subdued="*neutral_500",
    block_background_fill="transparent",
    block_background_fill_dark="transparent",
    block_padding="0",
    block_title_background_fill="none",
    block_title_padding="0",
    block_title_text_color="*body_text_color",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_600",
    button_secondary_background_fill_hover_dark="*neutral_700",
    button_cancel_background_fill="#b42318",
    button_cancel_background_fill_dark="#b42318",
    button_cancel_background_fill_hover="#912018",
    button_cancel_background_fill_hover_dark="#d92d20",
    button_cancel_text_color="white",
    button_cancel_text_color_hover="white",
    checkbox_border_color="*neutral_400",
    checkbox_border_color_dark="*neutral_400",
    checkbox_label_shadow="none",
    checkbox_label_background_fill_selected="*primary_700",
    checkbox_label_background_fill_selected_dark="*primary_700",
    color_accent="*primary_700",
    input_border_color="*neutral_300",
    input_border_color_dark="*neutral_600",
    input_border_color_focus="*primary_600",
    input_border_color_focus_dark="*primary_400",
    input_border_width="1px",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    input_shadow="none",
    slider_color="*primary_700",
)

_FORGOTTEN = (300, 900)  # seconds between two looks at uploads, and after which one is removed: it was read by then
_QUIETLY: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
_HEADER = """
<header class="tl-header"><span class="tl-logo" aria-hidden="true"><i></i><i></i><i></i><i></i></span>
<div><h1>Tinylab</h1><p>Learn which layers of a diffusion transformer to keep</p></div></header>
"""


def build_page() -> gr.Blocks:
    """The whole page; launch it with THEME, CSS and HEAD."""
    gr.set_static_paths([_PLOTLY])
    with gr.Blocks(title="Tinylab", analytics_enabled=False, fill_width=True, delete_cache=_FORGOTTEN) as page:
        with gr.Row(elem_classes="tl-top"):
            gr.HTML(_HEADER, apply_default_css=False)
            lab = Lab(model=model_chip(), followed=gr.State(None))
            queue_chip()
            tools()
            link_keeper()
        opened = {}
        with gr.Tabs(elem_id="tabs", overflow_behavior="wrap") as tabs:
            for tab in TABS:
                with gr.Tab(text(f"tabs.{tab.ID}"), id=tab.ID, elem_id=f"tab-{tab.ID}") as opened[tab.ID]:
                    tab.build(lab)
        for tab_id, tab_item in opened.items():
            _on_opening(lab, tab_id, tab_item)
        following = [lab.followed, *(component for _, component in lab.followers)]
        lab.model.change(lab.follow, [lab.model, lab.followed], following, **_QUIETLY)
        _attach_on_load(page, lab, tabs, following)
    return page


def _on_opening(lab: Lab, tab_id: str, tab_item: gr.Tab) -> None:
    """Keep the open tab in the address, and its menus up to date."""
    tab_item.select(None, None, None, js=f"() => tinylab.opened('tab', '{tab_id}')")
    for menu in lab.menus.get(tab_id, ()):
        both: list[Any] = [menu.dropdown, menu.suggested]
        tab_item.select(menu.fill, [lab.model, *both], both, **_QUIETLY)


def _attach_on_load(page: gr.Blocks, lab: Lab, tabs: gr.Tabs, following: list[Any]) -> None:
    """Show what the address names, or what is at work, on every panel of a newly opened page."""
    menus = [menu for several in lab.menus.values() for menu in several]
    outputs: list[Any] = [tabs, *lab.parts, lab.model, *following]
    for panel in lab.panels.values():
        outputs += panel.shown
    for menu in menus:
        outputs += [menu.dropdown, menu.suggested]

    def load(request: gr.Request) -> list[Any]:
        visitor = visitor_of(request)
        found = attach(dict(request.query_params), visitor)
        opened = [gr.Tabs(selected=found.tab), *(gr.Tabs(selected=found.part) for _ in lab.parts)]
        updates = [*opened, found.model, *lab.follow(found.model, None, request)]
        for kind, panel in lab.panels.items():
            updates += panel.show_run(found.runs.get(kind, ""), visitor)
        for menu in menus:
            updates += menu.fill(found.model, None, None, request)
        return updates

    loaded = page.load(load, None, outputs, **_QUIETLY)
    loaded.then(None, None, None, js="() => { tinylab.ready = true; }")
