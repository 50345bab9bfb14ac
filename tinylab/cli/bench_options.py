"""The options that all parts of `bench` but `sample` have in common."""

from __future__ import annotations

import argparse

from tinylab.cli.commands import Parser

__all__ = ["add_options"]


def add_options(command: Parser) -> list[argparse.Action]:
    """The options of all parts but `sample`; the actions that were added."""
    add = command.add_argument
    flags = [
        add("--rounds", metavar="N", type=int, default=11, help="times that each is measured (default: 11)"),
        add("--device", metavar="NAME", default="auto", help="auto, cpu or cuda (default: auto)"),
        add(
            "--threads", metavar="N", type=int, default=0, help="CPU threads; 0 leaves the choice to torch (default: 0)"
        ),
    ]
    return flags + _add_search_options(command) + _add_train_options(command)


def _add_search_options(command: Parser) -> list[argparse.Action]:
    add = command.add_argument_group("search steps").add_argument
    return [
        add("--width", metavar="N", type=int, default=384, help="of the hidden state (default: 384)"),
        add("--tokens", metavar="N", type=int, default=64, help="of an image, a square number (default: 64)"),
        add("--blocks", metavar="N", type=int, default=8, help="in the model (default: 8)"),
        add("--heads", metavar="N", type=int, default=6, help="of the attention (default: 6)"),
        add(
            "--model",
            metavar="MODEL",
            help="in place of these sizes: a published size such as DiT-XL/2 with random weights, or a model as for "
            "search",
        ),
        add("--batch", metavar="N,N,…", default="64", help="images a step, each with a mask (default: 64)"),
        add("--pattern", metavar="PATTERN", default="1:2", help="what stays, as in a search (default: 1:2)"),
        add(
            "--weights",
            metavar="A,B,…",
            default="full,lora,frozen",
            help="what moves along with the mask (default: full,lora,frozen)",
        ),
        add(
            "--modes",
            metavar="A,B,…",
            default="dense,exact,sampled",
            help="how dropped samples run; dense is always there to compare with (default: dense,exact,sampled)",
        ),
        add(
            "--share", metavar="X", type=float, default=0.25, help="of the dropped samples, for sampled (default: 0.25)"
        ),
        add(
            "--dtype",
            metavar="NAME",
            default="float32",
            help="float32, or bfloat16 through autocast (default: float32)",
        ),
        add("--compile", action="store_true", help="every mode also with compiled blocks (torch.compile)"),
    ]


def _add_train_options(command: Parser) -> list[argparse.Action]:
    title = "training steps (with the sizes, batch, dtype and compile of the search steps)"
    add = command.add_argument_group(title).add_argument
    return [
        add(
            "--losses",
            metavar="A,B,…",
            default="diffusion,logit,masked-kd",
            help="what is learned (default: diffusion,logit,masked-kd)",
        ),
        add("--steps", metavar="N", type=int, default=10, help="of each loss in a round (default: 10)"),
        add("--workers", metavar="N", type=int, default=0, help="threads that read ahead (default: 0)"),
    ]
