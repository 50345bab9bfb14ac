"""Doing what a Dockerfile says in a folder that stands for the image's root, as the user that it names."""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

from image.reading import CannotDo, Instruction, commands, context_files, copied_files, words
from image.stand_in import bring_package, bring_python, pip_settings

__all__ = ["Image"]

_PASSED_ON = ("LANG", "LC_ALL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_REACHABLE = 10.0  # seconds for an index to answer


class Image:
    """A folder in place of an image. Absolute paths of the Dockerfile are below `root`.

    Attributes:
        environment: the variables that ENV has set so far, and what every program needs.
        user: who runs what comes next: the Dockerfile's name for him, "" for root.
    """

    def __init__(self, source: Path, root: Path) -> None:
        self.source, self.root = source, root
        self.program = Path()
        self.user, self.users = "", dict[str, int]()
        self.homes = dict[str, Path]()
        self.folder = root
        self.entrypoint, self.command, self.health = list[str](), list[str](), list[str]()
        self.environment = {
            "PATH": f"{root}/usr/local/bin:{root}/usr/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": f"{root}/usr/local/lib",
            "TMPDIR": str(root / "tmp"),
            **{name: os.environ[name] for one in _PASSED_ON for name in (one, one.lower()) if name in os.environ},
        }
        (root / "tmp").mkdir()
        (root / "tmp").chmod(0o1777)

    def do(self, instruction: Instruction) -> None:
        """Carry out one instruction."""
        steps = {
            "FROM": self._from,
            "RUN": self._run,
            "ENV": self._env,
            "WORKDIR": self._workdir,
            "COPY": lambda rest: self._copy(rest, instruction.flags.get("chown", "")),
            "USER": self._user,
            "EXPOSE": lambda rest: None,
            "HEALTHCHECK": self._healthcheck,
            "ENTRYPOINT": lambda rest: self.entrypoint.extend(words(rest)),
            "CMD": lambda rest: self.command.extend(words(rest)),
        }
        steps[instruction.name](instruction.rest)

    def run_as_user(self, command: Sequence[str], settings: Mapping[str, str] | None = None) -> subprocess.Popen:
        """Start a program of the image as the user of the moment; its output goes to a pipe."""
        as_user: dict = {}
        if os.geteuid() == 0 and self.user:
            number = self.users[self.user]
            as_user = {"user": number, "group": number, "extra_groups": []}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.environment | dict(settings or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **as_user,
        )

    def place(self, path: str) -> Path:
        """Where a path of the Dockerfile lies."""
        return self.root / path.lstrip("/") if path.startswith("/") else self.folder / path

    def _from(self, rest: str) -> None:
        self.program = bring_python(rest, self.root)

    def _env(self, rest: str) -> None:
        before = dict(self.environment)
        for name, value in re.findall(r"(\w+)=(\"[^\"]*\"|\S+)", rest):
            parts = value.strip('"').split(":")
            placed = ":".join(str(self.place(part)) if part.startswith("/") else part for part in parts)
            self.environment[name] = re.sub(r"\$\{?(\w+)\}?", lambda found: before.get(found[1], ""), placed)

    def _workdir(self, rest: str) -> None:
        self.folder = self.place(rest)
        self.folder.mkdir(parents=True, exist_ok=True)  # of root, as Docker makes it

    def _user(self, rest: str) -> None:
        if rest not in self.users:
            raise CannotDo(f"USER {rest}: no useradd made this user")
        self.user = rest

    def _healthcheck(self, rest: str) -> None:
        _, _, command = rest.partition("CMD ")
        self.health = words(command)

    def _copy(self, rest: str, owner: str) -> None:
        *sources, target = rest.split()
        place = self.place(target)
        for source in sources:
            inside = "" if source == "." else f"{source.strip('/')}/"
            for path in copied_files(source, context_files(self.source)):
                whole = path == source and inside
                to = place / Path(path).name if whole else place / path.removeprefix(inside)
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(self.source / path, to)
        self._give(place, owner)

    def _give(self, place: Path, owner: str) -> None:
        if os.geteuid() == 0 and owner:
            number = self.users[owner]
            for path in (place, *place.rglob("*")):
                os.chown(path, number, number, follow_symlinks=False)

    def _run(self, rest: str) -> None:
        known = {
            "apt-get": self._apt_get,
            "rm": self._rm,
            "useradd": self._useradd,
            "install": self._install,
            "pip": self._pip,
        }
        for command in commands(rest):
            if command[0] not in known:
                raise CannotDo(f"RUN {command[0]}: known here are {', '.join(known)}; add it to .ci/image/building.py")
            known[command[0]](command[1:])

    def _apt_get(self, arguments: list[str]) -> None:
        if arguments[0] == "install":
            for name in (word for word in arguments[1:] if not word.startswith("-")):
                if not bring_package(name, self.root):
                    raise CannotDo(f"apt-get install {name}: apt knows no such package")

    def _rm(self, arguments: list[str]) -> None:
        for pattern in (word for word in arguments if not word.startswith("-")):
            for path in glob.glob(str(self.place(pattern))):
                shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)

    def _useradd(self, arguments: list[str]) -> None:
        name, wanted = arguments[-1], int(arguments[arguments.index("--uid") + 1])
        taken = {entry.pw_uid for entry in pwd.getpwall()} if os.geteuid() == 0 else set()
        number = next(one for one in range(wanted, 60000) if one not in taken)
        if number != wanted:
            print(f"  note: {wanted} is a person of this machine; {name!r} is number {number} here")
        self.users[name] = number
        if "--create-home" in arguments:
            self.homes[name] = self.place(f"/home/{name}")
            self.homes[name].mkdir(parents=True)
            self._give(self.homes[name], name)

    def _install(self, arguments: list[str]) -> None:
        if arguments[:2] != ["-d", "-o"] or arguments[3] != "-g":
            raise CannotDo("RUN install: only `install -d -o USER -g GROUP FOLDER…` is known here")
        for folder in arguments[5:]:
            self.place(folder).mkdir(parents=True, exist_ok=True)
            self._give(self.place(folder), arguments[2])

    def _pip(self, arguments: list[str]) -> None:
        settings = pip_settings()
        if "--extra-index-url" in arguments:
            at = arguments.index("--extra-index-url")
            if not _reachable(arguments[at + 1]):
                print(f"  note: {arguments[at + 1]} cannot be reached; pip gets on with its own index")
                arguments = arguments[:at] + arguments[at + 2 :]
                self._refuse_cuda(settings)
        # What is never imported here need not be compiled: a minute. (The variable PIP_NO_COMPILE means the opposite.)
        self._call([str(self.program), "-m", "pip", *arguments, "--no-compile"], settings)

    def _refuse_cuda(self, settings: Mapping[str, str]) -> None:
        """CannotDo where the torch that pip would take is one for GPUs, gigabytes of it."""
        pinned = re.search(r"^torch==\S+", (self.folder / "requirements.txt").read_text(), flags=re.MULTILINE)
        ask = [str(self.program), "-m", "pip", "install", "--dry-run", "--no-deps", "--quiet", "--report", "-"]
        report = self._call([*ask, pinned[0] if pinned else "torch"], settings)
        if not re.search(r'"url": "[^"]*torch-[^"]*(\+|%2B)cpu', report):
            raise CannotDo("without the index of CPU wheels pip would take a torch for GPUs; make that index reachable")

    def _call(self, command: Sequence[str], settings: Mapping[str, str]) -> str:
        process = self.run_as_user(command, settings)
        output = process.communicate()[0].decode(errors="replace")
        if process.returncode:
            raise CannotDo(f"{' '.join(command[1:])} ended with {process.returncode}:\n{output[-3000:]}")
        return output


def _reachable(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/torch/", timeout=_REACHABLE):
            return True
    except OSError:
        return False
