"""The lessons: data is what the code computes, every language has all words, figures say what the data says."""

from __future__ import annotations

import json
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import orjson
import pytest
import torch

import app.lessons
from app.lessons.choices import FINALISTS, METHODS, SEEDS, STUDY, chosen, ground_truth
from app.lessons.facts import FACTS
from app.lessons.recorded import COLUMNS, KS, LEVELS, PLANS, SPRITE, hidden_values, is_exact, lessons_folder, subsets
from app.lessons.recording.record_choices import loss_of
from app.lessons.recording.record_hidden import measure_pair, states_of
from app.lessons.recording.record_subsets import draw_subset, exact_loss, levels_of, losses_of_part, only, teacher
from app.tabs.learn import LESSONS, build
from app.texts import LANGUAGES, entries
from tinylab.config import CompareConfig
from tinylab.data.digits import load_digits
from tinylab.diffusion import objective_for
from tinylab.jobs.prune import choose_plan
from tinylab.metrics.denoising import NoisedBatch, noised_batches
from tinylab.models.catalog import describe_model
from tinylab.models.load import load_reader
from tinylab.models.networks.dit import DiT
from tinylab.models.networks.reader import read_digits
from tinylab.paths import assets_folder
from tinylab.pruning.layout import Layout
from tinylab.runs.recordings import recording

ROOT = Path(app.lessons.__file__).resolve().parent.parent.parent
SCRIPTS = sorted((ROOT / "app" / "lessons").glob("*.js"))
PAGE_SCRIPTS = sorted((ROOT / "app" / "static").glob("lesson-*.js"))
FULL = 4095
MASKS = (0, FULL, 0b000000111111, 0b000001011111, FULL ^ 1, 0b101011011001)


@pytest.fixture(scope="module")
def model() -> DiT:
    """The model of the lessons."""
    return teacher()


@pytest.mark.parametrize("mask", MASKS)
def test_recorded_digits_are_what_the_model_draws(model: DiT, mask: int) -> None:
    drawn = draw_subset(model, mask)
    recorded, computed = subsets().levels(mask).astype(int), levels_of(drawn).astype(int)
    assert recorded.shape == (10, 8, 8) and recorded.max() < LEVELS
    differing = np.abs(recorded - computed)
    assert differing.max() <= 1 and (differing > 0).mean() < 0.02  # another processor may round a grey the other way
    reader = load_reader(model)
    assert reader is not None
    read = [c for c in range(10) if subsets().read[mask] >> c & 1]
    assert read == [c for c, said in enumerate(read_digits(reader, drawn).tolist()) if said == c]


@pytest.mark.parametrize("mask", [FULL, FULL ^ 1 << 5, FULL ^ 1 << 5 ^ 1 << 6])
def test_recorded_losses_are_the_labs_own(model: DiT, mask: int) -> None:
    assert is_exact(mask, 12)
    assert subsets().loss[mask] == pytest.approx(exact_loss(model, mask), rel=1e-3)


def test_recorded_losses_of_halves_are_those_of_the_study() -> None:
    for row in ground_truth().table.rows:
        mask = sum(1 << int(name) for name in row.kept)
        assert subsets().loss[mask] == pytest.approx(row.loss_pruned, rel=1e-4)


@pytest.mark.parametrize("mask", [0b11100001111, 0b000000000111, 0])
def test_other_losses_are_measured_on_every_held_out_image_once(model: DiT, mask: int) -> None:
    objective, held_out = objective_for(model), load_digits()[1]
    kept = [block for i, block in enumerate(model.blocks) if mask >> i & 1]
    total = 0.0
    with torch.no_grad(), only(model, kept):
        for batch in noised_batches(objective, held_out, len(held_out), 0, torch.device("cpu")):
            total += objective.losses(model, batch.x, batch.y, batch.draw).loss.double().sum().item()
    assert not is_exact(mask, 12)
    assert subsets().loss[mask] == pytest.approx(total / len(held_out), rel=1e-3)


def test_the_tree_of_masks_gives_the_losses_of_single_masks() -> None:
    torch.manual_seed(0)
    model = DiT(input_size=8, patch_size=4, in_channels=1, num_classes=10, hidden_size=8, depth=5, num_heads=2).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    objective, held_out = objective_for(model), load_digits()[1]
    batch = next(iter(noised_batches(objective, held_out, 6, 0, torch.device("cpu"))))
    sums, blocks = losses_of_part(model, NoisedBatch(batch.x, batch.y, batch.draw)), list(model.blocks)
    for mask in range(32):
        with torch.no_grad(), only(model, [block for i, block in enumerate(blocks) if mask >> i & 1]):
            alone = objective.losses(model, batch.x, batch.y, batch.draw).loss.sum().item()
        assert sums[mask] == pytest.approx(alone, rel=1e-5)
    assert list(model.blocks) == blocks


def test_there_is_a_place_in_the_picture_for_every_mask() -> None:
    from PIL import Image

    with Image.open(lessons_folder() / SPRITE) as sprite:
        assert sprite.size == (COLUMNS * 80, 4096 // COLUMNS * 8)
    assert len(subsets().loss) == len(subsets().read) == 4096
    assert sum(file.stat().st_size for file in lessons_folder().iterdir()) < 3e6


def test_the_best_half_by_hand_is_what_the_rules_choose() -> None:
    best = subsets().keeping(6)
    assert len(best) == 924
    assert best[0] == sum(1 << int(block) for block in chosen()[0].kept.split())


def test_methods_choose_what_the_documented_comparison_says() -> None:
    row = r"^\| ([\w:-]+) \| [\d.]+ \|(?: [^|]+ \|){3} ([\d ]+) \|$"
    rows = re.findall(row, (ROOT / "docs" / "study.md").read_text(), re.MULTILINE)
    assert {method: kept for kept, methods in METHODS.items() for method in methods} == dict(rows)


@pytest.mark.parametrize("method", ["first", "even", "contiguous", "oracle", "norm-ratio", "influence", "l2"])
def test_quick_methods_choose_anew_what_the_lesson_says(model: DiT, method: str) -> None:
    train, _ = load_digits()
    layout, samples = Layout.budget(6, {"blocks": 12}), CompareConfig.model_fields["samples"].default
    plan = choose_plan(method, model, objective_for(model), train, name=STUDY, layout=layout, seed=0, samples=samples)
    assert method in METHODS[" ".join(plan.kept_names)]


def test_learned_choice_ends_where_the_recorded_recovery_does() -> None:
    cells = json.loads((assets_folder() / "studies" / "recovery" / f"{STUDY}.json").read_text())["cells"]
    plain = {cell["seed"]: cell["loss"] for cell in cells if cell["recipe"] == "diffusion"}
    learned = next(choice for choice in chosen() if choice.kept == FINALISTS[1])
    assert learned.after == pytest.approx([plain[seed] for seed in SEEDS], rel=1e-3)


@pytest.mark.slow
def test_a_recorded_fine_tuning_is_what_the_study_does() -> None:
    first = next(choice for choice in chosen() if choice.kept == FINALISTS[0])
    assert first.after[0] == pytest.approx(loss_of(FINALISTS[0], SEEDS[0]), rel=5e-3)


def test_recorded_hidden_values_are_what_is_measured() -> None:
    name, kept = next(iter(PLANS.items()))
    *_, (student, end, learned, taught) = states_of(name, kept)
    recorded = next(model for model in hidden_values()["models"] if model["model"] == name)["pairs"][-1]
    measured = measure_pair(learned, taught)
    assert (recorded["student"], recorded["teacher"]) == (student, end) == ("6", "11")
    for share in ("masked", "carried", "separate"):
        assert recorded[share] == pytest.approx(measured[share], abs=2e-3)
    assert sum(recorded["counts"]) == sum(measured["counts"]) == taught.numel()
    assert recorded["furthest"] == pytest.approx(measured["furthest"], rel=1e-2)


def test_a_wider_mask_leaves_out_less_of_both() -> None:
    for model in hidden_values()["models"]:
        for pair in model["pairs"]:
            for share in ("masked", "carried"):
                assert len(pair[share]) == len(KS)
                assert all(a >= b - 1e-9 for a, b in zip(pair[share], pair[share][1:], strict=False))


def test_mask_of_equal_states_carries_nothing() -> None:
    states = torch.randn(3, 4, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    told = measure_pair(states, states)
    assert set(told["carried"]) == {0.0} and told["gap"] == 0


def test_candidates_whose_order_turns_are_in_the_table() -> None:
    facts = FACTS["candidates"]()
    table = {" ".join(row.kept): row for row in ground_truth().table.rows}
    fallen, risen = facts["pair"]
    for each in (fallen, risen):
        assert (each["before"], each["after"]) == (table[each["kept"]].loss_pruned, table[each["kept"]].loss_finetuned)
    assert fallen["before"] < risen["before"] and fallen["after"] > risen["after"]  # what the lesson lets one predict
    cloud = facts["figure"]["data"][0]
    assert len(cloud["x"]) == facts["finetuned"] == 425
    assert facts["correlation"] == pytest.approx(0.77, abs=0.005)


def test_why_the_order_turns_is_told_from_the_table() -> None:
    facts, done = FACTS["candidates"](), ground_truth().finetuned
    assert all("0" not in each["kept"].split() for each in facts["pair"])  # the lesson says so in words
    for count, (before, after) in facts["early"].items():
        rows = [row for row in done if "0" not in row[0].kept and len({*"1234"} & {*row[0].kept}) == int(count)]
        assert before == pytest.approx(np.mean([row[1] for row in rows]))
        assert after == pytest.approx(np.mean([row[2] for row in rows]))
    before, after = ([losses[i] for losses in facts["early"].values()] for i in (0, 1))
    assert list(facts["early"]) == list("01234")
    assert before == sorted(before) and after == sorted(after, reverse=True)
    ranks = [np.argsort(np.argsort([row[i] for row in done if "0" not in row[0].kept])) for i in (1, 2)]
    assert facts["without_first"] == pytest.approx(np.corrcoef(*ranks)[0, 1], abs=1e-3) and facts["without_first"] < 0
    assert facts["with_first"] > facts["correlation"]


def test_table_of_marked_choices_is_that_of_the_study() -> None:
    facts = FACTS["candidates"]()
    table = {" ".join(row.kept): row for row in ground_truth().table.rows}
    assert {row["kept"] for row in facts["table"]} == {*METHODS, *(each["kept"] for each in facts["pair"])}
    done = [after for _, _, after in ground_truth().finetuned]
    for row in facts["table"]:
        known = table[row["kept"]]
        assert row["before"] == known.loss_pruned
        if known.loss_finetuned is not None:
            assert row["after"] == pytest.approx(known.loss_finetuned, abs=1e-6)
        assert row["rank"] == 1 + sum(after < row["after"] for after in done)
    names = next(row["names"] for row in facts["table"] if row["kept"] == FINALISTS[0])
    assert len(set(names)) == len(METHODS[FINALISTS[0]]) == 11


def test_best_six_can_still_be_read() -> None:
    facts, best = FACTS["candidates"](), subsets().keeping(6)[0]
    assert facts["best"] == pytest.approx(subsets().loss[best], rel=1e-4)
    assert subsets().read[best].bit_count() == 10


def test_finalists_are_told_from_their_losses() -> None:
    facts, by_kept = FACTS["finalists"](), {choice.kept: choice for choice in chosen()}
    rules, learned = (by_kept[kept] for kept in FINALISTS)
    assert facts["first"]["after"] == statistics.mean(rules.after)
    assert facts["difference"] == pytest.approx(learned.mean - rules.mean)
    assert facts["difference"] < 0 and facts["better"] + facts["same"] <= facts["seeds"]
    assert facts["learned"]["rank"] == 2 and facts["first"]["rules"] == 11
    assert [trace["name"] for trace in facts["figure"]["data"]] == list(FINALISTS)
    config: Any = recording("recorded-search-digits-dit").config()  # type: ignore[union-attr]
    assert facts["draws"] == config.steps * config.batch_size == 16_000


def test_damage_of_blocks_is_told_from_the_recorded_losses() -> None:
    single, pairs, loss = FACTS["single"](), FACTS["pairs"](), subsets().loss
    assert single["losses"] == [loss[FULL ^ 1 << i] for i in range(12)]
    assert single["losses"][single["worst"]] == max(single["losses"])
    mild = [int(block) for block in pairs["mild"].split()]
    assert pairs["together"] == pytest.approx(loss[FULL ^ sum(1 << i for i in mild)] - loss[FULL])
    assert pairs["sum"] == pytest.approx(sum(loss[FULL ^ 1 << i] - loss[FULL] for i in mild))


def test_pairs_that_hurt_less_have_an_early_block() -> None:
    facts, loss = FACTS["pairs"](), subsets().loss
    alone = [loss[FULL ^ 1 << i] - loss[FULL] for i in range(12)]
    pairs = [(j, i) for i in range(12) for j in range(i)]
    less = [(j, i) for j, i in pairs if loss[FULL ^ 1 << i ^ 1 << j] - loss[FULL] < alone[i] + alone[j]]
    assert (facts["pairs"], facts["less"]) == (len(pairs), len(less))
    assert max(first for first, _ in less) == facts["less_first"] == 2  # "block 0, 1 or 2"
    assert not all(second - first == 1 for first, second in less)


def _finetuned() -> dict[str, float]:
    return {" ".join(row.kept): after for row, _, after in ground_truth().finetuned}


def test_teacher_is_told_what_was_measured() -> None:
    guide = " ".join((ROOT / "docs" / "teacher.md").read_text().split())
    loss, after, truth = subsets().loss, _finetuned(), FACTS["candidates"]()
    rank = sorted(after.values()).index(after["0 2 4 7 9 11"]) + 1
    assert f"number {rank} of {len(after)}" in guide
    with_5 = [kept for kept in after if "5" in kept.split() and "6" not in kept.split()]
    pairs = [(after[kept], after[other]) for kept in with_5 if (other := kept.replace("5", "6")) in after]
    assert f"of {len(pairs)} pairs" in guide and f"lower in {sum(a < b for a, b in pairs)}." in guide
    late = loss[0b111111]
    times = (late - loss[FULL]) / sum(loss[FULL ^ 1 << i] - loss[FULL] for i in range(6, 12))
    assert f"the loss is {late:.3f} instead of {loss[FULL]:.4f}, {times:.1f} times" in guide
    one, four = truth["early"]["1"], truth["early"]["4"]
    assert f"at {one[0]:.2f} before and {one[1]:.3f} after, with all four at {four[0]:.2f} and {four[1]:.3f}" in guide
    assert truth["table"][0]["kept"] == FINALISTS[0] and "Begin there" in guide


def test_longer_training_is_told_as_the_study_tells_it() -> None:
    study = " ".join((ROOT / "docs" / "study.md").read_text().split())
    images, teacher_too = re.findall(
        r"1,500 steps of 128 images.*?plain training ends at ([\d.]+) and the default at ([\d.]+)", study
    )[0]
    told = entries("en")["lessons.distil.recipes_truth"]
    assert f"({images} against {teacher_too} with" in told
    assert f"({images} gegen {teacher_too} mit".replace("0.", "0,") in entries("de")["lessons.distil.recipes_truth"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_nothing_gives_the_first_lesson_away_before_it_asks(language: str) -> None:
    said = entries(language)
    early = [words for key, words in said.items() if key.startswith("lessons.start.")]
    early += [said[f"lessons.{lesson.id}.about"] for lesson in LESSONS]
    assert [words for words in early if "{kept}" in words or any(kept in words for kept in FINALISTS)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_page_has_a_formula_beside_every_picture(language: str) -> None:
    for lesson in LESSONS:
        for page in lesson.pages:
            formulas = [entry for entry in page.formula.split("+") if entry.startswith("formula")]
            assert formulas and all("$$" in entries(language)[f"lessons.{lesson.id}.{entry}"] for entry in formulas)


def test_picture_of_the_start_is_that_of_the_recorded_search() -> None:
    facts, run = FACTS["start"](), recording("recorded-search-digits-dit")
    first, last = (dict(run.metrics().vectors("keep/blocks"))[step] for step in (1, 250))
    shades = len(facts["shades"])
    assert [row[0] for row in facts["rows"]] == [round(share * (shades - 1)) for share in first]
    assert [row[-1] for row in facts["rows"]] == [round(share * (shades - 1)) for share in last]
    assert len(facts["rows"][0]) == 60
    assert "kept" not in facts  # nobody is told before the first lesson has asked
    assert facts["shades"][0] != facts["shades"][-1]


def test_recipes_are_told_from_the_recorded_recovery() -> None:
    cells = json.loads((assets_folder() / "studies" / "recovery" / f"{STUDY}.json").read_text())["cells"]
    means = FACTS["recipes"]()["means"]
    assert means["masked"] == statistics.mean(c["loss"] for c in cells if c["recipe"] == "masked-kd")
    assert means["best"] == min(means.values())


@pytest.mark.parametrize("name", FACTS)
def test_facts_can_be_sent(name: str) -> None:
    assert orjson.loads(orjson.dumps(FACTS[name]()))  # as Gradio sends them: keys have to be text
    assert json.loads(json.dumps(FACTS[name](), allow_nan=False))


def _used(script: Path) -> set[str]:
    """The entries of lessons.toml that a script names outright."""
    return set(re.findall(r"(?:text|say)\(\"(\w+\.\w+)\"", script.read_text()))


@pytest.mark.parametrize("script", [*SCRIPTS, *PAGE_SCRIPTS], ids=lambda script: script.stem)
def test_every_text_that_a_script_names_exists(script: Path) -> None:
    assert {key for key in _used(script) if f"lessons.{key}" not in entries("en")} == set()


def test_scripts_name_many_texts() -> None:
    assert len(set().union(*(_used(script) for script in SCRIPTS))) > 80


def test_texts_are_filled_alike_in_every_language() -> None:
    def places(language: str) -> dict[str, set[str]]:
        known = {key: words for key, words in entries(language).items() if key.startswith("lessons.")}
        return {key: set(re.findall(r"\{(\w+)\}", words)) for key, words in known.items() if "formula" not in key}

    first, *others = (places(language) for language in LANGUAGES)
    assert len(first) > 150
    assert all(other == first for other in others)


def test_every_lesson_has_a_name_for_each_page_and_sources() -> None:
    for lesson in LESSONS:
        wanted = {"title", "about", "sources", *(f"step{n}" for n, _ in enumerate(lesson.pages, start=1))}
        assert {name for name in wanted if f"lessons.{lesson.id}.{name}" not in entries("de")} == set()
        assert "sources" in lesson.pages[-1].formula


@pytest.mark.parametrize("asked", [{}, None, {"path": "/etc/passwd"}, 3])
def test_the_tab_answers_alike_whatever_is_asked(asked: Any) -> None:
    lab: Any = None
    with gr.Blocks() as page:
        build(lab)
    functions = [fn for block in page.blocks.values() for fn in getattr(block, "server_fns", ())]
    widgets = [script for lesson in LESSONS for each in lesson.pages for script, _ in each.widgets]
    known = [FACTS[script]() for script in ("start", *widgets) if script in FACTS]
    assert [fn(asked) for fn in functions] == known


def test_the_tab_leaves_torch_alone() -> None:
    script = "import sys, app.tabs.learn; print(*(m for m in ('torch', 'diffusers', 'sklearn') if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.split() == []


def test_recipe_of_the_data_is_documented() -> None:
    readme = (lessons_folder() / "README.md").read_text()
    assert "python -m app.lessons.recording.record" in readme
    assert [file.name for file in lessons_folder().iterdir() if file.suffix != ".md" and file.name not in readme] == []
    assert describe_model(STUDY).depth == {"blocks": 12}
