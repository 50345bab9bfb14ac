"""What a model costs: weights, arithmetic and time, where models are always measured in turn in one process."""

import re
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

__all__ = [
    "CPU_ATTENTION",
    "block_seconds",
    "count_flops",
    "count_parameters",
    "interleaved_seconds",
    "peak_flops",
    "synchronised_time",
]

# Dense bf16 matrix arithmetic with float32 sums, in TFLOP/s, as NVIDIA's data sheets state it (with half of the numbers
# that count sparsity). The first pattern that is found in the name of a card holds.
_PEAKS = (
    (r"\bB200\b", 2250.0),
    (r"\bH[12]00 NVL\b", 835.0),
    (r"\bH100 PCIe\b", 756.0),
    (r"\bG?H[12]00\b", 989.0),
    (r"\bA100\b", 312.0),
    (r"\bL40S\b", 362.0),
    (r"\bL4\b", 121.0),
    (r"\bRTX 4090$", 165.2),
    (r"\bRTX 3090$", 71.0),
)


def count_parameters(model: nn.Module) -> int:
    """Number of weights, the fixed positions included."""
    return sum(p.numel() for p in model.parameters())


def count_flops(work: Callable[[], object]) -> int:
    """Floating point operations of the matrix products, convolutions and attentions that `work` runs, backward passes
    included; a multiplication and an addition count as two. What torch.compile made is not seen."""
    with FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION) as counter:
        work()
    return counter.get_total_flops()


def peak_flops(card: str) -> float | None:
    """The most bf16 operations per second that the matrix units of a card can do, by torch's name for the card; None
    for a card that is not known."""
    return next((peak * 1e12 for pattern, peak in _PEAKS if re.search(pattern, card)), None)


def synchronised_time() -> float:
    """Seconds on a clock, read when the GPU (if one is in use) has done all that it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()
    return time.perf_counter()


def interleaved_seconds(
    work: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 5,
    budget: float = 8.0,
    clock: Callable[[], float] = synchronised_time,
) -> dict[str, list[float]]:
    """Seconds of each piece of work, in turn A B, B A, … so that drifts of the machine's speed hit all alike.

    At least one round, at most `rounds`; none is begun after `budget` seconds.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    began = clock()
    for done in range(max(1, rounds)):
        if done and clock() - began > budget:
            break
        first = done % max(1, len(work))
        for name in [*work][first:] + [*work][:first]:
            start = clock()
            work[name]()
            seconds[name].append(clock() - start)
    return seconds


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(out: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return sdpa_backward_flop_count(out, query, key, value)


# torch counts the attention of GPUs only.
CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


_ROUNDS, _WARM_UP = 7, 2


@torch.no_grad()
def block_seconds(
    stacks: Mapping[str, nn.ModuleList],
    forward: Callable[[], object],
    *,
    rounds: int = _ROUNDS,
    clock: Callable[[], float] = synchronised_time,
) -> dict[str, list[float]]:
    """Median seconds of every block per stack while `forward` runs the model.

    Blocks of one class with equally many weights do equal work: all get the median of all their times, so that noise
    does not decide between equals.
    """
    times: dict[nn.Module, list[float]] = {block: [] for blocks in stacks.values() for block in blocks}
    began: dict[nn.Module, float] = {}

    def start(block: nn.Module, args: object) -> None:
        began[block] = clock()

    def end(block: nn.Module, args: object, output: object) -> None:
        times[block].append(clock() - began[block])

    hooks = [handle for b in times for handle in (b.register_forward_pre_hook(start), b.register_forward_hook(end))]
    try:
        for _ in range(_WARM_UP + rounds):
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    kinds: dict[tuple[type, int], list[float]] = {}
    for block, seconds in times.items():
        kinds.setdefault(_kind(block), []).extend(seconds[_WARM_UP:])
    return {stack: [statistics.median(kinds[_kind(block)]) for block in blocks] for stack, blocks in stacks.items()}


def _kind(block: nn.Module) -> tuple[type, int]:
    return type(block), sum(p.numel() for p in block.parameters())
