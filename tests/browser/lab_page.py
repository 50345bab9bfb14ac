"""The lab as somebody at the screen handles it, and what of a run can be seen from outside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

from tinylab.runs.run import Run

TABS = {
    "load": ("Load",),
    "runs": ("Runs",),
    "search": ("Search",),
    "compare": ("Compare",),
    "finetune": ("Fine-tune",),
    "sample": ("Generate",),
    "evaluate": ("Measure", "Quality"),
    "cost": ("Measure", "Cost"),
}
POLL = 50  # milliseconds
PATIENCE = 120_000  # milliseconds; two busy cores are slow

_STATE = "document.querySelector(`#${kind}-live .tl-live`)?.dataset"
_HEATMAP = "document.querySelector('#search-live [data-slot=heatmap]')"


class LabPage:
    """One open page of the lab."""

    def __init__(self, page: Page, url: str) -> None:
        self.page, self.url = page, url
        page.set_default_timeout(PATIENCE)

    def open(self, query: str = "?tab=load") -> None:
        """Go to the page and wait until it shows what the address says; without an address, the model to load."""
        self.page.goto(f"{self.url}/{query}")
        self.wait("window.tinylab?.ready")

    def show(self, kind: str) -> None:
        """Have the tab of a kind of job before one, in a page that may be open already."""
        if not self.page.url.startswith(self.url):
            self.open()
        self.open_tab(kind)

    def wait(self, expression: str, argument: Any = None) -> None:
        """Wait until a JavaScript expression is true. Asking at every frame would have the page draw every frame."""
        self.page.wait_for_function(expression, arg=argument, polling=POLL)

    def open_tab(self, kind: str) -> None:
        """Click on the tab of a kind of job, and on its part of that tab if there are several."""
        for name in TABS[kind]:
            self.page.get_by_role("tab", name=name, exact=True).click()
        self.page.wait_for_selector(f"#{kind}-start, #{kind}-search", state="visible")

    def load(self, reference: str) -> None:
        """Type a model into the menu of the Load tab, load it, and wait until the whole page goes by it."""
        box = self.page.locator("#load-model input")
        box.fill(reference)
        box.press("Enter")
        self.page.click("#load-start")
        self.page.locator("#load-message").get_by_text("Loaded").wait_for()
        self.wait("(name) => document.querySelector('#loaded-model')?.innerText === `model ${name}`", reference)

    def fill(self, field: str, value: str) -> None:
        """Type into a number or text box, and leave it as a person does."""
        box = self.page.locator(f"#{field} input, #{field} textarea").first
        box.fill(value)
        box.blur()

    def fill_more(self, kind: str, label: str, value: str) -> None:
        """Open the "More" of a tab if need be and type into one of its boxes."""
        box = self.page.locator(f"#{kind}-more").get_by_label(label)
        if not box.is_visible():
            self.page.locator(f"#{kind}-more button").first.click()
            box.wait_for(state="visible")
            # A box takes its value from the page once more when it has just been built; a person is slower than that.
            self.page.wait_for_timeout(500)
        box.fill(value)
        box.blur()

    def start(self, kind: str, clicks: int = 1) -> str:
        """Press the start button, maybe several times at once; the id of the run that is then shown."""
        before = self.shown(kind)
        self.page.click(f"#{kind}-start:enabled", click_count=clicks)
        self.wait(f"([kind, before]) => ![before, '', undefined].includes({_STATE}?.run)", [kind, before])
        return self.shown(kind)

    def slide(self, field: str, value: str) -> None:
        """Type into the number beside a slider."""
        box = self.page.locator(f"#{field} input[type=number]")
        box.fill(value)
        box.blur()

    def pick(self, menu: str, words: str) -> None:
        """Choose the first entry of a menu that has these words."""
        self.page.locator(f"#{menu} input").click()
        self.page.get_by_role("option", name=words).first.click()

    def shown(self, kind: str) -> str:
        """The id of the run that a panel shows, "" for none."""
        return self.page.evaluate(f"(kind) => {_STATE}?.run ?? ''", kind)

    def wait_for_state(self, kind: str, *states: str) -> None:
        """Wait until the panel says that its run is in one of `states`."""
        self.wait(f"([kind, states]) => states.includes({_STATE}?.state)", [kind, states])

    def message(self, kind: str) -> str:
        """Wait for a message beside the buttons; its text."""
        place = self.page.locator(f"#{kind}-message [role]:is(.tl-error, .tl-done)")
        place.wait_for(state="visible")
        return place.inner_text()

    def wait_for_columns(self, more_than: int) -> list[list[float]]:
        """Wait until the heatmap has more columns than that; its values."""
        self.wait_for_more_columns(more_than)
        return self.page.evaluate(f"{_HEATMAP}.data[0].z")

    def wait_for_more_columns(self, count: int) -> None:
        """Wait until the heatmap has more columns than that, even if the page is loaded again meanwhile."""
        self.wait(f"(count) => {_HEATMAP}?.data?.[0]?.z?.[0]?.length > count", count)

    def wait_for_run(self, kind: str, run_id: str) -> None:
        """Wait until a panel shows that run."""
        self.wait(f"([kind, id]) => {_STATE}?.run === id", [kind, run_id])

    def on_heatmap(self, expression: str) -> Any:
        """Evaluate JavaScript with the heatmap's element as `it`."""
        return self.page.evaluate(f"(() => {{ const it = {_HEATMAP}; return {expression}; }})()")

    def zoom_into_heatmap(self) -> list[float]:
        """Drag a rectangle over the left half of the heatmap; the steps that are then shown."""
        before = self.on_heatmap("it.layout.xaxis.range")
        plot = self.page.locator("#search-live [data-slot=heatmap] .nsewdrag").first
        plot.scroll_into_view_if_needed()
        area = plot.bounding_box()
        assert area
        mouse = self.page.mouse
        mouse.move(area["x"] + 5, area["y"] + area["height"] / 4)
        mouse.down()
        mouse.move(area["x"] + area["width"] / 2, area["y"] + area["height"] / 2, steps=5)
        mouse.up()
        self.wait(f"(before) => {_HEATMAP}.layout.xaxis.range[1] < before[1]", before)
        return self.on_heatmap("it.layout.xaxis.range")

    def slot(self, kind: str, name: str) -> str:
        """The text of one part of a panel."""
        return self.page.locator(f"#{kind}-live [data-slot={name}]").inner_text()


def forget_closed_connections(problems: list[str]) -> None:
    """Drop what the browser says when the server goes away while they talk; nothing else."""
    words = ("net::ERR_", "AbortError", "Connection errored out", "BodyStreamBuffer was aborted")
    problems[:] = [problem for problem in problems if not any(word in problem for word in words)]


def shorten(run: Run, steps: int) -> None:
    """Make a stopped run end after that many steps, so that nobody has to wait for the rest."""
    config = json.loads((run.path / "config.json").read_text())
    (run.path / "config.json").write_text(json.dumps({**config, "steps": steps}))


def run_ids(runs: Path) -> set[str]:
    """The ids of all runs there are."""
    return {file.parent.name for file in runs.glob("*/status.json")}
