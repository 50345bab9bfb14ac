"""What a comparison sets against each other: rules by name, mask searches by pattern, plans. Free of torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tinylab.config import CompareConfig
from tinylab.errors import BadRequest
from tinylab.jobs.facts import Facts, blocks_to_keep
from tinylab.jobs.ground_truth import GroundTruth
from tinylab.pruning.criteria import CRITERIA, asked_layout
from tinylab.pruning.criteria.placement import check_layout
from tinylab.pruning.layout import Layout
from tinylab.pruning.plan import DepthPlan
from tinylab.runs.store import find_plan

__all__ = ["LEARNED", "blocks_compared", "check_compare", "is_learned", "row_labels", "search_pattern"]

LEARNED = "learned"  # the mask search as a method, alone or as learned:PATTERN


def is_learned(method: str) -> bool:
    """True for `learned` and `learned:PATTERN`."""
    return method.partition(":")[0] == LEARNED


def search_pattern(method: str, config: CompareConfig, keep: int, depth: Mapping[str, int]) -> str:
    """The pattern by which `learned` or `learned:PATTERN` searches for `keep` blocks.

    A `+` in PATTERN stands for the comma of mixed patterns, since commas part the methods. Without one it is the
    comparison's own pattern, else `half` where that keeps as many, else one budget for all blocks.

    Raises:
        BadRequest: the pattern is not understood, or does not keep `keep` blocks.
    """
    _, colon, given = method.partition(":")
    if not colon and config.pattern is None:
        return "half" if _halves(keep, depth) else f"keep={keep}"
    pattern = given.replace("+", ",") if colon else config.pattern or ""
    total = Layout.parse(pattern, depth).total
    if total != keep:
        number = "no fixed number of" if total is None else str(total)
        advice = "name another pattern" + ("" if total is None else f" or add --keep {total}")
        raise BadRequest(f"{method} keeps {number} blocks, the others keep {keep}; {advice}")
    return pattern


def check_compare(config: CompareConfig, facts: Facts) -> None:
    """BadRequest unless plans and methods keep equally many blocks, and the study is about the same."""
    depth = facts.model(config.model).depth
    facts.data_for(config.data, config.model)
    plans = [find_plan(reference) for reference in config.plans]
    for plan in plans:
        facts.check_made_for(plan, config.model)
    keep = blocks_compared(config, plans, depth)
    _check_contenders(config, keep, depth)
    if config.study is not None:
        GroundTruth.open(config.study).check_fits(config.model, keep, depth)


def blocks_compared(config: CompareConfig, plans: Sequence[DepthPlan], depth: dict[str, int]) -> int:
    """The number of blocks that every compared model keeps."""
    totals = {plan.total for plan in plans} | ({config.keep} if config.keep else set())
    if config.pattern is not None:
        totals.add(sum(group.keep for group in asked_layout(config.pattern, 0, depth).groups))
    if len(totals) > 1:
        several = " and ".join(map(str, sorted(totals)))
        raise BadRequest(f"plans, --keep and --pattern ask for {several} blocks; compare equals")
    return blocks_to_keep(totals.pop() if totals else 0, depth)


def _check_contenders(config: CompareConfig, keep: int, depth: Mapping[str, int]) -> None:
    """BadRequest for a method that is unknown, compares nothing or cannot keep these blocks, or is named twice."""
    for names in (config.methods, config.plans):
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadRequest(f"{twice!r} is named twice; compare each once")
    if not config.methods and not config.plans:
        raise BadRequest("nothing to compare; name --methods or --plans")
    for method in config.methods:
        _check(method, config, keep, depth)


def _check(method: str, config: CompareConfig, keep: int, depth: Mapping[str, int]) -> None:
    if is_learned(method):
        search_pattern(method, config, keep, depth)
    elif method == "indices":
        raise BadRequest("method 'indices' compares nothing; make its plan with `tinylab prune` and name it in --plans")
    elif method not in CRITERIA.names():
        valid = ", ".join([LEARNED, *(name for name in CRITERIA.names() if name != "indices")])
        raise BadRequest(f"unknown method {method!r}; choose from: {valid}")
    elif method == "oracle":
        check_layout(asked_layout(config.pattern, keep, depth))


def row_labels(config: CompareConfig, plans: Sequence[DepthPlan]) -> list[str]:
    """What the rows are called, the plans first; plans whose method occurs twice are told apart by where they lie."""
    plain = [*(plan.method for plan in plans), *config.methods]
    labels: list[str] = []
    for plan, reference in zip(plans, config.plans, strict=True):
        path = Path(reference)
        name = f"{path.parent.name}/{path.name}" if path.suffix == ".json" else path.name
        label = f"{plan.method} ({name})" if plain.count(plan.method) > 1 else plan.method
        same = sum(other.split(" #")[0] == label for other in labels)
        labels.append(f"{label} #{same + 1}" if same else label)
    return [*labels, *config.methods]


def _halves(keep: int, depth: Mapping[str, int]) -> bool:
    try:
        return Layout.parse("half", depth).total == keep
    except BadRequest:  # no pattern halves every stack
        return False
