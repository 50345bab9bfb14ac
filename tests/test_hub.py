"""The Hub: the real client against a small server on this machine, and no network."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_hub import TOKEN, Repo, SmallHub, small_hub

from tinylab.cli import main
from tinylab.errors import BadRequest, Failure
from tinylab.models.catalog import describe_model
from tinylab.models.diffusers.folder import describe_diffusers
from tinylab.models.diffusers.layout import to_diffusers
from tinylab.models.families import WEIGHTS_FILE
from tinylab.models.hub.reference import is_hub_reference, parse_hub_reference
from tinylab.models.hub.transfer import fetch, fetch_pinned, push, upload_of
from tinylab.models.networks.dit import DiT

REPO = "people/tiny"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """A running server that the client takes for the Hub, and an empty cache."""
    with small_hub() as server:
        for name, value in (
            ("HF_HUB_OFFLINE", False),
            ("ENDPOINT", server.address),
            ("HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"),
            ("HF_HUB_CACHE", str(tmp_path / "cache")),
            ("HF_TOKEN_PATH", str(tmp_path / "no-token")),
            ("HF_HUB_DISABLE_XET", True),
        ):
            monkeypatch.setattr(constants, name, value)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        yield server


@pytest.fixture
def commit(hub: SmallHub, tiny_folder: str) -> str:
    """The commit of the tiny model in the small Hub, with things beside it that nobody should download."""
    folder = Path(tiny_folder)
    for name in ("pickled.bin", "model.pt", "code.py", "other.safetensors", "samples.png"):
        (folder / name).write_bytes(b"never")
    commit = hub.add_folder(REPO, folder)
    for file in folder.iterdir():
        if file.read_bytes() == b"never":
            file.unlink()
    hub.repos[REPO].tags["v1"] = commit
    return commit


def refusal(reference: str, **options: int) -> str:
    with pytest.raises(BadRequest) as refused:
        fetch(reference, **options)
    message = str(refused.value)
    assert message and "\n" not in message
    return message


def same_model(folder: Path, wanted: str) -> bool:
    return all(
        (folder / name).read_bytes() == (Path(wanted) / name).read_bytes() for name in (WEIGHTS_FILE, "config.json")
    )


@pytest.mark.parametrize("cut", [7, 12, 40])
def test_commit_is_fetched_and_nothing_but_the_model(cut: int, hub: SmallHub, commit: str, tiny_folder: str) -> None:
    found = fetch_pinned(f"hub:{REPO}@{commit[:cut]}")
    assert same_model(found.folder, tiny_folder)
    assert str(found.pinned) == f"hub:{REPO}@{commit}"
    assert sorted(hub.downloads()) == ["config.json", WEIGHTS_FILE]
    assert describe_model(str(found.folder)).depth == {"blocks": 4}


def test_tag_and_main_are_resolved_to_their_commit(
    hub: SmallHub, commit: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tinylab"):
        assert fetch_pinned(f"{REPO}@v1").pinned.revision == commit
        assert not [record for record in caplog.records if record.name.startswith("tinylab")]
        assert fetch_pinned(f"hub:{REPO}@main").pinned.revision == commit
    assert f"hub:{REPO}@{commit}" in caplog.messages[-1]


def test_tag_keeps_its_commit_when_the_branch_moves(hub: SmallHub, commit: str, tiny_folder: str) -> None:
    moved = hub.repos[REPO].commit({"config.json": b"{}"})
    assert fetch_pinned(f"hub:{REPO}@main").pinned.revision == moved != commit
    assert same_model(fetch(f"hub:{REPO}@v1"), tiny_folder)


@pytest.mark.parametrize("cut", [8, 40])
def test_what_is_in_the_cache_needs_no_network(
    cut: int, hub: SmallHub, commit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch(f"hub:{REPO}@{commit}")
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch(f"hub:{REPO}@{commit[:cut]}") == folder
    assert hub.requests == []
    assert "HF_HUB_OFFLINE" in refusal(f"hub:{REPO}@v1")


def test_download_that_broke_off_is_made_whole(hub: SmallHub, commit: str, tiny_folder: str) -> None:
    folder = fetch(f"hub:{REPO}@{commit}")
    (folder / WEIGHTS_FILE).unlink()
    assert same_model(fetch(f"hub:{REPO}@{commit}"), tiny_folder)


def test_diffusers_pipeline_is_fetched_without_its_other_parts(hub: SmallHub, tiny_dit: DiT, tmp_path: Path) -> None:
    to_diffusers(tiny_dit, tmp_path / "pipeline")
    commit = hub.add_folder(REPO, tmp_path / "pipeline")
    folder = fetch(f"hub:{REPO}@{commit}")
    assert describe_diffusers(folder)["config"]["depth"] == 4
    assert sorted(hub.downloads()) == ["model_index.json", "transformer/config.json", f"transformer/{WEIGHTS_FILE}"]


def test_reference_must_be_pinned(hub: SmallHub, commit: str) -> None:
    hub.repos[REPO].branches["dev/new"] = commit
    assert "add @" in refusal(f"hub:{REPO}")
    assert f"pin it as hub:{REPO}@{commit}" in refusal(f"hub:{REPO}@dev/new")
    assert hub.downloads() == []


@pytest.mark.parametrize(
    "reference, words",
    [
        ("hub:people/none@main", "has no model people/none"),
        (f"hub:{REPO}@v2", "no revision 'v2'"),
        (f"hub:{REPO}@{'0' * 40}", "no revision"),
        ("hub:tiny@main", "ORG/NAME"),
        ("hub:@", "ORG/NAME"),
        ("hub:../../etc@main", "ORG/NAME"),
        ("hub:a--b/c@main", "ORG/NAME"),
        (f"hub:{REPO}@", "no revision"),
        (f"hub:{REPO}@a b", "no revision"),
        (f"hub:{REPO}@../../x", "no revision"),
        (f"hub:{REPO}@v1\n", "no revision"),
    ],
)
def test_bad_reference_is_one_line(reference: str, words: str, hub: SmallHub, commit: str) -> None:
    assert words in refusal(reference)
    assert hub.downloads() == []


def test_private_repository_needs_its_token(hub: SmallHub, commit: str, tiny_folder: str) -> None:
    hub.repos[REPO].private = True
    assert "log in" in refusal(f"hub:{REPO}@{commit}")
    assert same_model(fetch(f"hub:{REPO}@{commit}", token=TOKEN), tiny_folder)


@pytest.mark.parametrize("name", ["README.md", "model.bin"])
def test_repository_without_a_model_we_read_is_refused(name: str, hub: SmallHub) -> None:
    hub.repos[REPO] = Repo()
    hub.repos[REPO].commit({name: b"x"})
    assert "config.json" in refusal(f"hub:{REPO}@main")
    hub.repos[REPO].commit({"config.json": b"{}"})
    assert ("pickles" if name.endswith("bin") else "missing") in refusal(f"hub:{REPO}@main")
    assert hub.downloads() == []


def test_size_is_checked_before_anything_is_downloaded(hub: SmallHub, commit: str) -> None:
    assert "more than" in refusal(f"hub:{REPO}@{commit}", limit=10_000)
    hub.lies[WEIGHTS_FILE] = 10**15
    with pytest.raises(Failure, match="free some space"):
        fetch(f"hub:{REPO}@{commit}", limit=10**16)
    assert hub.downloads() == []


def test_hub_that_is_down_or_away_is_told(hub: SmallHub, commit: str) -> None:
    hub.down = True
    with pytest.raises(Failure, match="answered 503"):
        fetch(f"hub:{REPO}@{commit}")
    with pytest.raises(BadRequest, match="cannot be reached .ConnectError."):
        fetch(f"hub:{REPO}@{commit}", endpoint="http://127.0.0.1:9")


def test_local_names_win_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_reference("a/b@v1") and is_hub_reference("hub:a/b")
    assert not any(
        is_hub_reference(text) for text in ("a/b", "digits-dit", "/a/b@v1", "a/b/c@v1", "", "a@b", "x" * 300)
    )
    (tmp_path / "a" / "b@v1").mkdir(parents=True)
    assert not is_hub_reference("a/b@v1")
    assert parse_hub_reference("a/b@v1") == parse_hub_reference("hub:a/b@v1")


@pytest.mark.parametrize("private", [False, True])
def test_pushed_model_comes_back_from_its_reference(
    private: bool, hub: SmallHub, tiny_folder: str, tmp_path: Path
) -> None:
    (Path(tiny_folder) / ".hidden.json").write_text("{}")
    (Path(tiny_folder) / "notes.txt").write_text("mine")
    (Path(tiny_folder) / "link.json").symlink_to("/etc/hostname")
    made = push(Path(tiny_folder), "me/new", token=TOKEN, private=private)
    assert hub.repos["me/new"].private == private
    assert set(hub.repos["me/new"].commits[made.revision]) == {"README.md", "config.json", WEIGHTS_FILE}
    assert same_model(fetch(str(made), token=TOKEN), tiny_folder)


def test_second_push_adds_a_commit_and_a_branch_leaves_main_alone(hub: SmallHub, tiny_folder: str) -> None:
    first = push(Path(tiny_folder), "me/new", token=TOKEN)
    (Path(tiny_folder) / "README.md").write_text("# Better\n")
    second = push(Path(tiny_folder), "me/new", token=TOKEN, revision="trial")
    repo = hub.repos["me/new"]
    assert repo.branches == {"main": first.revision, "trial": second.revision}
    assert repo.commits[second.revision]["README.md"] == b"# Better\n"


def test_push_without_the_right_to_is_refused(hub: SmallHub, tiny_folder: str) -> None:
    for name in ("me/new", REPO):
        with pytest.raises(BadRequest, match="use a token with the right to write"):
            push(Path(tiny_folder), name, token="hf_wrong")
    assert hub.repos == {}


def test_push_to_a_hub_that_is_away_fails_in_one_line(hub: SmallHub, tiny_folder: str) -> None:
    with pytest.raises(Failure, match="nothing was pushed"):
        push(Path(tiny_folder), "me/new", token=TOKEN, endpoint="http://127.0.0.1:9")


def test_folder_without_a_model_or_a_card_is_not_sent(tiny_folder: str, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no model to push"):
        upload_of(tmp_path / "nothing")
    (Path(tiny_folder) / "README.md").unlink()
    with pytest.raises(BadRequest, match="no model card"):
        upload_of(Path(tiny_folder))


def test_dry_run_prints_the_card_and_the_files_and_asks_nobody(
    hub: SmallHub, tiny_folder: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", tiny_folder, "--to", "me/new", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "# Tiny" in out and WEIGHTS_FILE in out
    assert main(["push", tiny_folder, "--to", "me/new", "--dry-run", "--private", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"].keys() == {"README.md", "config.json", WEIGHTS_FILE}
    assert told["private"] and told["card"] == "# Tiny\n"
    assert hub.requests == []


def test_command_pushes_a_run_whose_card_says_what_it_is(
    hub: SmallHub, tiny_folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    out = str(tmp_path / "cut")
    assert main(["prune", "--model", tiny_folder, "--indices", "0,3", "--out", out, "--quiet"]) == 0
    capsys.readouterr()
    assert main(["push", out, "--to", "me/cut", "--json"]) == 0
    pushed = json.loads(capsys.readouterr().out)["pushed"]
    card = (hub.repos["me/cut"].commits[parse_hub_reference(pushed).revision])["README.md"].decode()
    for words in (
        "Teacher: tiny\n",
        "Kept blocks: 0, 3 of 4 blocks",
        "Chosen by: indices",
        "Training: none",
        "loss full",
    ):
        assert words in card
    assert str(tmp_path) not in card
    shutil.rmtree(out)
    assert describe_model(str(fetch(pushed))).kept == {"blocks": [0, 3]}


@pytest.mark.parametrize("name", ["new", "me/new/er", "../new", "me/ne w"])
def test_bad_name_for_a_push_is_refused(name: str, tiny_folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", tiny_folder, "--to", name]) == 2
    assert "ORG/NAME" in capsys.readouterr().err
