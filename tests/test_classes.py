"""Class names: complete lists, and reading what a person writes."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tinylab.data.classes import class_names, numbered_names, parse_classes
from tinylab.errors import BadRequest

IMAGENET = class_names("imagenet")


def refusal(text: str, names: tuple[str, ...] = IMAGENET, count: int = 1000) -> str:
    with pytest.raises(BadRequest) as refused:
        parse_classes(text, names, count)
    message = str(refused.value)
    assert message and "\n" not in message
    return message


def test_imagenet_has_a_thousand_different_names() -> None:
    assert len(IMAGENET) == len({name.casefold() for name in IMAGENET}) == 1000
    assert all(name and name == name.strip() and "," not in name for name in IMAGENET)
    assert (IMAGENET[0], IMAGENET[-1]) == ("tench", "toilet tissue")


def test_imagenet_names_have_their_published_numbers() -> None:
    known = {1: "goldfish", 207: "Golden Retriever", 282: "tiger cat", 292: "tiger", 340: "zebra", 388: "giant panda"}
    known |= {417: "balloon", 518: "crash helmet", 701: "parachute", 805: "soccer ball", 963: "pizza", 980: "volcano"}
    assert {number: IMAGENET[number] for number in known} == known


def test_digit_names_count_up() -> None:
    assert class_names("digits")[3] == "three"
    assert len(class_names("digits")) == 10


def test_unknown_dataset_lists_the_known_ones() -> None:
    with pytest.raises(BadRequest, match="digits, imagenet"):
        class_names("cifar")


def test_ids_and_names_come_in_the_order_given() -> None:
    assert parse_classes("golden retriever, 3,zebra ,,3", IMAGENET, 1000) == (207, 3, 340, 3)
    assert parse_classes("Three,0, nine", class_names("digits"), 10) == (3, 0, 9)
    assert parse_classes("2,0", numbered_names(3), 3) == (2, 0)


def test_equal_name_wins_over_longer_ones() -> None:
    assert parse_classes("TIGER", IMAGENET, 1000) == (292,)


def test_whole_word_wins_over_a_beginning() -> None:
    assert parse_classes("panda", ("pandas at play", "giant panda"), 2) == (1,)


def test_unique_beginning_wins_over_the_middle() -> None:
    assert parse_classes("dai", ("maidaid", "daisy"), 2) == (1,)


def test_unique_middle_is_enough() -> None:
    assert parse_classes("eseburg", IMAGENET, 1000) == (933,)


def test_ambiguous_name_lists_five_candidates_and_counts_the_rest() -> None:
    message = refusal("cat")
    assert "tabby cat (281)" in message and "catamaran" not in message
    many = refusal("terrier")
    assert many.count("(") == 5
    assert "more" in many


def test_unknown_name_suggests_near_ones() -> None:
    assert "goldfish (1)" in refusal("goldfisch")
    assert "0 to 999" in refusal("qqqqqq")


@pytest.mark.parametrize("text", ["1000", "-1", "99999999999999999999"])
def test_number_outside_says_the_range(text: str) -> None:
    assert "0 to 999" in refusal(text)


@pytest.mark.parametrize("text", ["", " , ,"])
def test_nothing_is_refused(text: str) -> None:
    assert "no class given" in refusal(text)


def test_names_beyond_the_count_are_not_offered() -> None:
    assert "no class is called" in refusal("nine", class_names("digits"), 5)


def test_brackets_are_taken_literally() -> None:
    assert parse_classes("crane (bird)", IMAGENET, 1000) == (134,)


def test_import_leaves_torch_alone() -> None:
    modules = ("tinylab.data.classes", "tinylab.data.catalog", "tinylab.data.pictures", "tinylab.jobs.admission")
    script = f"import sys, {', '.join(modules)}; print(*(m for m in ('torch', 'diffusers') if m in sys.modules))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
