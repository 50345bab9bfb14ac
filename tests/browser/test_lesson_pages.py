"""The lessons in a real browser: switches change digits, guesses come before truths, sliders agree with Python."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from lab_page import LabPage
from playwright.sync_api import BrowserContext

from app.lessons.choices import FINALISTS
from app.lessons.facts import FACTS
from app.lessons.recorded import KS, LEVELS, subsets
from app.tabs.learn import LESSONS
from tinylab.pruning.estimators import gumbel, reinmax

FULL = 4095
CANVAS = ".lesson-compare figure:last-child canvas"


@pytest.fixture
def lab(shared_lab: LabPage) -> LabPage:
    """The lab in a page that the tests share."""
    return shared_lab


def open_learn(lab: LabPage) -> None:
    """Open the tab that is called so, with more words in its name."""
    lab.page.locator("#tabs button[role=tab]", has_text="Learn").first.click()


def open_lesson(lab: LabPage, lesson: str, number: int, *, touch: bool = True) -> Any:
    """Open a page of a lesson as nobody has touched it; its first widget, once it is filled.

    Within what the browser shows, if that is English and nobody has touched that page of the lesson; else by the
    address. A test that only reads says that it will not `touch` it.
    """
    name = f"{lesson}-{number}"
    new = "(name) => window.tinylab?.ready && tinylab.language === 'en' && !(window.touched ??= new Set()).has(name)"
    if lab.page.evaluate(new, name):
        lab.page.evaluate("([lesson, page]) => tinylab.lessons.go(lesson, page)", [lesson, number])
    else:
        lab.open(f"?tab=learn&lang=en&lesson={name}")
    if touch:
        lab.page.evaluate("(name) => (window.touched ??= new Set()).add(name)", name)
    open_learn(lab)
    widget = lab.page.locator(f"#lesson-{lesson}-{number} .lesson-widget").first
    lab.page.wait_for_selector(f"#lesson-{lesson}-{number} .lesson-widget[data-ready]", state="visible")
    return widget


def guess(widget: Any, picked: int = 0) -> None:
    """Answer the open question of a widget."""
    widget.locator(".lesson-predict:not([data-answered]) .lesson-options button").nth(picked).click()


def slide(widget: Any, place: int, value: float) -> None:
    """Move a slider of a widget."""
    script = "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', { bubbles: true })); }"
    widget.locator("input[type=range]").nth(place).evaluate(script, value)


def painted(lab: LabPage, place: str, mask: int) -> None:
    """Wait until a canvas shows the digits of `mask`, and compare every pixel with the recorded ones."""
    lab.wait("([place, mask]) => document.querySelector(place)?.dataset.mask === String(mask)", [place, mask])
    script = """(place) => { const c = document.querySelector(place);
        const { data } = c.getContext('2d').getImageData(0, 0, c.width, c.height);
        return [c.width, [...data].filter((_, i) => i % 4 === 0)]; }"""
    width, reds = lab.page.evaluate(script, place)
    levels = subsets().levels(mask)
    for digit in range(10):
        left, top = digit % 5 * 9, digit // 5 * 9
        shown = [[reds[(top + y) * width + left + x] for x in range(8)] for y in range(8)]
        assert shown == (levels[digit].astype(int) * 255 // (LEVELS - 1)).tolist()


def numbers(widget: Any, name: str) -> list[float]:
    """Numbers that a widget shows, from its data attributes."""
    return [float(part) for part in widget.get_attribute(f"data-{name}").split()]


def test_start_page_leads_to_every_lesson_and_back(lab: LabPage) -> None:
    lab.open("?lang=en")
    open_learn(lab)
    assert lab.page.locator(".lesson-card").count() == len(LESSONS) == 4
    for lesson in LESSONS:
        lab.page.locator(f".lesson-card[data-lesson={lesson.id}]").click()
        lab.page.locator(f"#lesson-{lesson.id} .lesson-title").wait_for(state="visible")
        assert f"lesson={lesson.id}-1" in lab.page.url
        assert lab.page.locator(".lesson:visible").count() == 1
        lab.page.locator(f"#lesson-{lesson.id} .lesson-link").click()
        lab.page.locator("#learn-start").wait_for(state="visible")
    assert "lesson=" not in lab.page.url


def test_the_start_shows_a_search_and_leads_to_it(lab: LabPage) -> None:
    lab.open("?tab=learn&lang=en")
    lab.wait("document.querySelector('.lesson-search canvas')?.dataset.drawn === '60'")
    assert "0 1 2 3 4 6" not in lab.page.locator("#learn-start").inner_html()  # the first lesson asks for that
    weights = "() => [...document.querySelectorAll('.lesson-search li')].map((e) => getComputedStyle(e).fontWeight)"
    assert len(set(lab.page.evaluate(weights))) == 1
    script = """() => { const c = document.querySelector('.lesson-search canvas');
        return [...c.getContext('2d').getImageData(c.width - 1, 0, 1, c.height).data]; }"""
    pixels = lab.page.evaluate(script)
    yellow = [pixels[4 * block] > pixels[4 * block + 2] for block in range(12)]  # more red than blue
    assert [block for block in range(12) if yellow[block]] == [0, 1, 2, 3, 4, 6]
    lab.page.get_by_role("button", name="Watch the recorded search").click()
    lab.wait_for_run("search", "recorded-search-digits-dit")
    lab.wait_for_more_columns(3)  # it plays by itself


def test_a_click_on_the_start_plays_the_recorded_search(lab: LabPage) -> None:
    lab.open("?lang=en")
    lab.page.click("#learn-watch")
    lab.wait_for_run("search", "recorded-search-digits-dit")
    assert "run=recorded-search-digits-dit" in lab.page.url


def test_an_address_that_names_no_lesson_shows_the_start(lab: LabPage) -> None:
    for wrong in ("nothing-1", "cut-9", "..%2F..-1", "cut"):
        lab.open(f"?lang=en&lesson={wrong}")
        open_learn(lab)
        lab.page.locator("#lesson-cut-1" if wrong.startswith("cut") else "#learn-start").wait_for(state="visible")


def test_switches_change_digits_loss_and_rank_at_once(lab: LabPage) -> None:
    widget, place = open_lesson(lab, "cut", 1), f"#lesson-cut-1 {CANVAS}"
    painted(lab, place, FULL)
    switch = widget.locator(".lesson-switch")
    switch.nth(0).click()
    painted(lab, place, FULL ^ 1)
    assert switch.nth(0).get_attribute("aria-checked") == "false"
    assert f"{subsets().loss[FULL ^ 1]:.4f}" in widget.inner_text()
    assert f"{subsets().read[FULL ^ 1].bit_count()} / 10" in widget.inner_text()
    switch.nth(0).click()
    for block in range(6, 12):
        switch.nth(block).focus()
        lab.page.keyboard.press("Space")
    painted(lab, place, 63)
    assert widget.get_attribute("data-rank") == "1"
    widget.get_by_text("All off").click()
    painted(lab, place, 0)


def test_the_first_lesson_turns_the_order_round_after_a_guess_and_shows_a_table(
    lab: LabPage,
) -> None:
    widget, facts = open_lesson(lab, "cut", 2), FACTS["candidates"]()
    assert widget.get_attribute("data-share") == "0"
    for each in facts["pair"]:  # the truth is not there before the answer
        assert f"{each['after']:.4f}" not in widget.inner_text()
    assert "Why?" not in widget.inner_text() and widget.locator("details").count() == 0
    guess(widget)
    lab.wait("document.querySelector('#lesson-cut-2 .lesson-widget').dataset.share === '1'")
    said = widget.inner_text()
    assert f"{facts['pair'][0]['after']:.4f}" in said and f"{facts['pair'][1]['after']:.4f}" in said
    y = lab.page.evaluate("document.querySelector('#lesson-cut-2 .js-plotly-plot').data[0].y")
    assert list(y) == pytest.approx(facts["figure"]["data"][0]["y"])
    assert widget.locator(".lesson-options button:enabled").count() == 0
    one, four = facts["early"]["1"], facts["early"]["4"]
    assert f"at {one[0]:.2f} after the cut and {one[1]:.3f} after training" in said
    assert f"all four at {four[0]:.2f} and {four[1]:.3f}" in said
    assert f"{facts['best'] / facts['full']:.1f} times that of the whole model" in said
    widget.locator("summary").click()
    rows = [row.locator("td").all_inner_texts() for row in widget.locator("tbody tr").all()]
    assert rows == [
        [row["kept"], f"{row['before']:.4f}", f"{row['after']:.5f}", str(row["rank"])] for row in facts["table"]
    ]


def test_who_saw_no_difference_was_close(lab: LabPage) -> None:
    widget, facts = open_lesson(lab, "cut", 3), FACTS["finalists"]()
    widget.get_by_role("button", name="No measurable difference").click()
    gap = abs(facts["difference"]) / facts["first"]["after"]
    assert f"the two are {100 * gap:.1f}% apart" in widget.inner_text()
    assert "16,000" in widget.inner_text()


def test_the_first_lesson_says_why_the_choice_of_the_lab_won(lab: LabPage) -> None:
    widget, facts = open_lesson(lab, "cut", 3), FACTS["finalists"]()
    assert all(kept in widget.inner_text() for kept in FINALISTS)
    assert "Why did the lab's choice win?" not in widget.inner_text()
    widget.get_by_role("button", name="The choice of the lab").focus()
    lab.page.keyboard.press("Enter")
    said = widget.inner_text()
    assert "Why did the lab's choice win?" in said
    assert f"{facts['learned']['after']:.5f}" in said and f"{facts['first']['after']:.5f}" in said
    assert widget.locator(".lesson-live[aria-live=polite]").first.inner_text()


def test_time_and_class_reach_both_rows_of_a_block(lab: LabPage) -> None:
    widget = open_lesson(lab, "block", 1, touch=False)
    script = """(paths) => paths.map((path) => { const end = path.getPointAtLength(path.getTotalLength());
        return [...path.ownerSVGElement.querySelectorAll('[data-name]')].filter((part) => {
            const { x, y, width, height } = part.getBBox();
            return end.x > x && end.x < x + width && Math.abs(end.y - y - height) < 4; })[0]?.dataset.name; })"""
    reached = widget.locator(".lesson-condition").evaluate_all(script)
    assert sorted(reached) == ["gate1", "gate2", "norm1", "norm2"]


def test_a_block_is_drawn_explained_and_skipped_by_keyboard(lab: LabPage) -> None:
    widget = open_lesson(lab, "block", 1)
    widget.locator("[data-name=attention]").focus()
    lab.page.keyboard.press("Enter")
    assert "patches learn of each other" in widget.inner_text()
    after = lab.page.locator("#lesson-block-1 .lesson-after").first
    assert lab.page.locator("#block-skip").count() == 0 and not after.is_visible()
    guess(widget, 1)
    assert "as you said" in widget.inner_text() and "Skipped." in widget.inner_text()
    assert widget.locator(".lesson-skipped").count() == 1 and after.is_visible()
    lab.page.locator("#block-skip").press("Space")
    assert widget.locator(".lesson-skipped").count() == 0


@pytest.mark.parametrize(("number", "facts"), [(2, "single"), (3, "pairs")])
def test_damage_and_switches_are_shown_after_the_guess(lab: LabPage, number: int, facts: str) -> None:
    widget, known = open_lesson(lab, "block", number), FACTS[facts]()
    assert widget.locator(".js-plotly-plot").count() == 0
    switches = lab.page.locator(f"#lesson-block-{number} [data-part=free]")
    assert not switches.is_visible()
    right = known["worst"] if facts == "single" else 2
    guess(widget, right)
    assert "as you said" in widget.inner_text()
    if facts == "single":
        switches.locator(".lesson-switch").first.wait_for(state="visible")
    if facts == "pairs":  # the map of all pairs would answer a question of its own
        assert widget.locator(".js-plotly-plot").count() == 0 and "Every square" not in widget.inner_text()
        guess(widget, 1)
        assert f"In {known['less']} of the {known['pairs']} pairs" in widget.inner_text()
    lab.wait(f"document.querySelector('#lesson-block-{number} .js-plotly-plot')?.data")
    drawn = lab.page.evaluate(f"document.querySelector('#lesson-block-{number} .js-plotly-plot').data[0]")
    wanted = known["figure"]["data"][0]
    assert drawn["y"] == pytest.approx(wanted["y"]) if facts == "single" else drawn["z"] == wanted["z"]


def test_formulas_are_drawn_without_a_network(lab: LabPage) -> None:
    open_lesson(lab, "gradient", 3, touch=False)
    aside = lab.page.locator("#lesson-gradient-3 .lesson-aside")
    assert aside.locator(".katex-display").count() >= 2
    assert "$$" not in aside.inner_text()


def test_gradients_on_the_page_are_those_of_python(lab: LabPage) -> None:
    widget = open_lesson(lab, "gradient", 3)
    guess(widget)
    for place, value in enumerate((1.2, -0.4, 0.3, 0.7, 0.9, 0.2, 1.5)):  # three scores, tau, three costs
        slide(widget, place, value)
    logits = torch.tensor([[1.2, -0.4, 0.3]], dtype=torch.float64, requires_grad=True)
    costs = torch.tensor([[0.9, 0.2, 1.5]], dtype=torch.float64)
    noise = torch.tensor([numbers(widget, "noise")], dtype=torch.float64)
    (gumbel(logits, noise, 0.7) * costs).sum().backward()
    assert numbers(widget, "one") == pytest.approx(logits.grad[0].tolist(), abs=1e-9)
    p = logits.detach().softmax(dim=1)
    assert numbers(widget, "exact") == pytest.approx((p * (costs - (p * costs).sum()))[0].tolist(), abs=1e-9)

    logits.grad = None
    (reinmax(logits, noise, 0.7) * costs).sum().backward()
    script = "([l, g, c]) => tinylab.categorical.reinmax(l, g, 0.7, c)"
    shown = lab.page.evaluate(script, [[1.2, -0.4, 0.3], noise[0].tolist(), costs[0].tolist()])
    assert shown == pytest.approx(logits.grad[0].tolist(), abs=1e-6)


def test_small_tau_is_less_wrong_and_less_sure(lab: LabPage) -> None:
    widget, told = open_lesson(lab, "gradient", 3), {}
    assert widget.locator("input[type=range]").nth(3).is_disabled()  # trying it out would be no guess
    assert "away from the exact slope" not in widget.inner_text()
    guess(widget, 2)
    assert "away from the exact slope" in widget.inner_text()
    assert widget.locator("input[type=range]").nth(3).is_enabled()
    for tau in (0.2, 2.0):
        slide(widget, 3, tau)
        told[tau] = (float(widget.get_attribute("data-bias")), float(widget.get_attribute("data-spread")))
    assert told[0.2][0] < told[2.0][0] and told[0.2][1] > told[2.0][1]


def test_draws_follow_the_chances(lab: LabPage) -> None:
    widget = open_lesson(lab, "gradient", 2)
    widget.locator(".lesson-draw").first.click()
    assert not widget.locator(".lesson-draw-many").is_visible() and "chances (softmax)" not in widget.inner_text()
    guess(widget)  # and now they are drawn
    assert "in about 50.6% of the draws" in widget.inner_text() and "chances (softmax)" in widget.inner_text()
    assert widget.locator(".lesson-draw-many").is_visible()
    counts = numbers(widget, "counts")
    assert sum(counts) == 1001
    chances = torch.tensor([0.5, 0.0, -0.5], dtype=torch.float64).softmax(dim=0).tolist()
    for count, chance in zip(counts, chances, strict=True):
        assert abs(count / 1001 - chance) < 4 * math.sqrt(chance * (1 - chance) / 1001)


def test_the_share_of_the_largest_score_is_told_whichever_it_is(lab: LabPage) -> None:
    widget = open_lesson(lab, "gradient", 2)
    slide(widget, 2, 2.0)  # C instead of A
    guess(widget, 2)
    chance = torch.tensor([0.5, 0.0, 2.0]).softmax(dim=0)[2].item()
    assert f"in about {100 * chance:.1f}% of the draws" in widget.inner_text()


def test_scores_are_locked_until_the_guess_and_then_doubled(lab: LabPage) -> None:
    widget = open_lesson(lab, "gradient", 1)
    sliders = widget.locator("input[type=range]")
    assert all(slider.is_disabled() for slider in sliders.all())
    guess(widget)
    assert [float(slider.input_value()) for slider in sliders.all()] == [1, 0, -1]
    shown = [float(bar.inner_text()) for bar in widget.locator(".lesson-bars b").all()]
    assert shown == pytest.approx(torch.tensor([1.0, 0.0, -1.0]).softmax(dim=0).tolist(), abs=6e-4)
    slide(widget, 0, -1.0)
    shown = [float(bar.inner_text()) for bar in widget.locator(".lesson-bars b").all()]
    assert shown == pytest.approx(torch.tensor([-1.0, 0.0, -1.0]).softmax(dim=0).tolist(), abs=6e-4)


def test_one_huge_value_rules_the_loss(lab: LabPage) -> None:
    widget = open_lesson(lab, "distil", 1)
    assert not widget.locator("input[type=range]").is_visible()
    widget.locator(".lesson-options button").first.click()
    assert float(widget.get_attribute("data-share")) == pytest.approx(100 / (100 + 1023 * 0.01))
    widget.locator("input[type=range]").press("Home")
    assert float(widget.get_attribute("data-share")) == pytest.approx(1e-4 / (1e-4 + 1023 * 0.01))


def test_the_mask_slider_shows_the_recorded_shares(lab: LabPage) -> None:
    widget, facts = open_lesson(lab, "distil", 2), FACTS["hidden"]()
    pair = facts["models"][0]["pairs"][-1]
    widget.locator(".lesson-options button").first.click()
    assert float(widget.get_attribute("data-carried")) == pair["carried"][KS.index(2.0)]
    widget.locator("input[type=range]").press("ArrowRight")
    assert float(widget.get_attribute("data-k")) == 2.25
    assert float(widget.get_attribute("data-masked")) == pair["masked"][KS.index(2.25)]


def test_recipes_are_named_after_the_guess(lab: LabPage) -> None:
    widget, facts = open_lesson(lab, "distil", 3), FACTS["recipes"]()
    assert f"{facts['means']['logit']:.5f}" not in widget.inner_text()
    guess(widget, 1)
    assert f"{facts['means']['logit']:.5f}" in widget.inner_text()


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_page_leaves_a_word_unfilled(lab: LabPage, language: str) -> None:
    lab.open(f"?tab=learn&lang={language}&lesson=cut-1")
    lab.page.locator("#tabs button[role=tab]").first.click()
    for lesson in LESSONS:
        places = []  # of the right answers among the options
        for number in range(1, len(lesson.pages) + 1):
            lab.page.evaluate("([lesson, page]) => tinylab.lessons.go(lesson, page)", [lesson.id, number])
            place = lab.page.locator(f"#lesson-{lesson.id}-{number}")
            lab.page.wait_for_selector(f"#lesson-{lesson.id}-{number} .lesson-widget[data-ready]", state="visible")
            while (options := place.locator(".lesson-predict:not([data-answered]) .lesson-options")).count():
                options.first.locator("button").first.click()
            for answers in place.locator(".lesson-options").all():
                marked = [answer.get_attribute("data-right") for answer in answers.locator("> button").all()]
                places.append((marked.index(""), marked.index("") == len(marked) - 1))
            said = lab.page.locator(f"#lesson-{lesson.id}").inner_text()
            assert "lessons." not in said and "undefined" not in said and "NaN" not in said
            prose = "\n".join(lab.page.locator(f"#lesson-{lesson.id} .lesson-prose").all_inner_texts())
            assert prose and re.findall(r"\{\w+\}", prose) == []
        if len(places) > 1:  # nobody gets through a lesson by always taking the same place, or the last
            assert len({index for index, _ in places}) > 1 and not all(last for _, last in places)


def test_lessons_fit_a_narrow_dark_page_with_reduced_motion(
    new_context: Callable[..., BrowserContext], server: Any
) -> None:
    look = {"viewport": {"width": 400, "height": 800}, "color_scheme": "dark", "reduced_motion": "reduce"}
    lab = LabPage(new_context(**look).new_page(), server.url)
    lab.open("?tab=learn&__theme=dark")
    lab.page.wait_for_selector(".lesson-search canvas[data-drawn='60']")  # at once: nothing moves here
    assert lab.page.evaluate("document.documentElement.scrollWidth") <= 400
    widget = open_lesson(lab, "cut", 2)
    widget.locator(".lesson-options button").first.click()
    lab.wait("document.querySelector('#lesson-cut-2 .lesson-widget').dataset.share === '1'")
    assert lab.page.evaluate("document.documentElement.scrollWidth") <= 400
    assert lab.page.evaluate("document.body.classList.contains('dark')")
