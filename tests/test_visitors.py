"""Who may see and change what, at home and in public."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from run_folders import make_run

from app.access.links import accept_key, key_of
from app.access.references import check_reference, uploads_folder
from app.access.settings import LabSettings, Limits, lab_settings
from app.access.visitors import COOKIE, HOME, Visitor, visitor_of
from app.page.context import attach
from tinylab.config import SearchConfig
from tinylab.errors import BadRequest
from tinylab.models.load import save_model
from tinylab.runs.owner import readers_of, write_owner
from tinylab.runs.run import Run

ANNA, BEN = Visitor("anna", stranger=True), Visitor("ben", stranger=True)
NOBODY = Visitor("", stranger=True)


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., LabSettings]]:
    """Opens the lab to strangers, with what is set in the environment."""

    def open_up(**variables: str) -> LabSettings:
        for name, value in {"TINYLAB_PUBLIC": "1", **variables}.items():
            monkeypatch.setenv(name, value)
        lab_settings.cache_clear()
        return lab_settings()

    yield open_up
    lab_settings.cache_clear()


@pytest.fixture
def annas(runs: Path) -> Run:
    """A finished search of Anna's."""
    run = make_run(runs, SearchConfig.create(), "search-of-anna")
    write_owner(run.path, ANNA.name)
    return run


def request(**cookies: str) -> gr.Request:
    """A request as the queue keeps it, with cookies."""
    return gr.Request(cookies=cookies, headers={}, query_params={})


@pytest.mark.parametrize(
    ("environment", "public"),
    [
        ({}, False),
        ({"SPACE_ID": "org/lab"}, True),
        ({"SPACE_ID": "org/lab", "TINYLAB_PUBLIC": "0"}, False),
        ({"TINYLAB_PUBLIC": "yes"}, True),
        ({"TINYLAB_PUBLIC": ""}, False),
    ],
)
def test_lab_is_public_where_it_is_told_so_and_in_a_space(environment: dict[str, str], public: bool) -> None:
    assert LabSettings.of(environment).public is public


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TINYLAB_PUBLIC", "maybe"), ("TINYLAB_MAX_STEPS", "many"), ("TINYLAB_MAX_RUNS", "0"), ("TINYLAB_LOGIN", "anna")],
)
def test_a_variable_that_cannot_be_read_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadRequest, match=f"^{variable}: "):
        LabSettings.of({variable: value})


def test_limits_login_and_list_of_the_hub_come_from_the_environment() -> None:
    found = LabSettings.of({"TINYLAB_MAX_STEPS": "12", "TINYLAB_LOGIN": "a:b, c:d:e", "TINYLAB_HUB": "x/y, z/w@1"})
    assert found.limits == Limits(steps=12)
    assert found.login == (("a", "b"), ("c", "d:e"))
    assert found.hub == ("x/y", "z/w@1")
    assert "d:e" not in repr(found)


def test_at_home_everybody_is_the_same_and_may_do_everything(annas: Run) -> None:
    lab_settings.cache_clear()
    assert visitor_of(request()) == visitor_of(request(**{COOKIE: "x" * 40})) == HOME
    assert HOME.own_run(annas.id).path == annas.path
    assert [run.id for run in HOME.runs("search")] == [annas.id]
    check_reference("/any/folder", HOME)


def test_visitors_are_known_by_a_cookie_that_their_name_does_not_tell(public: Any) -> None:
    public()
    one, same, other = (visitor_of(request(**{COOKIE: secret * 40})) for secret in ("a", "a", "b"))
    assert one == same != other
    assert "a" * 40 not in one.name
    assert one.known


@pytest.mark.parametrize("cookies", [{}, {COOKIE: ""}, {COOKIE: "short"}, {COOKIE: "x" * 5000}, {"other": "x" * 40}])
def test_a_browser_without_a_sound_cookie_is_nobody(cookies: dict[str, str], public: Any) -> None:
    public()
    assert visitor_of(request(**cookies)) == NOBODY


def test_a_cookie_is_read_from_a_plain_header_too(public: Any) -> None:
    public()
    by_header = gr.Request(cookies={}, headers={"cookie": f"{COOKIE}={'a' * 40}"}, query_params={})
    assert visitor_of(by_header) == visitor_of(request(**{COOKIE: "a" * 40}))


def test_a_login_goes_before_the_cookie(public: Any) -> None:
    public(TINYLAB_LOGIN="anna:secret")
    here = gr.Request(username="anna", cookies={COOKIE: "a" * 40}, headers={})
    elsewhere = gr.Request(username="anna", cookies={COOKIE: "b" * 40}, headers={})
    assert visitor_of(here) == visitor_of(elsewhere) != visitor_of(request(**{COOKIE: "a" * 40}))


def test_a_login_is_found_in_a_plain_request(public: Any) -> None:
    public(TINYLAB_LOGIN="anna:secret")
    app = types.SimpleNamespace(tokens={"token": "anna"}, cookie_id="42")
    plain = types.SimpleNamespace(app=app, cookies={"access-token-unsecure-42": "token"}, headers={})
    stolen = types.SimpleNamespace(app=app, cookies={"access-token-42": "guess"}, headers={})
    assert visitor_of(plain) == visitor_of(gr.Request(username="anna", cookies={}, headers={}))
    assert visitor_of(stolen) == NOBODY


@pytest.mark.parametrize("visitor", [BEN, NOBODY])
def test_a_run_of_somebody_else_is_as_if_it_were_not_there(annas: Run, visitor: Visitor) -> None:
    with pytest.raises(BadRequest) as refused:
        visitor.run(annas.id)
    with pytest.raises(BadRequest) as unknown:
        visitor.run("not/there")
    assert str(refused.value) == str(unknown.value)
    assert visitor.runs() == visitor.own_runs() == []
    assert attach({"run": annas.id}, visitor).runs["search"] == ""


def test_a_run_without_an_owner_is_nobodys_in_public(runs: Path) -> None:
    run = make_run(runs, SearchConfig.create(), "made-before")
    assert not any(visitor.may_see(run) or visitor.may_change(run) for visitor in (ANNA, NOBODY))


def test_a_link_with_its_key_lets_others_see_but_not_change(annas: Run) -> None:
    key = key_of(annas.id, ANNA)
    assert attach({"run": annas.id, "key": key}, BEN).runs["search"] == annas.id
    assert readers_of(annas) == (BEN.name,)
    assert BEN.run(annas.id).path == annas.path
    with pytest.raises(BadRequest, match="belongs to somebody else"):
        BEN.own_run(annas.id)
    assert key_of(annas.id, BEN) == ""  # a reader cannot pass it on


@pytest.mark.parametrize("key", ["", "guess", "0" * 40, "ключ"])
def test_a_wrong_key_opens_nothing(annas: Run, key: str) -> None:
    accept_key({"run": annas.id, "key": key}, BEN)
    assert not BEN.may_see(annas)


def test_the_key_of_one_run_does_not_open_another(annas: Run, runs: Path) -> None:
    other = make_run(runs, SearchConfig.create(), "other")
    write_owner(other.path, ANNA.name)
    accept_key({"run": other.id, "key": key_of(annas.id, ANNA)}, BEN)
    assert not BEN.may_see(other)


def test_nobody_keeps_no_key_and_home_needs_none(annas: Run) -> None:
    accept_key({"run": annas.id, "key": key_of(annas.id, ANNA)}, NOBODY)
    assert readers_of(annas) == ()
    assert key_of(annas.id, HOME) == ""


@pytest.mark.parametrize("run_id", [None, 3, "../x", {"run": "x"}, "gone"])
def test_keys_are_given_for_runs_alone(run_id: Any) -> None:
    assert key_of(run_id, ANNA) == ""


def test_secret_behind_the_keys_is_for_the_lab_alone_and_outlives_it(annas: Run, runs: Path) -> None:
    first = key_of(annas.id, ANNA)
    assert (runs / ".secret").stat().st_mode & 0o077 == 0
    assert key_of(annas.id, ANNA) == first


def test_references_of_strangers_lead_to_what_is_theirs(annas: Run, runs: Path, tmp_path: Path, public: Any) -> None:
    public(TINYLAB_HUB="org/listed,org/pinned@abc1234")
    upload = uploads_folder(ANNA) / "model-1"
    upload.mkdir(parents=True)
    for mine in ("digits-dit", annas.id, str(annas.path), str(annas.path / "model"), str(upload), ""):
        check_reference(mine, ANNA)
    for listed in ("hub:org/listed@main", "org/pinned@abc1234"):
        check_reference(listed, ANNA)
    outside = tmp_path / "outside"
    outside.mkdir()
    (annas.path / "way-out").symlink_to(outside)
    for forbidden in (
        str(outside),
        str(annas.path / "way-out"),
        f"{annas.path}/../{annas.id}/../../etc",
        "/",
        "..",
        str(runs),
        str(runs / ".uploads"),
        str(uploads_folder(BEN) / "model-1"),
        "hub:org/other@main",
        "org/pinned@main",
        "a\0b",
        "x" * 5000,
    ):
        with pytest.raises(BadRequest) as refused:
            check_reference(forbidden, ANNA)
        assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    with pytest.raises(BadRequest):
        check_reference(annas.id, BEN)


def test_page_of_a_stranger_does_not_load_a_model_of_the_server(tmp_path: Path, build_tiny_dit: Any) -> None:
    save_model(build_tiny_dit(), tmp_path / "secret", card="")
    assert attach({"model": str(tmp_path / "secret")}, HOME).model == str(tmp_path / "secret")
    assert attach({"model": str(tmp_path / "secret")}, ANNA).model == "digits-dit"
