"""The built-in models of the other families go the same way as the DiT: search, compare, fine-tune, generate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lab_page import LabPage
from playwright.sync_api import Page

from tinylab.models.catalog import describe_model
from tinylab.models.published.published_export import export_published
from tinylab.runs.run import Run


@pytest.mark.parametrize(
    ("model", "kind", "sampler"), [("digits-sit", "SiT", "Euler"), ("digits-mar", "MAR", "Masked")]
)
def test_built_in_model_goes_the_whole_way(model: str, kind: str, sampler: str, page: Page, server: Any) -> None:
    lab = LabPage(page, server.url)
    depth = describe_model(model).depth
    lab.open()
    lab.load(model)
    lab.wait("(kind) => document.querySelector('#load-card').innerText.includes(kind)", kind)

    lab.open_tab("search")
    lab.wait("document.querySelector('#search-pattern input').value.includes(':')")
    lab.fill("search-steps", "3")
    lab.fill_more("search", "Images a step", "8")
    searched = Run.open(server.runs / lab.start("search"))
    assert len(lab.wait_for_columns(0)) == sum(depth.values())
    lab.wait_for_state("search", "finished")
    kept = searched.result()["kept"]
    assert {stack: len(indices) for stack, indices in kept.items()} == {s: n // 2 for s, n in depth.items()}

    lab.open_tab("compare")
    lab.wait("document.querySelectorAll('#compare-plans .token').length === 1")
    for method in ("Block influence (ShortGPT)", "Random"):
        page.locator("#compare-methods").get_by_label(method, exact=True).uncheck()
    lab.fill("compare-steps", "1")
    lab.start("compare")
    lab.wait_for_state("compare", "finished")
    assert page.locator("#compare-live tbody tr").count() == 3

    lab.open_tab("finetune")
    lab.wait("document.querySelector('#finetune-plan input').value.includes('Learned')")
    lab.fill("finetune-steps", "2")
    lab.fill_more("finetune", "Scored samples", "20")
    tuned = Run.open(server.runs / lab.start("finetune"))
    lab.wait_for_state("finetune", "finished")
    assert describe_model(str(tuned.path)).depth == {stack: count // 2 for stack, count in depth.items()}

    lab.open_tab("sample")
    lab.wait("document.querySelector('#sample-against .token')")
    assert sampler in page.locator("#sample-sampler").inner_text()
    assert "DDPM" not in page.locator("#sample-sampler").inner_text()
    lab.slide("sample-steps", "3")
    lab.fill("sample-classes", "three, 5")
    lab.fill("sample-count", "4")
    drawn = Run.open(server.runs / lab.start("sample"))
    lab.wait_for_state("sample", "finished")
    lab.wait("document.querySelectorAll('#sample-live .tl-columns img').length === 2")
    assert drawn.result()["class_names"] == ["three", "five"]


def test_uploaded_checkpoint_is_loaded_and_a_foreign_file_refused(
    page: Page, server: Any, build_tiny: Any, tmp_path: Path
) -> None:
    lab = LabPage(page, server.url)
    lab.open()
    published = tmp_path / "my sit.safetensors"
    export_published(build_tiny("sit", hidden_size=384, num_heads=6, depth=2), published)
    chooser = page.locator("input[type=file]")
    chooser.set_input_files(published)
    page.locator("#load-message").get_by_text("Loaded").wait_for()
    lab.wait("document.querySelector('#loaded-model').innerText.includes('my-sit-')")
    lab.wait("document.querySelector('#load-card').innerText.includes('SiT')")

    (tmp_path / "junk.safetensors").write_bytes(b"\x00" * 99)
    chooser.set_input_files(tmp_path / "junk.safetensors")
    lab.wait("document.querySelector('#load-message .tl-error')")
    said = page.locator("#load-message .tl-error").inner_text()
    assert said.startswith("Junk.safetensors is truncated") and "\n" not in said
    assert "my-sit-" in page.locator("#loaded-model").inner_text()
