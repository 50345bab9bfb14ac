"""How many blocks stay and where: groups with a budget each, or one budget for the whole model. Free of torch."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tinylab.errors import BadRequest

__all__ = ["MAX_OPTIONS", "Block", "Group", "Layout", "NMPattern", "halving_patterns", "show_depth"]

MAX_OPTIONS = 20_000  # options a group may have: 7:14 has 3,432, 8:16 has 12,870
_LARGEST_GROUP = 256  # blocks: an option is a mask over all of them
_LONGEST_TEXT = 400
_FORMS = "N:M such as 1:2, a mix such as 2:4x2,3:4 or encoder=1:2;decoder=2:4, keep=K, time=SHARE, or half"

Block = tuple[str, int]  # stack and index


@dataclass(frozen=True)
class NMPattern:
    """Keep `keep` of every `of` consecutive blocks."""

    keep: int
    of: int

    @classmethod
    def parse(cls, text: str) -> NMPattern:
        """Read `N:M`."""
        if len(text) > 40:
            raise BadRequest(f"a pattern is {_FORMS}")
        match = re.fullmatch(r"\s*(\d{1,4})\s*:\s*(\d{1,4})\s*", text)
        if not match:
            raise BadRequest(f"pattern {text!r} is not understood; use {_FORMS}")
        keep, of = int(match[1]), int(match[2])
        if not 1 <= keep < of:
            raise BadRequest(f"pattern {text!r} must keep at least 1 and fewer than all of its {of} blocks")
        if of > _LARGEST_GROUP:
            raise BadRequest(f"pattern {text!r} has groups of {of} blocks; use groups of at most {_LARGEST_GROUP}")
        if math.comb(of, keep) > MAX_OPTIONS:
            raise BadRequest(f"pattern {text!r} has more than {MAX_OPTIONS:,} options a group; use smaller groups")
        return cls(keep, of)

    def __str__(self) -> str:
        return f"{self.keep}:{self.of}"

    def groups(self, depth: int) -> list[range]:
        """The groups of block indices; BadRequest if they do not fill `depth` blocks."""
        if depth % self.of:
            fitting = ", ".join(halving_patterns({"": depth})) or "none"
            raise BadRequest(f"pattern {self} does not fit {depth} blocks; patterns that do: {fitting}")
        return [range(first, first + self.of) for first in range(0, depth, self.of)]


@dataclass(frozen=True)
class Group:
    """Blocks that share one budget.

    Attributes:
        name: as metrics and charts call it, `blocks/0` or `all`.
        blocks: in the order of the model.
        keep: how many of them stay; 0 where a budget of time decides.
    """

    name: str
    blocks: tuple[Block, ...]
    keep: int

    def options(self, protected: Mapping[str, Collection[int]]) -> list[tuple[int, ...]]:
        """All 0/1 masks that keep the protected blocks, in the order of `itertools.combinations`."""
        chosen = itertools.combinations(range(len(self.blocks)), self.keep)
        fixed = self.fixed(protected)
        return [tuple(int(i in picks) for i in range(len(self.blocks))) for picks in chosen if fixed <= set(picks)]

    def fixed(self, protected: Mapping[str, Collection[int]]) -> set[int]:
        """The places in this group of the blocks that must stay."""
        return {place for place, (stack, index) in enumerate(self.blocks) if index in protected.get(stack, ())}


@dataclass(frozen=True)
class Layout:
    """The groups of a model, each block in exactly one of them.

    Attributes:
        text: the pattern as it was resolved; `Layout.parse` reads it again.
        groups: local ones within the stacks, or a single one over all blocks, a global budget.
        time: the share of the measured time that may stay; None where numbers of blocks are given.
    """

    text: str
    depth: Mapping[str, int]
    groups: tuple[Group, ...]
    time: float | None = None

    def __str__(self) -> str:
        return self.text

    @property
    def is_global(self) -> bool:
        """True if one budget holds for the whole model."""
        return self.groups[0].name == "all"

    @property
    def total(self) -> int | None:
        """How many blocks stay; None where a budget of time decides."""
        return None if self.time is not None else sum(group.keep for group in self.groups)

    @classmethod
    def parse(
        cls, text: str, depth: Mapping[str, int], protected: Mapping[str, Collection[int]] | None = None
    ) -> Layout:
        """Read a pattern for a model with these stacks.

        `half` is the largest N:M that halves every stack. `N:M` repeats itself; `2:4x2,3:4` is taken as it is;
        `encoder=…;decoder=…` gives each stack its own; `keep=K` is one budget for all blocks; `time=0.5` keeps what
        fits half of the measured time.

        Raises:
            BadRequest: it is not understood, does not fit, or cannot keep the protected blocks.
        """
        text = text.strip()
        if len(text) > _LONGEST_TEXT:
            raise BadRequest(f"a pattern is {_FORMS}")
        if text == "half":
            text = _half(depth)
        name, _, value = text.partition("=")
        if name.strip() in ("keep", "time") and name.strip() not in depth:
            layout = _budget(name.strip(), value.strip(), depth)
        else:
            parts = _by_stack(text, depth) if "=" in text or ";" in text else dict.fromkeys(depth, text)
            groups = [group for stack, part in parts.items() for group in _groups(stack, part, depth[stack])]
            layout = cls(text, dict(depth), tuple(groups))
        layout._check_protected(protected or {})
        return layout

    @classmethod
    def budget(cls, keep: int, depth: Mapping[str, int]) -> Layout:
        """One budget of `keep` blocks over all stacks; BadRequest if that many cannot stay."""
        total, least = sum(depth.values()), len(depth)  # no stack can be empty
        if not least <= keep < total:
            raise BadRequest(f"keep={keep}: the model has {total} blocks, keep {least} to {total - 1} of them")
        return cls(f"keep={keep}", dict(depth), (_everything(depth, keep),))

    def _check_protected(self, protected: Mapping[str, Collection[int]]) -> None:
        for group in self.groups:
            must = len(group.fixed(protected))
            if self.time is None and must > group.keep:
                first, last = group.blocks[0][1], group.blocks[-1][1]
                where = "all" if self.is_global else f"{first} to {last}"
                raise BadRequest(
                    f"pattern {self} keeps {group.keep} of the blocks {where}, but {must} of them must stay; "
                    "use one that keeps more"
                )


def halving_patterns(depth: Mapping[str, int]) -> list[str]:
    """The patterns that keep half of every stack, or nearly, from small groups to large ones."""
    stacks = list(depth.values())
    sizes = [m for m in range(2, min(*stacks, _LARGEST_GROUP) + 1) if not any(count % m for count in stacks)]
    halves = [(max(1, m // 2), m) for m in sizes]
    return [f"{n}:{m}" for n, m in halves if math.comb(m, n) <= MAX_OPTIONS]


def show_depth(depth: Mapping[str, int]) -> str:
    """Stacks and their lengths, for people."""
    return ", ".join(f"{count} {stack}" for stack, count in depth.items())


def _half(depth: Mapping[str, int]) -> str:
    found = halving_patterns(depth)
    if not found:
        keep = sum(depth.values()) // 2
        raise BadRequest(f"no N:M halves stacks of {show_depth(depth)}; name a pattern, or use keep={keep}")
    return found[-1]


def _everything(depth: Mapping[str, int], keep: int) -> Group:
    return Group("all", tuple((stack, i) for stack, count in depth.items() for i in range(count)), keep)


def _budget(kind: str, value: str, depth: Mapping[str, int]) -> Layout:
    if kind == "keep":
        if not re.fullmatch(r"\d{1,4}", value):
            raise BadRequest(f"keep={value}: name a number of blocks, such as keep={sum(depth.values()) // 2}")
        return Layout.budget(int(value), depth)
    if not re.fullmatch(r"0?\.\d{1,4}", value) or not 0 < float(value) < 1:
        raise BadRequest(f"time={value}: name a share of the measured time between 0 and 1, such as time=0.5")
    return Layout(f"time={value}", dict(depth), (_everything(depth, 0),), float(value))


def _by_stack(text: str, depth: Mapping[str, int]) -> dict[str, str]:
    """`encoder=1:2;decoder=2:4` as the pattern of every stack, in the order of the model."""
    found: dict[str, str] = {}
    for part in text.split(";"):
        stack, equals, pattern = (piece.strip() for piece in part.partition("="))
        if not equals or stack not in depth or stack in found:
            known = ";".join(f"{name}=1:2" for name in depth)
            raise BadRequest(f"pattern {part.strip()!r} does not name each stack once, as {known}")
        found[stack] = pattern
    missing = [stack for stack in depth if stack not in found]
    if missing:
        raise BadRequest(f"the pattern does not name {', '.join(missing)}; name every stack")
    return {stack: found[stack] for stack in depth}


def _groups(stack: str, text: str, depth: int) -> list[Group]:
    """The groups of one stack."""
    if "," not in text and "x" not in text:
        pattern = NMPattern.parse(text)
        return [_group(stack, i, span, pattern.keep) for i, span in enumerate(pattern.groups(depth))]
    patterns: list[NMPattern] = []
    for part in text.split(","):
        single, _, times = part.partition("x")
        if times and not re.fullmatch(r"\s*[1-9]\d{0,2}\s*", times):
            raise BadRequest(f"pattern {part.strip()!r} is not N:MxTIMES, such as 2:4x2")
        patterns += [NMPattern.parse(single)] * int(times or 1)
    covered = sum(pattern.of for pattern in patterns)
    if covered != depth:
        raise BadRequest(f"pattern {text!r} covers {covered} blocks, {stack!r} has {depth}; make them equal")
    ends = list(itertools.accumulate(pattern.of for pattern in patterns))
    return [
        _group(stack, i, range(end - pattern.of, end), pattern.keep)
        for i, (end, pattern) in enumerate(zip(ends, patterns, strict=True))
    ]


def _group(stack: str, index: int, span: range, keep: int) -> Group:
    return Group(f"{stack}/{index}", tuple((stack, i) for i in span), keep)
