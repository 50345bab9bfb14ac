"""`tinylab verify`: golden files hold, a changed number is found, damaged and foreign files are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from golden_values import load_golden
from safetensors.torch import save_file
from torch import Tensor

from tinylab.cli import main
from tinylab.errors import BadRequest
from tinylab.verify.report import KINDS, tolerance, verify_file

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a golden file with other tensors or metadata."""

    def write(tensors: dict[str, Tensor], metadata: dict[str, str]) -> Path:
        path = tmp_path / "changed.safetensors"
        save_file({name: value.contiguous() for name, value in tensors.items()}, path, metadata)
        return path

    return write


@pytest.mark.parametrize("name", KINDS)
def test_every_quantity_of_the_golden_files_holds(name: str) -> None:
    rows = verify_file(GOLDEN / f"{name}.safetensors")
    assert {row.quantity for row in rows} == set(load_golden(name).part("output"))
    assert [row.quantity for row in rows if not row.ok] == []


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_output_is_found(name: str, write: Callable[..., Path]) -> None:
    golden = load_golden(name)
    quantity = next(name for name, value in golden.part("output").items() if value.any())
    changed = golden.tensors[f"output.{quantity}"] * (1 + 3 * tolerance(quantity))
    path = write({**golden.tensors, f"output.{quantity}": changed}, golden.metadata)
    assert [row.quantity for row in verify_file(path) if not row.ok] == [quantity]


def test_nothing_depends_on_sizes_or_on_which_outputs_there_are(
    build_tiny: Callable[..., Any], write: Callable[..., Path]
) -> None:
    model = build_tiny("sit", depth=3, in_channels=3, input_size=4, hidden_size=8)
    config = {key: model.config[key] for key in ("input_size", "patch_size", "in_channels", "hidden_size", "depth")}
    config |= {"num_heads": 2, "num_classes": 10}
    x, t, y = torch.randn(5, 3, 4, 4), torch.rand(5), torch.arange(5)
    with torch.no_grad():
        forward = model(x, t, y)
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    inputs = {"input.x": x, "input.t": t, "input.y": y, "input.noise": torch.randn(5, 3, 4, 4)}
    path = write({**state, **inputs, "output.forward": forward}, {"config": json.dumps(config)})
    assert [(row.quantity, row.ok) for row in verify_file(path)] == [("forward", True)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t, m: t.pop("input.x"), "lacks input.x"),
        (lambda t, m: t.pop("model.pos_embed"), "pos_embed"),
        (lambda t, m: m.pop("config"), "'config'"),
        (lambda t, m: m.update(config="{"), "'config'"),
        (lambda t, m: m.update(config="[]"), "JSON object"),
        (lambda t, m: m.update(config=json.dumps({**json.loads(m["config"]), "depth": 10**6})), "1000000 blocks"),
        (lambda t, m: m.update(config=json.dumps({**json.loads(m["config"]), "hidden_size": 63})), "num_heads"),
        (lambda t, m: m.update(config=json.dumps({**json.loads(m["config"]), "colour": 1})), "'colour'"),
        (lambda t, m: t.update({"input.y": t["input.y"][:2]}), "do not fit together"),
        (lambda t, m: t.update({"input.y": t["input.y"] + 100}), "do not fit together"),
        (lambda t, m: t.update({"output.dream": torch.ones(1)}), "output.dream"),
        (lambda t, m: t.update({"output.grad.nothing": torch.ones(1)}), "output.grad.nothing"),
        (lambda t, m: [t.pop(name) for name in list(t) if name.startswith("output.")], "no output"),
        (lambda t, m: [t.pop(name) for name in list(t) if name.startswith("model.")], "known kind"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(change: Any, words: str, write: Callable[..., Path]) -> None:
    golden = load_golden("dit")
    tensors, metadata = dict(golden.tensors), dict(golden.metadata)
    change(tensors, metadata)
    with pytest.raises(BadRequest, match=words) as refused:
        verify_file(write(tensors, metadata))
    assert "\n" not in str(refused.value)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    path.write_bytes((GOLDEN / "sit.safetensors").read_bytes()[:100_000])
    with pytest.raises(BadRequest, match="truncated"):
        verify_file(path)


def test_what_is_no_file_is_refused_by_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is a folder"):
        verify_file(tmp_path)
    with pytest.raises(BadRequest, match="is not there"):
        verify_file(tmp_path / "nothing.safetensors")


def test_command_says_0_for_all_that_holds_1_for_a_difference_2_for_no_golden_file(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sit = GOLDEN / "sit.safetensors"
    assert main(["verify", str(sit)]) == 0
    assert capsys.readouterr().out.count(" ok\n") == 1 + len(load_golden("sit").part("output"))  # and the title
    golden = load_golden("sit")
    wrong = write({**golden.tensors, "output.loss": golden.tensors["output.loss"] + 1}, golden.metadata)
    assert main(["verify", "--json", str(sit), str(wrong)]) == 1
    printed = capsys.readouterr()
    assert [row["quantity"] for row in json.loads(printed.out) if not row["ok"]] == ["loss"]
    assert "1 of 8" in printed.err
    (tmp_path / "words").write_text("no golden file")
    assert main(["verify", str(tmp_path / "words"), str(sit)]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert " ok\n" in printed.out
