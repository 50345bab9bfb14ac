"""Which layouts a rule can follow, and whether a choice follows one. Free of torch."""

from collections.abc import Collection, Mapping

from tinylab.errors import BadRequest
from tinylab.pruning.layout import Group, Layout

__all__ = ["asked_layout", "check_budget", "respects"]


def asked_layout(
    pattern: str | None,
    keep: int,
    depth: Mapping[str, int],
    protected: Mapping[str, Collection[int]] | None = None,
) -> Layout:
    """The layout that `--pattern` and `--keep` ask for: half of all blocks, wherever they are, if neither is given.

    Args:
        pattern: as `Layout.parse` reads it; None for one budget of `keep` blocks.
        keep: number of blocks; 0 for half of them, or for as many as the pattern keeps.

    Raises:
        BadRequest: the pattern cannot be followed, or the two disagree.
    """
    if pattern is None:
        layout = Layout.budget(keep or sum(depth.values()) // 2, depth)
    else:
        layout = Layout.parse(pattern, depth, protected)
    check_budget(layout, protected or {})
    if keep not in (0, layout.total):
        raise BadRequest(f"--keep {keep} does not agree with --pattern {pattern}, which keeps {layout.total}; drop one")
    return layout


def check_budget(layout: Layout, protected: Mapping[str, Collection[int]]) -> None:
    """BadRequest for a budget of time, and for groups too small for the blocks that must stay."""
    if layout.time is not None:
        raise BadRequest(f"{layout} is for `tinylab search`; give keep=K or N:M")
    for group in layout.groups:
        must = len(group.fixed(protected)) + _bare_stacks(group, layout, protected)
        if must > group.keep:
            raise BadRequest(f"{layout} keeps {group.keep} blocks of {group.name}, but {must} must stay; keep more")


def respects(layout: Layout, kept: Mapping[str, Collection[int]]) -> bool:
    """True if every group of the layout keeps exactly its number of blocks."""
    return all(sum(i in kept[stack] for stack, i in group.blocks) == group.keep for group in layout.groups)


def _bare_stacks(group: Group, layout: Layout, protected: Mapping[str, Collection[int]]) -> int:
    """How many stacks lie in the group as a whole without a protected block: each needs one that stays."""
    stacks = [stack for stack, _ in group.blocks]
    return sum(stacks.count(stack) == layout.depth[stack] and not protected.get(stack) for stack in set(stacks))
