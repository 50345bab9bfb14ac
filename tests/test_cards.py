"""Model cards: what a stranger must know of a cut model, and nothing of the machine it was cut on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinylab.cli import main
from tinylab.cli.fields import config_of
from tinylab.cli.parser import build_parser
from tinylab.config import FinetuneConfig
from tinylab.jobs.cards import shallow_card, training_card
from tinylab.presets import TRAIN_PRESETS, train_config
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.run import Run


def plan(model: str, method: str = "oracle", **details: object) -> DepthPlan:
    return DepthPlan({"blocks": (0, 2)}, {"blocks": 4}, method, model=model, details=details)


def test_card_names_teacher_kept_layers_method_training_and_scores() -> None:
    learned = plan("digits-dit", "learned", pattern="1:2", weights="lora", steps=300, seed=7, confidence=[0.5])
    config = FinetuneConfig(run="x", steps=50)
    card = shallow_card(learned, config, {"loss_full": 0.1, "loss_finetuned": 0.25})
    assert "# digits-dit, cut to 2 blocks" in card and "Teacher: digits-dit" in card
    assert "Kept blocks: 0, 2 of 4 blocks" in card
    assert "learned (pattern 1:2, weights lora, steps 300, seed 7)" in card
    assert "fine-tuned for 50 steps" in card
    assert "| loss full | 0.1000 |" in card and "| loss finetuned | 0.2500 |" in card


def test_card_of_a_local_teacher_hides_its_folder_and_claims_no_licence() -> None:
    card = shallow_card(plan("/home/somebody/secret/teacher"), None)
    assert "Teacher: teacher\n" in card
    assert "somebody" not in card and "license" not in card and "|" not in card
    assert "license: apache-2.0" in shallow_card(plan("digits-dit"), None)


def test_card_of_a_teacher_on_the_hub_links_to_it() -> None:
    card = shallow_card(plan("hub:people/dit@0123456"), None)
    assert card.startswith("---\nbase_model: people/dit\n") and "license" not in card
    assert "Teacher: hub:people/dit@0123456" in card


@pytest.mark.parametrize("model", ["a\nlicense: mine", "hub:a\nb: c@main", ""])
def test_odd_names_cannot_write_metadata(model: str) -> None:
    header = shallow_card(plan(model, "x\n---\nevil"), None).split("---")[1]
    assert header == "\nlibrary_name: tinylab\ntags: [tinylab, depth-pruning]\n"


@pytest.mark.parametrize(
    ("given", "command"),
    [
        ({}, "tinylab train --preset digits-dit --seed 0 --steps 6000"),
        (
            {"seed": 3, "lr": 0.5, "ema_decay": 0.9, "log_every": 10},
            "tinylab train --preset digits-dit --seed 3 --steps 6000 --log-every 10 --lr 0.5 --ema-decay 0.9",
        ),
    ],
)
def test_card_of_a_training_has_the_command_that_repeats_it(given: dict, command: str, tmp_path: Path) -> None:
    config = train_config("digits-dit", **given)
    run = Run.create(tmp_path / "run", config)
    card = training_card(config, TRAIN_PRESETS["digits-dit"], {}, run, device="NVIDIA H200")
    assert f"Made by `{command}` in 1 minute(s)" in card
    assert "on NVIDIA H200 with 1 CPU thread(s)" in card
    options = build_parser().parse_args(command.split()[1:])
    assert config_of(options) == config


def test_cards_of_jobs_state_what_they_measured(
    tiny_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    short = ["--steps", "1", "--batch-size", "4", "--threads", "1", "--quiet", "--json"]
    source = ["--model", tiny_folder, "--indices", "0,2"]
    assert main(["finetune", *source, *short, "--out", str(out)]) == 0
    result = json.loads(capsys.readouterr().out)
    card = (out / "model" / "README.md").read_text()
    for name in ("loss_full", "loss_pruned", "loss_finetuned"):
        assert f"| {name.replace('_', ' ')} | {result[name]:.4f} |" in card
    assert "fine-tuned for 1 steps" in card
