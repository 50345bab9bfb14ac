"""`tinylab bench`: what it measures is right, what it prints is whole, what cannot be is refused. No time is judged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tinylab.bench import sampling
from tinylab.bench.search import gradient_error, measure_search
from tinylab.bench.subject import SearchOptions, build_model, prepare
from tinylab.cli import main
from tinylab.errors import BadRequest
from tinylab.metrics.cost import count_flops, peak_flops
from tinylab.metrics.memory import saved_bytes
from tinylab.models.networks.dit import DiT
from tinylab.pruning.gates import gated
from tinylab.training.precision import CompiledBlocks

TINY = {"width": 16, "tokens": 4, "blocks": 4, "heads": 2, "batches": (6,), "rounds": 1, "device": "cpu"}
TINY_FLAGS = ["--width", "16", "--tokens", "4", "--blocks", "4", "--heads", "2", "--batch", "6", "--rounds", "2"]
FLOAT = 4  # bytes


def bench(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    """The JSON of a measurement; nothing else may be on stdout."""
    capsys.readouterr()
    assert main(["bench", *arguments, "--device", "cpu", "--threads", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def measured() -> dict[tuple[str, str], Any]:
    """Rows of a tiny model by weights and mode."""
    rows = measure_search(SearchOptions(**TINY), progress=lambda message: None)  # type: ignore[arg-type]
    return {(row.weights, row.mode): row for row in rows}


def test_saved_bytes_of_a_chain_of_linears_are_its_hidden_values() -> None:
    x = torch.randn(5, 3)
    chain = nn.Sequential(nn.Linear(3, 7), nn.Linear(7, 11), nn.Linear(11, 2))

    def step() -> None:
        chain(x).sum().backward()

    assert saved_bytes(step, apart_from=[x, *chain.parameters()]) == 5 * (7 + 11) * FLOAT
    weights = 7 * 11 + 11 * 2  # the first one is only needed for the gradient of x
    assert saved_bytes(step, apart_from=[x]) == (5 * (7 + 11) + weights) * FLOAT


def test_memory_that_saved_tensors_share_counts_once_and_whole() -> None:
    x = torch.randn(6, 4, requires_grad=True)

    def step() -> None:
        y = x.exp()  # keeps y; so do both factors of the product, one of them a part of it
        (y * y[:1]).sum().backward()

    assert saved_bytes(step, apart_from=[x]) == 6 * 4 * FLOAT


def test_a_step_without_gradients_saves_nothing() -> None:
    x = torch.randn(6, 4, requires_grad=True)
    with torch.no_grad():
        assert saved_bytes(lambda: x.exp().sum()) == 0


def test_flops_of_a_linear_and_of_attention() -> None:
    x, linear = torch.randn(5, 3), nn.Linear(3, 7)
    assert count_flops(lambda: linear(x)) == 2 * 5 * 3 * 7
    assert count_flops(lambda: linear(x).sum().backward()) == 2 * (2 * 5 * 3 * 7)  # x needs no gradient
    query = torch.randn(2, 3, 8, 16)  # samples, heads, tokens, width
    attention = count_flops(lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query))
    assert attention == 2 * (2 * 2 * 3 * 8 * 8 * 16)


@pytest.mark.parametrize(
    ("card", "wanted"),
    [
        ("NVIDIA H200", 989e12),
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H100 NVL", 835e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA GeForce RTX 3090 Ti", None),
        ("A card of tomorrow", None),
    ],
)
def test_peaks_are_found_by_the_name_of_the_card(card: str, wanted: float | None) -> None:
    assert peak_flops(card) == wanted


def test_gradient_error_is_relative_and_takes_none_for_zeros() -> None:
    three, four = torch.tensor([3.0]), torch.tensor([4.0])
    assert gradient_error([three, None], [three, None]) == 0
    assert gradient_error([None, four], [three, four]) == pytest.approx(3 / 5)
    assert gradient_error([three, four], [three, None]) == pytest.approx(4 / 3)
    assert gradient_error([three], [None]) == math.inf


def test_every_mode_is_measured_for_every_kind_of_weights(measured: dict[tuple[str, str], Any]) -> None:
    modes = ("dense", "exact", "sampled")
    assert list(measured) == [(weights, mode) for weights in ("full", "lora", "frozen") for mode in modes]
    for row in measured.values():
        assert (row.width, row.tokens, row.blocks, row.batch, row.pattern) == (16, 4, 4, 6, "1:2")
        assert row.seconds > 0
        assert row.memory_bytes > 0
        assert row.tflops == pytest.approx(row.flops / row.seconds / 1e12)
        assert row.peak_share is row.compile_seconds is None  # nothing is compiled, and there is no card


def test_exact_and_sampled_give_the_gradients_of_dense(measured: dict[tuple[str, str], Any]) -> None:
    for (weights, mode), row in measured.items():
        if (weights, mode) == ("frozen", "sampled"):
            assert row.gradient_error is None  # the mask's is all there is
        else:
            assert row.gradient_error < 1e-4, (weights, mode)
        if mode == "sampled":
            assert 1e-3 < row.mask_gradient_error < math.inf
        else:
            assert row.mask_gradient_error < 1e-4


def test_skipping_saves_arithmetic_and_memory(measured: dict[tuple[str, str], Any]) -> None:
    for weights in ("full", "lora", "frozen"):
        dense, exact, sampled = (measured[weights, mode] for mode in ("dense", "exact", "sampled"))
        assert dense.memory_ratio == dense.speedup == 1
        assert dense.flops > exact.flops > sampled.flops
        assert dense.memory_bytes > exact.memory_bytes > sampled.memory_bytes
        assert exact.memory_ratio == exact.memory_bytes / dense.memory_bytes


def test_random_models_have_gradients_everywhere() -> None:
    """Untrained blocks and fresh LoRA matrices are the identity; then every error would be 0 / 0."""
    for weights in ("full", "lora"):
        options = SearchOptions(**TINY, pattern="3:4")  # type: ignore[arg-type]
        subject = prepare(options, build_model(options), weights=weights, batch=6)
        found = subject.gradients("dense", 0)
        assert len(found) > 30
        assert any("lora_" in name for name in found) == (weights == "lora")
        assert [name for name, gradient in found.items() if gradient is None or not gradient.any()] == []


def test_equal_seeds_draw_equal_masks_and_others_do_not() -> None:
    options = SearchOptions(**TINY)  # type: ignore[arg-type]
    subject = prepare(options, build_model(options), weights="frozen", batch=6)
    first, again, other = (subject.gradients("dense", seed) for seed in (0, 0, 1))
    assert list(first) == ["mask.groups.blocks.0.logits", "mask.groups.blocks.1.logits"]
    for name, gradient in first.items():
        assert torch.equal(gradient, again[name])  # type: ignore[arg-type]
        assert not torch.equal(gradient, other[name])  # type: ignore[arg-type]


def test_lower_precision_computes_in_it_and_keeps_gradients_in_float32() -> None:
    options = SearchOptions(**TINY, dtype="bfloat16")  # type: ignore[arg-type]
    subject = prepare(options, build_model(options), weights="full", batch=6)
    found = subject.gradients("exact", 0)
    assert {gradient.dtype for gradient in found.values() if gradient is not None} == {torch.float32}
    exactly = prepare(SearchOptions(**TINY), subject.model, weights="full", batch=6).gradients("exact", 0)  # type: ignore[arg-type]
    error = gradient_error(list(found.values()), list(exactly.values()))
    assert 1e-4 < error < 0.1


@pytest.fixture
def graphs_only(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """torch.compile makes graphs but runs them without a C++ compiler, which takes many seconds. What was asked for."""
    asked = []

    def compile_eagerly(forward: Any, *, dynamic: bool) -> Any:
        asked.append(dynamic)
        return torch._dynamo.optimize("eager", dynamic=dynamic)(forward)

    monkeypatch.setattr(torch, "compile", compile_eagerly)
    return asked


def test_compiled_blocks_are_taken_away_again(tiny_dit: DiT, graphs_only: list[bool]) -> None:
    x, t, y = torch.randn(3, 1, 8, 8), torch.arange(3), torch.arange(3)
    masks = {"blocks": torch.tensor([[1.0, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]])}
    with torch.no_grad(), gated(tiny_dit, masks):
        wanted = tiny_dit(x, t, y)
    blocks = CompiledBlocks(tiny_dit)
    with torch.no_grad(), blocks.applied(), gated(tiny_dit, masks):
        assert torch.allclose(tiny_dit(x, t, y), wanted, atol=1e-6)
    assert graphs_only == [True] * 4  # the number of samples is a symbol
    assert all("forward" not in vars(block) for block in tiny_dit.blocks)


def test_compiled_modes_are_measured_beside_the_others(graphs_only: list[bool]) -> None:
    options = SearchOptions(**TINY | {"blocks": 2}, weights=("lora",), with_compile=True)  # type: ignore[arg-type]
    rows = measure_search(options, progress=lambda message: None)
    plain = ["dense", "exact", "sampled"]
    assert [row.mode for row in rows] == [*plain, *(f"{mode}+compile" for mode in plain)]
    for row, compiled in zip(rows[:3], rows[3:], strict=True):
        assert (compiled.gradient_error or 0) < 1e-4
        assert compiled.flops == row.flops > 0
        assert row.compile_seconds is None
        assert compiled.compile_seconds is not None


@pytest.mark.slow
def test_blocks_really_compile_and_give_the_same_gradients() -> None:
    small = TINY | {"blocks": 2}  # every block is compiled, which takes many seconds
    options = SearchOptions(**small, weights=("frozen",), modes=("dense",), with_compile=True)  # type: ignore[arg-type]
    _, compiled = measure_search(options, progress=lambda message: None)
    assert compiled.mode == "dense+compile"
    assert compiled.gradient_error is not None and compiled.gradient_error < 1e-4
    assert compiled.compile_seconds is not None and compiled.compile_seconds > 0


def test_json_holds_every_row_with_the_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    made = bench(capsys, "search", *TINY_FLAGS, "--weights", "lora,full", "--modes", "exact", "--pattern", "2:4")
    assert set(made) == {"torch", "device", "threads", "rounds", "rows"}
    assert (made["device"], made["threads"], made["rounds"]) == ("cpu", 1, 2)
    assert [(row["weights"], row["mode"]) for row in made["rows"]] == [
        (weights, mode) for weights in ("lora", "full") for mode in ("dense", "exact")
    ]
    for row in made["rows"]:
        assert {"speedup", "seconds", "spread", "memory_ratio", "gradient_error", "parameters"} <= set(row)
        assert (row["width"], row["batch"], row["pattern"], row["dtype"]) == (16, 6, "2:4", "float32")


def test_several_batch_sizes_and_a_model_of_ones_own(capsys: pytest.CaptureFixture[str], tiny_folder: str) -> None:
    flags = ["--model", tiny_folder, "--batch", "2,4", "--weights", "lora", "--rounds", "1", "--modes", "sampled"]
    rows = bench(capsys, "search", *flags)["rows"]
    assert [(row["batch"], row["mode"]) for row in rows] == [(n, m) for n in (2, 4) for m in ("dense", "sampled")]
    assert {(row["width"], row["tokens"], row["blocks"], row["model"]) for row in rows} == {(16, 16, 4, tiny_folder)}


def test_the_table_names_every_mode(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "search", *TINY_FLAGS, "--device", "cpu", "--threads", "1", "--weights", "full"]) == 0
    printed = capsys.readouterr()
    assert "width 16, 4 tokens, 4 blocks, 1:2, float32" in printed.out
    table = [line.split() for line in printed.out.splitlines() if line.startswith("full")]
    assert [line[2] for line in table] == ["dense", "exact", "sampled"]
    assert "search steps, full, batch 6" in printed.err


def test_sampling_is_measured_with_half_of_the_blocks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "SAMPLED", {"tiny": {"width": 16, "tokens": 4, "blocks": 5, "heads": 2}})
    made = bench(capsys, "sampling", "--rounds", "2")
    assert set(made) == {"torch", "device", "threads", "rounds", "sampling"}
    (row,) = made["sampling"]
    assert (row["model"], row["blocks"], row["half_blocks"]) == ("tiny", 5, 3)
    assert row["speedup"] > 0 < row["half_seconds"] < math.inf


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["fly"], "choice"),
        (["search", "--tokens", "60"], "square"),
        (["search", "--width", "x"], "--width"),
        (["search", "--width", "10", "--heads", "3"], "num_heads 3 does not divide"),
        (["search", "--blocks", "0"], "depth"),
        (["search", "--weights", "full,heavy"], "--weights heavy: use"),
        (["search", "--modes", ""], "--modes (empty)"),
        (["search", "--dtype", "float16"], "--dtype float16: use"),
        (["search", "--batch", "8,no"], "--batch 8,no"),
        (["search", "--batch", "0"], "--batch"),
        (["search", "--share", "0"], "--share 0"),
        (["search", "--share", "nan"], "--share nan"),
        (["search", "--rounds", "0"], "--rounds 0"),
        (["search", "--threads", "-1"], "--threads -1"),
        (["search", "--pattern", "3:2", *TINY_FLAGS], "pattern"),
        (["search", "--pattern", "time=0.5", *TINY_FLAGS], "time"),
        (["search", "--model", "nowhere"], "nowhere"),
        (["search", "--device", "tpu"], "--device tpu"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments, "--json"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    line = printed.err.strip().splitlines()[-1]
    assert line.startswith("tinylab: ")
    assert named in line


def test_options_check_themselves() -> None:
    with pytest.raises(BadRequest, match="square number"):
        SearchOptions(tokens=0)
    assert SearchOptions(model="DiT-XL/2", tokens=7).model == "DiT-XL/2"  # then sizes do not count


def test_make_bench_runs_the_command() -> None:
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    assert "-m tinylab bench" in makefile
