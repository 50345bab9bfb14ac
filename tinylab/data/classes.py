"""Names of classes, and reading a person's choice of them. Free of torch, so that the app and the checks stay light."""

import difflib
import re
from collections.abc import Sequence
from pathlib import Path

from tinylab.errors import BadRequest

__all__ = ["DIGIT_NAMES", "IMAGENET_NAMES", "class_names", "numbered_names", "parse_classes"]

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Short English names of the thousand ImageNet classes, in the order of their ids (sorted WordNet synsets).
IMAGENET_NAMES = tuple(Path(__file__).with_name("imagenet.txt").read_text(encoding="utf-8").splitlines())
_NAMES = {"digits": DIGIT_NAMES, "imagenet": IMAGENET_NAMES}
_SHOWN = 5  # candidates in an error message


def class_names(dataset: str) -> tuple[str, ...]:
    """The names of a known dataset's classes, by id; BadRequest lists the known ones."""
    if dataset not in _NAMES:
        raise BadRequest(f"unknown dataset {dataset!r}; names are known for: {', '.join(_NAMES)}")
    return _NAMES[dataset]


def numbered_names(count: int) -> tuple[str, ...]:
    """Names for `count` classes of which nothing is known: their numbers."""
    return tuple(map(str, range(count)))


def parse_classes(text: str, names: Sequence[str], count: int) -> tuple[int, ...]:
    """The ids in a list such as "golden retriever, 3, zebra", in the order given.

    A name may be shortened as long as one class alone fits: equal names win over names that contain it as whole
    words, these over names that begin with it, these over names that contain it anywhere. Case does not matter.

    Args:
        names: of the classes by id; names beyond `count` are passed over.
        count: number of classes.
    """
    parts = [" ".join(part.split()) for part in text.split(",")]
    parts = [part for part in parts if part]
    if not parts:
        raise BadRequest(f"no class given; name some of 0 to {count - 1}")
    return tuple(_parse_one(part, [name.casefold() for name in names[:count]], names, count) for part in parts)


def _parse_one(part: str, folded: Sequence[str], names: Sequence[str], count: int) -> int:
    if re.fullmatch(r"[+-]?[0-9]+", part):
        if len(part) > 9 or not 0 <= int(part) < count:
            raise BadRequest(f"class {part[:20]} does not exist: the classes are 0 to {count - 1}")
        return int(part)
    found = _matches(part.casefold(), folded)
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise BadRequest(
            f"class {part!r} could be {_listed(found, names)}{more}; write more of the name, or its number"
        )
    near = [folded.index(name) for name in difflib.get_close_matches(part[:60].casefold(), folded, _SHOWN)]
    hint = f"did you mean {_listed(near, names)}?" if near else f"give a name or a number from 0 to {count - 1}"
    raise BadRequest(f"no class is called {part[:60]!r}; {hint}")


def _matches(part: str, folded: Sequence[str]) -> list[int]:
    """Ids of the names that fit in the strictest way in which any fits."""
    words = re.compile(rf"(?<!\w){re.escape(part)}(?!\w)")
    ways = (
        lambda name: name == part,
        lambda name: words.search(name) is not None,
        lambda name: name.startswith(part),
        lambda name: part in name,
    )
    return next((found for fits in ways if (found := [i for i, name in enumerate(folded) if fits(name)])), [])


def _listed(ids: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(f"{names[i]} ({i})" for i in ids[:_SHOWN])
