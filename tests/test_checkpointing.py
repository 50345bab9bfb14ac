"""Checkpoints: exact, verified, and never worse than the one before."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tinylab.errors import Failure
from tinylab.training.checkpointing import (
    latest_checkpoint,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
)

TENSORS, MANIFEST = "state.safetensors", "MANIFEST.json"


def save(folder: Path, step: int) -> Path:
    return save_checkpoint(folder, step, {"model": {"weight": torch.full((3,), float(step))}})


def flip(file: Path, position: int, bit: int = 0) -> None:
    data = bytearray(file.read_bytes())
    data[position] ^= 1 << bit
    file.write_bytes(bytes(data))


def trained_optimizer(steps: int) -> tuple[nn.Linear, torch.optim.AdamW]:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        model(torch.full((1, 3), float(step + 1))).square().sum().backward()
        optimizer.step()
    return model, optimizer


def test_no_checkpoint_reads_as_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path / "absent") is None
    assert latest_checkpoint(tmp_path) is None


def test_parts_come_back_exactly(tmp_path: Path) -> None:
    parts: dict[str, dict[str, Tensor]] = {
        "model": {"a.b": torch.randn(2, 3), "c": torch.randn(4, 4).t(), "empty": torch.zeros(0)},
        "model_ema": {"a.b": torch.randn(2, 3, dtype=torch.float64)},
        "counts": {"n": torch.tensor(7), "half": torch.randn(3).bfloat16()},
    }
    save_checkpoint(tmp_path, 12, parts)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 12
    for name, part in parts.items():
        read = found.part(name)
        assert read.keys() == part.keys()
        for key, value in part.items():
            assert read[key].dtype == value.dtype
            assert torch.equal(read[key], value)


def test_optimizer_goes_on_as_if_it_had_never_been_saved(tmp_path: Path) -> None:
    model, optimizer = trained_optimizer(3)
    save_checkpoint(tmp_path, 3, {"model": model.state_dict(), "optimizer": optimizer_tensors(optimizer)})
    checkpoint = latest_checkpoint(tmp_path)
    assert checkpoint is not None
    fresh, fresh_optimizer = trained_optimizer(0)
    fresh.load_state_dict(checkpoint.part("model"))
    restore_optimizer(fresh_optimizer, checkpoint.part("optimizer"))
    for network, stepper in ((model, optimizer), (fresh, fresh_optimizer)):
        stepper.zero_grad()
        network(torch.ones(1, 3)).sum().backward()
        stepper.step()
    assert torch.equal(fresh.weight, model.weight)
    assert torch.equal(fresh.bias, model.bias)
    before, after = optimizer_tensors(optimizer), optimizer_tensors(fresh_optimizer)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_restoring_an_optimizer_keeps_its_learning_rate() -> None:
    _, saved = trained_optimizer(2)
    _, fresh = trained_optimizer(0)
    fresh.param_groups[0]["lr"] = 0.25
    restore_optimizer(fresh, optimizer_tensors(saved))
    assert fresh.param_groups[0]["lr"] == 0.25


def test_only_the_two_newest_are_kept(tmp_path: Path) -> None:
    for step in (5, 10, 15, 20):
        save(tmp_path, step)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000000015", "step-000000020"]


def test_newest_is_the_one_with_the_highest_step(tmp_path: Path) -> None:
    for step in (9, 10):
        save(tmp_path, step)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert (found.step, found.part("model")["weight"].tolist()) == (10, [10.0] * 3)


def test_saving_a_step_again_replaces_it(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        save_checkpoint(tmp_path, 4, {"model": {"weight": torch.tensor(value)}})
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.part("model")["weight"].item() == 2.0


def test_any_flipped_byte_of_the_tensors_falls_back_to_the_older_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1)
    file = save(tmp_path, 2) / TENSORS
    for position in range(file.stat().st_size):
        flip(file, position)
        found = latest_checkpoint(tmp_path)
        assert found is not None
        assert found.step == 1, position
        flip(file, position)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 2


def test_no_flipped_bit_of_the_manifest_gives_a_wrong_step(tmp_path: Path) -> None:
    save(tmp_path, 1)
    file = save(tmp_path, 2) / MANIFEST
    for position in range(file.stat().st_size):
        for bit in range(8):
            flip(file, position, bit)
            found = latest_checkpoint(tmp_path)
            assert found is not None
            assert found.part("model")["weight"].tolist() == [float(found.step)] * 3, (position, bit)
            flip(file, position, bit)


@pytest.mark.parametrize("name", [TENSORS, MANIFEST])
@pytest.mark.parametrize("content", [None, b"", b"\x00" * 8, b"{}"])
def test_missing_or_foreign_file_falls_back_to_the_older_checkpoint(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    save(tmp_path, 1)
    file = save(tmp_path, 2) / name
    file.unlink() if content is None else file.write_bytes(content)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1


@pytest.mark.parametrize("content", [b"[]", b"null"])
def test_manifest_that_is_no_object_falls_back_to_the_older_checkpoint(tmp_path: Path, content: bytes) -> None:
    save(tmp_path, 1)
    (save(tmp_path, 2) / MANIFEST).write_bytes(content)
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1


def test_all_damaged_is_a_failure_that_says_what_to_do(tmp_path: Path) -> None:
    for step in (1, 2):
        flip(save(tmp_path, step) / TENSORS, -1)
    with pytest.raises(Failure, match="every checkpoint in .* is damaged; delete that folder") as failed:
        latest_checkpoint(tmp_path)
    assert "\n" not in str(failed.value)


def test_a_save_that_was_cut_off_is_not_seen(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(AttributeError):
        save_checkpoint(tmp_path, 2, {"model": {"weight": None}})  # type: ignore[dict-item]
    half = tmp_path / ".step-000000003-abc"
    half.mkdir()
    (half / TENSORS).write_bytes(b"half")
    found = latest_checkpoint(tmp_path)
    assert found is not None
    assert found.step == 1
