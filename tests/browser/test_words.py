"""The page's words and look in a real browser: German, tour, glossary, tips, dark, projector, the data of a chart."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab_page import LabPage
from playwright.sync_api import BrowserContext

from app.texts import entries
from tinylab.config import SearchConfig
from tinylab.jobs.execute import execute, start_run
from tinylab.models.load import save_model
from tinylab.models.networks.dit import DiT
from tinylab.runs.run import Run

ENGLISH, GERMAN, HEATMAP = entries("en"), entries("de"), "#search-live [data-slot=heatmap]"


@pytest.fixture(scope="module")
def searched(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished search in a tiny model, made without the browser."""
    folder = tmp_path_factory.mktemp("tiny")
    sizes = {"input_size": 8, "patch_size": 4, "in_channels": 1, "num_classes": 10}
    save_model(DiT(**sizes, hidden_size=8, depth=4, num_heads=2), folder, card="")
    config = SearchConfig.create(model=str(folder), pattern="1:2", steps=12, batch_size=8, threads=1)
    run = start_run(config, server.runs / "search-made-before")
    execute(run, quiet=True)
    return run


@pytest.fixture
def german(new_context: Callable[..., BrowserContext], server: Any) -> LabPage:
    """The lab in a fresh browser that speaks German."""
    return LabPage(new_context(locale="de-DE").new_page(), server.url)


def open_search(lab: LabPage, run: Run, more: str = "") -> None:
    """Open the page on a search, unless it shows that already, and wait for its heatmap."""
    if more or not lab.page.url.startswith(lab.url) or lab.shown("search") != run.id:
        lab.open(f"?run={run.id}{more}")
    else:
        lab.open_tab("search")
    lab.wait(f"document.querySelector('{HEATMAP} .tl-save')")


def test_german_page_says_everything_in_german(german: LabPage, searched: Run) -> None:
    open_search(german, searched)
    page = german.page
    assert page.locator("html").get_attribute("lang") == "de"
    assert page.locator("#tab-search-button").inner_text() == GERMAN["tabs.search"]
    assert page.locator("#search-start").inner_text() == GERMAN["search.start"]
    pattern = page.locator("#search-pattern")
    assert GERMAN["search.pattern"] in pattern.inner_text()
    assert GERMAN["search.pattern_info"] in pattern.inner_text()
    assert "welche Blöcke übersprungen werden" in page.locator("#tab-search .tl-intro .md").inner_text()
    assert page.locator("#search-preset label").all_inner_texts() == ["Schnell", "Gründlich", "Wie veröffentlicht"]
    german.wait(f"document.querySelector('{HEATMAP}').layout.title.text === 'Wie wahrscheinlich jeder Block bleibt'")
    assert page.evaluate(f"document.querySelector('{HEATMAP}').layout.xaxis.title.text") == "Schritt"
    assert "Fertig" in german.slot("search", "status")
    assert "Schritt 12 von 12" in german.slot("search", "status")
    page.locator("#tab-compare-button").click()
    assert page.get_by_placeholder(GERMAN["compare.study_placeholder"], exact=True).count() == 0  # More is closed
    page.locator("#compare-more button").first.click()
    page.get_by_placeholder(GERMAN["compare.study_placeholder"], exact=True).wait_for()


def test_news_of_a_german_page_are_german_and_what_is_typed_stays(german: LabPage, searched: Run) -> None:
    open_search(german, searched)
    page = german.page
    german.fill("search-pattern", "Finished")  # words of somebody's own
    page.evaluate(
        """() => {
            const made = document.createElement('p');
            made.innerHTML = 'Finished<code>Finished</code><input value="Finished">'
                + '<b aria-label="Running">step 3 of 9</b>';
            made.id = 'made';
            document.querySelector('#search-live .tl-live').append(made);
        }"""
    )
    german.wait("document.querySelector('#made').firstChild.data === 'Fertig'")
    assert page.locator("#made code").inner_text() == "Finished"
    assert page.locator("#made input").input_value() == "Finished"
    assert page.locator("#made b").inner_text() == "Schritt 3 von 9"
    assert page.locator("#made b").get_attribute("aria-label") == "Läuft"
    page.evaluate("document.querySelector('#made').firstChild.data = 'Stopped'")
    german.wait("document.querySelector('#made').firstChild.data === 'Angehalten'")


def test_language_is_chosen_in_the_header(lab: LabPage) -> None:
    lab.open("?tab=search")
    assert lab.page.locator("#search-start").inner_text() == ENGLISH["search.start"]
    with lab.page.expect_navigation():
        lab.page.locator("[data-tool=language]").select_option("de")
    lab.wait("window.tinylab?.ready")
    assert "lang=de" in lab.page.url
    assert lab.page.locator("#search-start").inner_text() == GERMAN["search.start"]
    assert lab.page.locator("[data-tool=tour]").inner_text() == GERMAN["header.tour"]


def test_tour_goes_through_all_its_stops_by_key_and_leaves(lab: LabPage, searched: Run) -> None:
    open_search(lab, searched)
    page = lab.page
    page.locator(".tl-offer").wait_for()
    start = page.locator("[data-tool=tour]")
    start.press("Enter")
    stops = page.evaluate("tinylab.tour.stops")
    assert len(stops) >= 8
    for name in stops:
        lab.wait("(name) => document.querySelector('#tl-tour')?.dataset.stop === name", name)
        assert page.locator("#tl-tour-text").inner_text() == ENGLISH[f"tour.stop.{name}"]
        box, light = page.locator("#tl-tour").bounding_box(), page.locator(".tl-light").bounding_box()
        assert box and light and box["x"] >= 0 and box["x"] + box["width"] <= 1280
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('#tl-tour') !== null")  # the focus stays within
        page.keyboard.press("ArrowRight")
    page.locator("#tl-tour").wait_for(state="detached")
    assert page.evaluate("document.activeElement.dataset.tool") == "tour"
    assert page.locator("#tab-measure-button").get_attribute("aria-selected") == "true"

    start.press("Enter")
    lab.wait("document.querySelector('#tl-tour')?.dataset.stop === 'model'")
    page.keyboard.press("Escape")
    page.locator("#tl-tour").wait_for(state="detached")
    lab.open()
    assert page.locator(".tl-offer").count() == 0  # offered once


def test_tour_fits_on_a_phone(lab: LabPage) -> None:
    lab.page.emulate_media(reduced_motion="reduce")  # nothing moves away below the click
    lab.page.set_viewport_size({"width": 400, "height": 800})
    lab.open("?view=dark")
    lab.page.locator("[data-tool=tour]").click()
    for name in lab.page.evaluate("tinylab.tour.stops"):
        lab.wait("(name) => document.querySelector('#tl-tour')?.dataset.stop === name", name)
        box = lab.page.locator("#tl-tour").bounding_box()
        assert box and box["x"] >= 0 and box["x"] + box["width"] <= 400
        assert box["y"] >= 0 and box["y"] + box["height"] <= 800
        lab.page.locator("#tl-tour [data-act=next]").click()


def test_glossary_opens_by_key_searches_and_shows_formulas(shared_lab: LabPage) -> None:
    shared_lab.show("search")
    page = shared_lab.page
    shared_lab.wait("document.querySelectorAll('#tl-formulas .katex-display').length > 20")
    page.locator("#search-steps input").press("?")  # somebody is typing
    assert page.locator("dialog[open]").count() == 0
    page.locator("#search-steps input").blur()
    page.keyboard.press("?")
    dialog = page.locator("dialog.tl-glossary[open]")
    dialog.wait_for()
    entries_shown = dialog.locator(".tl-entry:visible")
    assert entries_shown.count() >= 100
    dialog.get_by_role("searchbox").fill("gumbel")
    assert entries_shown.locator("h3").all_inner_texts() == [ENGLISH["glossary.gumbel.name"]]
    assert entries_shown.locator(".katex-display").count() == 1
    dialog.get_by_role("searchbox").fill("nobody says so")
    assert dialog.get_by_text(ENGLISH["header.terms.none"]).is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0

    page.locator("#tab-search .tl-intro .tl-term", has_text="blocks").press("Enter")
    dialog.wait_for()
    assert page.evaluate("document.activeElement.id") == "tl-entry-block"
    dialog.get_by_role("button", name=ENGLISH["glossary.depth.name"], exact=True).first.click()
    assert page.evaluate("document.activeElement.id") == "tl-entry-depth"
    page.keyboard.press("Escape")


def test_tips_appear_on_focus_and_hover_and_go_by_escape(shared_lab: LabPage) -> None:
    page, tip = shared_lab.page, shared_lab.page.locator("#tl-tip")
    shared_lab.show("search")
    shared_lab.wait("document.querySelector('#tab-search .tl-intro .tl-term')")
    term = page.locator("#tab-search .tl-intro .tl-term[data-term=block]")
    term.focus()
    tip.wait_for()
    assert tip.inner_text() == ENGLISH["glossary.block.short"]
    assert term.get_attribute("aria-describedby") == "tl-tip"
    assert tip.get_attribute("role") == "tooltip"
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    assert term.get_attribute("aria-describedby") is None

    page.locator("#search-steps input").focus()
    page.keyboard.press("Tab")  # to the seed, by key
    tip.wait_for()
    assert tip.inner_text() == ENGLISH["tips.any.seed"]
    page.keyboard.press("Escape")
    page.locator("#search-preset [data-testid=block-info]").hover()
    tip.wait_for()
    assert tip.inner_text() == ENGLISH["tips.search-preset"]


def test_a_page_of_a_lesson_marks_a_term_once_and_explains_it(lab: LabPage) -> None:
    lab.open("?tab=learn&lang=en&lesson=cut-2")
    page = lab.page.locator("#lesson-cut-2")
    page.locator(".lesson-aside .tl-term[data-term=parameters]").wait_for()
    page.locator(".lesson-options button").first.click()
    revealed = page.locator(".lesson-predict [aria-live] .tl-term[data-term=rank_correlation]")
    revealed.wait_for()
    found = page.locator(".tl-term").evaluate_all("(terms) => terms.map((term) => term.dataset.term)")
    assert sorted(found) == sorted(set(found)) and {"block", "loss", "finetuning", "after_cut"} <= set(found)
    assert page.locator(":is(a, button, code, h1, h2, h3) .tl-term").count() == 0
    revealed.focus()
    lab.page.locator("#tl-tip").wait_for()
    assert lab.page.locator("#tl-tip").inner_text() == ENGLISH["glossary.rank_correlation.short"]
    revealed.press("Enter")
    lab.page.locator("dialog.tl-glossary[open]").wait_for()
    assert lab.page.evaluate("document.activeElement.id") == "tl-entry-rank_correlation"


def test_names_of_terms_explain_titles_and_not_common_words(shared_lab: LabPage) -> None:
    shared_lab.show("search")
    shared_lab.page.evaluate(
        """() => {
            const made = document.createElement('div');
            made.innerHTML = '<table><tr><th>Random</th></tr><tr><th>Evolution (EvoPress)</th></tr></table>'
                + '<div class="tl-help"><div class="md">Random noise of a class, by Gumbel.</div></div>';
            made.id = 'made';
            document.querySelector('#search-live .tl-live').append(made);
        }"""
    )
    shared_lab.page.locator("#made .tl-term").wait_for()
    named = "(places) => places.map((place) => place.dataset.term)"
    assert shared_lab.page.locator("#made th").evaluate_all(named) == ["random", "evolution"]
    assert shared_lab.page.locator("#made .tl-term").evaluate_all(named) == ["gumbel"]


def test_formula_stands_beside_the_picture(shared_lab: LabPage) -> None:
    shared_lab.show("search")
    head = shared_lab.page.locator("#search-formula button.label-wrap")
    shared_lab.wait("document.querySelector('#search-formula button')?.getAttribute('aria-expanded') === 'false'")
    head.click()
    shared_lab.page.locator("#search-formula .katex-display").first.wait_for()
    shared_lab.wait("document.querySelector('#search-formula button').getAttribute('aria-expanded') === 'true'")
    assert "arXiv:2412.01199" in shared_lab.page.locator("#search-formula").inner_text()


def test_dark_and_projector_by_button_and_by_address(lab: LabPage, searched: Run) -> None:
    open_search(lab, searched)
    page = lab.page
    body, dark, projector = map(page.locator, ("body", "[data-tool=dark]", "[data-tool=projector]"))
    plain = page.evaluate(f"document.querySelector('{HEATMAP}').layout.title.font.size")
    assert dark.get_attribute("aria-pressed") == "false"
    dark.click()
    assert "dark" in str(body.get_attribute("class")).split()
    page.keyboard.press("?")
    box = page.get_by_role("searchbox").evaluate("(box) => getComputedStyle(box).backgroundColor")
    assert max(map(int, re.findall(r"\d+", box)[:3])) < 128  # a white one would hide what is typed
    page.keyboard.press("Escape")
    assert dark.get_attribute("aria-pressed") == "true"
    assert "view=dark" in page.url
    projector.click()
    assert "tl-projector" in str(body.get_attribute("class"))
    assert page.locator("#search-preset").is_hidden()
    assert page.locator("#search-start").is_visible() and page.locator("#search-runs").is_visible()
    lab.wait(f"(plain) => document.querySelector('{HEATMAP}').layout.title.font.size > plain * 1.2", plain)
    assert page.evaluate(f"document.querySelector('{HEATMAP}').clientWidth") > 1100  # across the page

    open_search(lab, searched, "&view=dark,projector")
    assert {"dark", "tl-projector"} <= set(str(body.get_attribute("class")).split())
    projector.click()
    page.locator("#search-preset").wait_for()
    dark.click()
    assert "dark" not in str(body.get_attribute("class")).split()
    assert "view=" not in page.url


def test_address_can_ask_for_light_where_the_system_is_dark(
    new_context: Callable[..., BrowserContext], server: Any
) -> None:
    context = new_context(color_scheme="dark")
    for query, dark in (("", True), ("?view=light", False)):
        lab = LabPage(context.new_page(), server.url)
        lab.open(query)
        assert ("dark" in str(lab.page.locator("body").get_attribute("class")).split()) is dark


def test_data_of_a_chart_is_what_is_drawn(shared_lab: LabPage, searched: Run) -> None:
    open_search(shared_lab, searched)
    page, slot = shared_lab.page, shared_lab.page.locator(HEATMAP)
    drawn = page.evaluate(f"(({{ x, y, z }}) => ({{ x, y, z }}))(document.querySelector('{HEATMAP}').data[0])")
    steps, blocks, values = drawn["x"], drawn["y"], drawn["z"]
    button = slot.locator("[data-act=data]")
    assert button.get_attribute("aria-expanded") == "false"
    button.press("Enter")
    table = slot.locator(".tl-data table")
    cells = table.locator("tr").evaluate_all("(rows) => rows.map((row) => [...row.cells].map((c) => c.textContent))")
    across = len(steps) > len(blocks)  # the longer side goes down
    assert cells[0][1:] == [str(name) for name in (blocks if across else steps)]
    for number, row in enumerate(cells[1:]):
        found = [float(value) for value in row[1:]]
        wanted = [column[number] for column in values] if across else values[number]
        assert found == pytest.approx(wanted, rel=1e-4)
    assert len(cells) - 1 == max(len(steps), len(blocks))
    assert str(len(steps)) in slot.locator(".tl-unseen").inner_text()
    described = str(slot.get_attribute("aria-describedby"))
    assert slot.locator(f"#{described}").count() == 1

    with page.expect_download() as download:
        slot.locator("[data-act=csv]").click()
    rows = list(csv.reader(Path(download.value.path()).read_text().splitlines()))
    assert download.value.suggested_filename == f"tinylab-{searched.id}-heatmap.csv"
    assert [float(value) for row in rows[1:] for value in row[1:]] == pytest.approx(
        [value for row in (zip(*values, strict=True) if across else values) for value in row]
    )
    button.press("Enter")
    assert table.count() == 0


def test_every_picture_and_chart_can_be_heard(shared_lab: LabPage, searched: Run) -> None:
    open_search(shared_lab, searched)
    page = shared_lab.page
    assert page.evaluate("[...document.images].filter((image) => !image.alt).length") == 0
    charts = page.locator("#search-live .js-plotly-plot")
    assert charts.count() == 3
    for chart in charts.all():
        assert chart.get_attribute("role") == "figure"
        assert chart.get_attribute("aria-label")
        said = str(chart.locator(".tl-unseen").text_content())
        assert said.startswith(str(chart.get_attribute("aria-label"))) and any(letter.isdigit() for letter in said)
    page.locator("#tab-load-button").click()
    page.locator("#load-card .tl-card").wait_for()
    assert page.evaluate("[...document.images].filter((image) => !image.alt).length") == 0
