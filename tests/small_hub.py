"""A Hub of one's own: an HTTP server on this machine that speaks the routes which huggingface_hub needs."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_token-of-the-small-hub"


@dataclass
class Repo:
    """One repository: its commits, and the names that point at them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    private: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """Add files to a branch; the new commit."""
        whole = self.commits.get(self.branches.get(branch, ""), {}) | files
        name = hashlib.sha1(repr((len(self.commits), sorted(whole))).encode()).hexdigest()
        self.commits[name] = whole
        self.branches[branch] = name
        return name

    def find(self, revision: str) -> str | None:
        """The commit that a branch, a tag or the beginning of a commit names."""
        named = self.branches.get(revision) or self.tags.get(revision)
        starts = [commit for commit in self.commits if len(revision) >= 7 and commit.startswith(revision)]
        return named or next(iter(starts), None)


class SmallHub(ThreadingHTTPServer):
    """The server, what it holds, and every request it got."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repos: dict[str, Repo] = {}
        self.large: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.lies: dict[str, int] = {}  # sizes by name that are told instead of the true ones
        self.down = False

    @property
    def address(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self.server_port}"

    def add_folder(self, name: str, folder: Path) -> str:
        """Commit all files of a folder to a repository; the commit."""
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        return self.repos.setdefault(name, Repo()).commit(files)

    def downloads(self) -> list[str]:
        """Names of the files whose contents were sent."""
        return [line.split("/", 5)[-1] for line in self.requests if line.startswith("GET") and "/resolve/" in line]


@contextmanager
def small_hub() -> Iterator[SmallHub]:
    """A running server."""
    server = SmallHub()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Refused(Exception):
    """A status and the reason, as the Hub tells it in headers."""


class _Handler(BaseHTTPRequestHandler):
    server: SmallHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.server.requests.append(f"{self.command} {unquote(path)}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if self.server.down:
                raise _Refused(503, "")
            self._route([unquote(part) for part in path.strip("/").split("/")], body)
        except _Refused as refused:
            status, code = refused.args
            self._json({"url": f"{self.server.address}/any/thing"}, status, {"X-Error-Code": code} if code else {})

    do_GET = do_HEAD = do_POST = do_PUT = _answer

    def _route(self, parts: list[str], body: bytes) -> None:
        match parts:
            case ["api", "models", org, name] | ["api", "models", org, name, "revision", _]:
                self._info(f"{org}/{name}", parts[5] if len(parts) > 4 else "main")
            case ["api", "models", org, name, "refs"]:
                repo = self._repo(f"{org}/{name}")
                refs = {"branches": repo.branches, "tags": repo.tags, "converts": {}}
                self._json(
                    {k: [{"name": n, "ref": n, "targetCommit": c} for n, c in v.items()] for k, v in refs.items()}
                )
            case ["api", "models", org, name, "tree", revision]:
                _, files = self._files(f"{org}/{name}", revision)
                self._json([{"type": "file", "path": n, "oid": _oid(d), "size": len(d)} for n, d in files.items()])
            case [org, name, "resolve", revision, *file]:
                self._resolve(f"{org}/{name}", revision, "/".join(file))
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["large", oid]:
                self.server.large[oid] = body
                self._json({})
            case [org, git, "info", "lfs", "objects", "batch"] if git.endswith(".git"):
                self._need_token()
                self._json({"objects": [self._place(item) for item in json.loads(body)["objects"]]})
            case _:
                self._need_token()
                self._write(parts, body)

    def _write(self, parts: list[str], body: bytes) -> None:
        match parts:
            case ["api", "repos", "create"]:
                wanted = json.loads(body)
                name = f"{wanted['organization']}/{wanted['name']}"
                if name in self.server.repos:
                    raise _Refused(409, "")
                self.server.repos[name] = Repo(private=wanted.get("visibility") == "private")
                self.server.repos[name].commit({})
                self._json({"url": f"{self.server.address}/{name}", "id": name})
            case ["api", "models", org, name, "branch", branch]:
                repo = self._repo(f"{org}/{name}")
                repo.branches.setdefault(branch, repo.branches["main"])
                self._json({})
            case ["api", "models", _, _, "preupload", _]:
                files = [item["path"] for item in json.loads(body)["files"]]
                modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in files}
                self._json({"files": [{"path": n, "uploadMode": m, "shouldIgnore": False} for n, m in modes.items()]})
            case ["api", "models", org, name, "commit", branch]:
                lines = [json.loads(line) for line in body.splitlines()]
                added = {}
                for line in lines:
                    if line["key"] == "file":
                        added[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
                    elif line["key"] == "lfsFile":
                        added[line["value"]["path"]] = self.server.large[line["value"]["oid"]]
                commit = self._repo(f"{org}/{name}").commit(added, branch)
                address = f"{self.server.address}/{org}/{name}/commit/{commit}"
                self._json({"success": True, "commitUrl": address, "commitOid": commit})
            case _:
                raise _Refused(404, "")

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        upload = {"href": f"{self.server.address}/large/{item['oid']}"}
        return {"oid": item["oid"], "size": item["size"], "actions": {"upload": upload}}

    def _need_token(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refused(401, "")

    def _repo(self, name: str) -> Repo:
        repo = self.server.repos.get(name)
        if repo is None or repo.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise _Refused(401, "RepoNotFound")
        return repo

    def _files(self, name: str, revision: str) -> tuple[str, dict[str, bytes]]:
        repo = self._repo(name)
        commit = repo.find(revision)
        if commit is None:
            raise _Refused(404, "RevisionNotFound")
        return commit, repo.commits[commit]

    def _info(self, name: str, revision: str) -> None:
        commit, files = self._files(name, revision)
        sizes = {file: self.server.lies.get(file, len(data)) for file, data in files.items()}
        siblings = [{"rfilename": file, "size": size, "blobId": _oid(files[file])} for file, size in sizes.items()]
        self._json({"id": name, "sha": commit, "private": False, "tags": [], "downloads": 0, "siblings": siblings})

    def _resolve(self, name: str, revision: str, file: str) -> None:
        commit, files = self._files(name, revision)
        if file not in files:
            raise _Refused(404, "EntryNotFound")
        self._send(files[file], headers={"X-Repo-Commit": commit, "ETag": f'"{_oid(files[file])}"'})

    def _json(self, document: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        kind = {"Content-Type": "application/json"}
        self._send(json.dumps(document).encode(), status=status, headers=kind | (headers or {}))

    def _send(self, data: bytes, *, status: int = 200, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
