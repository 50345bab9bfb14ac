"""Launch file of a Gradio-SDK Space (`app_file: space.py`), for ZeroGPU; docs/space.md says what to set.

ZeroGPU lends a GPU for the length of a call, to functions of the main process that `spaces.GPU` decorates. So these
kinds of job are computed there; all others stay in processes of their own, on the CPU.
"""

from __future__ import annotations

import os

import app.__main__ as lab  # isort: skip  # first: it keeps the libraries off the network
import spaces  # before anything imports torch

from tinylab.launch.in_process import execute_here, run_here

__all__ = ["KINDS", "SECONDS", "main", "on_gpu"]

KINDS = ("sample",)
SECONDS = int(os.environ.get("TINYLAB_GPU_SECONDS") or 60)  # for which a GPU is asked; the job ends when they are over


@spaces.GPU(duration=SECONDS)
def on_gpu(folder: str) -> None:
    """Do the job of the run in that folder on the lent GPU."""
    execute_here(folder)


def main() -> None:
    """Start the lab; where GPUs are lent, have them used."""
    if os.environ.get("SPACES_ZERO_GPU"):
        run_here(KINDS, on_gpu)
    lab.main()


if __name__ == "__main__":
    main()
