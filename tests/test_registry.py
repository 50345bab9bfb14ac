"""Named choices: found by name, imported on use, and clear when there is none."""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path

import pytest

from tinylab.config.choices import ESTIMATORS, LOSSES, SAMPLERS, WARM_STARTS
from tinylab.diffusion import OBJECTIVES
from tinylab.errors import BadRequest
from tinylab.metrics.fidelity.names import EXTRACTORS
from tinylab.registry import Registry, Rows
from tinylab.sampling.caches import CACHES


@pytest.fixture
def shapes() -> Registry:
    registry: Registry = Registry("shape")
    registry.register("tau", "math:tau", summary="a full turn", label="Tau")
    registry.register("maths", "math", summary="all of it")
    return registry


def test_names_keep_the_order_of_registration(shapes: Registry) -> None:
    assert shapes.names() == ("tau", "maths")


def test_get_returns_an_attribute_or_a_whole_module(shapes: Registry) -> None:
    assert shapes.get("tau") == math.tau
    assert shapes.get("maths") is math


def test_label_is_the_name_unless_given(shapes: Registry) -> None:
    assert [shapes.entry(name).label for name in shapes.names()] == ["Tau", "maths"]


def test_unknown_name_lists_the_valid_ones(shapes: Registry) -> None:
    with pytest.raises(BadRequest, match=r"^unknown shape 'pi'; choose one of: tau, maths$"):
        shapes.get("pi")


def test_taken_name_is_refused(shapes: Registry) -> None:
    with pytest.raises(ValueError, match="registered twice"):
        shapes.register("tau", "math:pi", summary="half of it")
    assert shapes.get("tau") == math.tau


def test_registering_imports_nothing() -> None:
    registry: Registry = Registry("thing")
    registry.register("absent", "no_such_module:thing", summary="is not there")
    assert registry.names() == ("absent",)
    assert "no_such_module" not in sys.modules


@pytest.mark.parametrize(
    "registry",
    [OBJECTIVES, LOSSES, WARM_STARTS, ESTIMATORS, SAMPLERS, EXTRACTORS, CACHES],
    ids=lambda registry: registry.kind,
)
def test_every_registered_choice_can_be_imported_and_has_a_summary(registry: Rows) -> None:
    assert registry.names()
    for name in registry.names():
        assert callable(registry.get(name))
        assert registry.entry(name).summary
    assert [row.name for row in registry.rows()] == list(registry.names())


@pytest.mark.parametrize(
    ("page", "registry"),
    [("search.md", ESTIMATORS), ("recovery.md", LOSSES), ("recovery.md", WARM_STARTS)],
    ids=lambda value: getattr(value, "kind", value),
)
def test_tables_of_the_pages_have_a_line_for_every_row(page: str, registry: Rows) -> None:
    text = (Path(__file__).parent.parent / "docs" / page).read_text()
    named = re.findall(r"^\| `([a-z-]+)` \|", text, re.MULTILINE)
    assert [name for name in named if name in registry.names()] == list(registry.names())
