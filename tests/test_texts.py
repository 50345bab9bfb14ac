"""The words of the page: both languages say the same things, nothing that is shown lacks a translation or a tip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from shown_words import is_said, shown_words

import app.texts
from app.page.header import NAMES, formulas, references, terms, tools
from app.page.prose import MATHS
from app.texts import LANGUAGES, TEXTS, english, entries, text, words_script
from app.ui import build_page
from app.views.settings import LABELS
from tinylab.config import FinetuneConfig
from tinylab.config.choices import LOSSES

FOLDER = Path(app.texts.__file__).parent
OTHERS = LANGUAGES[1:]
CONTROLS = (gr.Textbox, gr.Number, gr.Slider, gr.Radio, gr.CheckboxGroup, gr.Checkbox, gr.Dropdown, gr.UploadButton)
PLACE = re.compile(r"\{(\w*)\}")


def topics(language: str) -> list[str]:
    """The files of a language, without the words, which are no texts."""
    return sorted(file.name for file in (FOLDER / language).glob("*.toml"))


def words(language: str) -> dict[str, str]:
    """What `words.toml` of a language says."""
    return tomllib.loads((FOLDER / language / "words.toml").read_text())


@pytest.mark.parametrize("language", OTHERS)
def test_every_topic_and_text_is_there_in_every_language(language: str) -> None:
    assert topics(language) == topics(LANGUAGES[0])
    assert sorted(entries(language)) == sorted(entries(LANGUAGES[0]))
    empty = [key for key, said in entries(language).items() if not said.strip()]
    assert [key for key in empty if not re.fullmatch(r"glossary\.\w+\.words", key)] == []  # no words: in no prose


@pytest.mark.parametrize("language", OTHERS)
def test_what_is_filled_into_a_text_is_the_same_in_every_language(language: str) -> None:
    filled = {key: said for key, said in entries(LANGUAGES[0]).items() if key.startswith(("header.", "tour."))}
    assert {key: sorted(PLACE.findall(entries(language)[key])) for key in filled} == {
        key: sorted(PLACE.findall(said)) for key, said in filled.items()
    }


@pytest.mark.parametrize("language", OTHERS)
def test_everything_that_menus_views_and_figures_show_has_a_translation(language: str) -> None:
    known, found = words(language), shown_words()
    assert len(found) > 150
    assert {said: place for said, place in found.items() if not is_said(said, known)} == {}


@pytest.mark.parametrize("language", OTHERS)
def test_a_pattern_fills_in_no_more_than_it_has_taken_out(language: str) -> None:
    for said, told in words(language).items():
        places = len(re.findall(r"\{#?\}", said))
        assert max([0, *map(int, re.findall(r"\{(\d)\}", told))]) <= places, said
        assert len(re.findall(r"\{\}", told)) <= places, said


def test_a_word_that_nobody_translated_is_found() -> None:
    assert is_said("step {} of {}", {"step {} of {}": "Schritt {} von {}"})
    assert is_said("full model (0.5)", {"full model ({})": "volles Modell ({})"})
    assert not is_said("unheard of", words("de"))
    assert not is_said("many steps", {"{#} steps": "{} Schritte"})


def test_form_and_comparison_of_recoveries_call_settings_alike() -> None:
    texts = entries("en")
    of_recipe = {key.removeprefix("finetune.settings."): said for key, said in texts.items() if ".settings." in key}
    assert of_recipe == {name: LABELS[name] for name in of_recipe}
    assert set(of_recipe) <= set(FinetuneConfig.model_fields) | {"recipe"}
    losses = {key.removeprefix("finetune.losses."): said for key, said in texts.items() if ".losses." in key}
    assert losses == {row.name: row.summary for row in LOSSES.rows()}


def tip(elem_id: str) -> str | None:
    """The tip of a control, as `tips.js` looks for it."""
    texts = entries("en")
    return texts.get(f"tips.{elem_id}") or texts.get(f"tips.any.{elem_id.partition('-')[2]}")


def test_every_control_says_what_it_is_for() -> None:
    controls = [block for block in build_page().blocks.values() if isinstance(block, (*CONTROLS, gr.Button))]
    named = {str(block.elem_id): block for block in controls if block.elem_id}
    assert len(named) > 60
    silent = [elem_id for elem_id, block in named.items() if not getattr(block, "info", None) and not tip(elem_id)]
    assert silent == []
    ids = {str(block.elem_id) for block in build_page().blocks.values()}
    exact = {key.removeprefix("tips.") for key in entries("en") if key.startswith("tips.") and key.count(".") == 1}
    assert exact <= ids  # no tip is for a control that is gone


def test_labels_and_infos_are_texts_in_the_tabs() -> None:
    plain = []
    for block in build_page().blocks.values():
        for part in ("label", "info", "placeholder"):
            said: Any = getattr(block, part, None)
            if block.elem_id and isinstance(block, CONTROLS) and isinstance(said, str) and said:
                plain.append((block.elem_id, part, said))
    assert plain == []


def test_english_is_what_a_label_says() -> None:
    assert english(text("search.steps")) == "Steps" == english("Steps")
    with pytest.raises(KeyError):
        text("search.unheard-of")
    assert TEXTS.translations_dict["de"]["search.steps"] == "Schritte"


def test_script_of_words_cannot_end_its_element() -> None:
    assert "</" not in words_script()


def test_glossary_has_words_sources_and_formulas() -> None:
    named = {key.split(".")[1] for key in entries("en") if key.startswith("glossary.")}
    assert named == set(terms())
    assert len(named) >= 100
    assert {other for term in references().values() for other in term.get("see", ())} <= named
    assert formulas().count("#### ") == sum("formula" in term for term in terms().values()) > 20
    for key in named:
        for language in LANGUAGES:
            said = {part: entries(language)[f"glossary.{key}.{part}"] for part in ("name", "short", "more")}
            assert said["short"].endswith("."), key
            assert all(said.values()), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_word_of_the_glossary_stands_for_one_term_and_common_words_for_none(language: str) -> None:
    listed = [
        word.lower()
        for key, said in entries(language).items()
        if key.startswith("glossary.") and key.endswith(".words")
        for word in said.split(", ")
        if word
    ]
    assert sorted(listed) == sorted(set(listed))
    assert not {"noise", "class", "first", "random", "even", "sure", "rank", "zufall", "klasse"} & set(listed)


def test_formulas_of_the_glossary_hold_no_words_of_a_language() -> None:
    assert [key for key, term in terms().items() if r"\text{" in term.get("formula", "")] == []


def test_formulas_have_both_ends() -> None:
    for language in LANGUAGES:
        for key, said in entries(language).items():
            if key.startswith("formulas."):
                assert said.count("$$") % 2 == 0, (language, key)
                assert said.replace("$$", "").count("$") % 2 == 0, (language, key)
                assert said.count("{") == said.count("}"), (language, key)
    assert [delimiter["left"] for delimiter in MATHS] == ["$$", "$"]


def test_the_buttons_of_the_header_have_texts_and_languages() -> None:
    with gr.Blocks() as page:
        bar = tools()
    assert set(NAMES) == set(LANGUAGES)
    for key in re.findall(r'data-text="([^"]+)"', str(bar.value)):
        assert key in entries("en")
    assert all(f'<option value="{language}"' in str(bar.value) for language in LANGUAGES)
    markdown = [block for block in page.blocks.values() if isinstance(block, gr.Markdown)]
    assert [block.elem_id for block in markdown] == ["tl-formulas"]
