"""Scores taken in different ways never share a column."""

from __future__ import annotations

import copy
import subprocess
import sys
from typing import Any

import pytest

from tinylab.metrics.fidelity.settings import columns, same_setting, setting_of

SETTING = {
    **{"sampler": "ddpm", "steps": 50, "guidance": 1.5, "guidance_schedule": "auto"},
    **{"temperature": 1.0, "cache": "none", "seed": 0, "classes": 10},
}


def entry(value: float) -> dict[str, Any]:
    return {"value": value, "low": None, "high": None, "biased": True}


def result(value: float = 1.0, label: str = "digits-dit", **changes: Any) -> dict[str, Any]:
    """An evaluation of one model; `changes` are made in its setting, or in the result where names have a dot."""
    row = {
        **{"label": label, "source": label, "drawn": True, "images": 1000, "setting": {**SETTING}},
        **{"depth": {"blocks": 12}, "parameters": 5, "scores": {"fid": entry(value), "kid": entry(value / 10)}},
    }
    found = {
        "reference": {"name": "digits", "images": 1797, "hash": "aaaaaaaaaaaa"},
        "extractor": {"name": "digit-reader", "hash": "bbbbbbbbbbbb", "features": 128},
        "rows": [row],
        "floor": {"images": [899, 898], "scores": {"fid": entry(0.5)}},
        "warnings": [],
    }
    for name, changed in changes.items():
        place, _, key = name.partition("__")
        if key:
            found[place] = {**found[place], key: changed}  # type: ignore[dict-item]
        elif name in SETTING:
            row["setting"] = {**row["setting"], name: changed}  # type: ignore[dict-item]
        else:
            row[name] = changed
    return found


DIFFERENT = [
    ({"steps": 20}, "steps"),
    ({"sampler": "ddim"}, "sampler"),
    ({"guidance": 2.0}, "guidance"),
    ({"guidance_schedule": "linear"}, "guidance schedule"),
    ({"temperature": 0.9}, "temperature"),
    ({"cache": "interval:2"}, "cache"),
    ({"seed": 1}, "seed"),
    ({"classes": 2}, "classes"),
    ({"images": 500}, "samples"),
    ({"extractor__name": "dinov2"}, "extractor"),
    ({"extractor__hash": "cccccccccccc"}, "extractor hash"),
    ({"reference__hash": "dddddddddddd"}, "reference"),
]


@pytest.mark.parametrize(("changes", "name"), DIFFERENT)
def test_whatever_differs_is_named_and_splits_the_column(changes: dict, name: str) -> None:
    first, second = result(1.0), result(2.0, label="other", **changes)
    assert same_setting(first, second) == [name]
    found = columns([first, second])
    assert [(c.metric, dict(c.cells)) for c in found] == [
        ("fid", {"digits-dit": entry(1.0)}),
        ("fid", {"other": entry(2.0)}),
        ("kid", {"digits-dit": entry(0.1)}),
        ("kid", {"other": entry(0.2)}),
    ]
    assert len({column.title for column in found}) == 4


def test_a_title_says_what_the_scores_are_of() -> None:
    (fid, kid) = columns([result()])
    assert fid.title == "FID · digit-reader · 1,000 samples · ddpm 50 steps, guidance 1.5, seed 0"
    assert kid.title.startswith("KID · ")
    assert fid.floor == entry(0.5) and fid.floor_images == [899, 898]
    assert kid.floor is None and kid.floor_images is None


def test_titles_add_what_tells_two_columns_apart() -> None:
    by_class = columns([result(), result(2.0, temperature=0.5)])
    assert [column.title.split(" · ")[-1] for column in by_class[:2]] == ["temperature 1.0", "temperature 0.5"]
    by_data = columns([result(), result(2.0, reference__hash="dddddddddddd")])
    assert [column.title.split(" · ")[-1] for column in by_data[:2]] == [
        "reference digits aaaaaaaaaaaa",
        "reference digits dddddddddddd",
    ]
    assert columns([result(cache="interval:2")])[0].title.endswith("seed 0, cache interval:2")


def test_models_do_not_split_a_column() -> None:
    found = columns([result(1.0), result(2.0, label="shallow", depth={"blocks": 6}, parameters=3)])
    assert [dict(column.cells) for column in found if column.metric == "fid"] == [
        {"digits-dit": entry(1.0), "shallow": entry(2.0)}
    ]
    assert same_setting(result(1.0), result(2.0, label="shallow", depth={"blocks": 6})) == []


def test_one_label_for_two_models_is_told_apart_and_for_one_is_not() -> None:
    again = copy.deepcopy(result(1.0))
    assert list(columns([result(1.0), again])[0].cells) == ["digits-dit"]
    other = result(3.0, source="runs/7", parameters=4)
    assert columns([result(1.0), other])[0].cells == {"digits-dit": entry(1.0), "digits-dit (2)": entry(3.0)}
    unlike = result(1.1)  # the same model in the same setting on another machine
    assert len(columns([result(1.0), unlike])[0].cells) == 2
    fast = columns([result(1.0), result(2.0, steps=20)])
    assert [list(column.cells) for column in fast] == [["digits-dit"]] * 4


def test_files_have_a_column_of_their_own() -> None:
    from_file = result(4.0, label="theirs.npz", drawn=False, setting=None, depth=None, parameters=None)
    found = columns([result(), from_file])
    assert found[1].title == "FID · digit-reader · 1,000 samples · from files"
    assert setting_of(from_file)["steps"] is None and setting_of(from_file)["drawn"] is False
    assert "drawn" in same_setting(result(), from_file)


def test_settings_compare_as_well_as_results() -> None:
    first, second = result(), result(steps=20)
    assert same_setting(setting_of(first), setting_of(second)) == ["steps"] == same_setting(first, setting_of(second))


def test_settings_and_names_need_no_torch() -> None:
    script = (
        "import sys, tinylab.metrics.fidelity, tinylab.metrics.fidelity.settings, tinylab.metrics.fidelity.names;"
        "print(*(m for m in ('torch', 'numpy', 'torch_fidelity') if m in sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
