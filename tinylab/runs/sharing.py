"""Which jobs several processes can do together, and whether their batches fall into equal shares. Free of torch."""

from __future__ import annotations

import os

from tinylab.config import JobConfig, LoopConfig, SearchConfig
from tinylab.errors import BadRequest
from tinylab.training.shares import check_shares

__all__ = ["SHARED_KINDS", "check_sharing", "on_own_device"]

SHARED_KINDS = ("train", "search", "finetune", "evaluate")


def check_sharing(config: JobConfig, processes: int) -> None:
    """BadRequest unless this many processes can do the job."""
    if processes > 1 and config.kind not in SHARED_KINDS:
        several = ", ".join(SHARED_KINDS[:-1])
        raise BadRequest(
            f"{config.kind} runs in one process, not {processes}: start it without a launcher "
            f"({several} and {SHARED_KINDS[-1]} take several)"
        )
    if isinstance(config, LoopConfig):
        copies = config.copies if isinstance(config, SearchConfig) and config.estimator == "reinforce" else 1
        check_shares(config.batch_size, processes=processes, accumulation=config.accumulation, copies=copies)


def on_own_device(config: JobConfig, processes: int) -> JobConfig:
    """The config of a job of several processes, on the CPU where the launcher asks for that.

    Raises:
        BadRequest: there are fewer GPUs than processes on this machine.
    """
    if processes == 1 or config.device == "cpu":
        return config
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes"):
        return config.model_copy(update={"device": "cpu"})
    import torch

    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < gpus < here:
        raise BadRequest(f"there are {gpus} GPUs for {here} processes on this machine; start as many, or --device cpu")
    return config
