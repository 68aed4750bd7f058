"""One Compose project, on disk and on the engine: rewritten file, containers, and the lock around changes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from sevdrill.errors import StackError
from sevdrill.masking import MASKER
from sevdrill.stacks.engine import Container, Engine, Finished
from sevdrill.stacks.rewrite import LAYOUT, Layout, ServiceLayout
from sevdrill.stacks.settings import StackSettings, meant, read_settings

__all__ = ["Project", "read_entries", "write_atomically"]


class Project:
    """A project that was rewritten to ``<state_dir>/stacks/<name>/compose.yml``."""

    def __init__(self, engine: Engine, name: str, state_dir: Path) -> None:
        self.engine, self.name = engine, name
        self.folder = state_dir.absolute() / "stacks" / name
        self.file = self.folder / "compose.yml"
        self._lock = -1
        self._learned = False

    @property
    def exists(self) -> bool:
        """Whether its rewritten file is there."""
        return self.file.is_file()

    def read(self) -> dict[str, Any]:
        """The rewritten model.

        Raises:
            StackError: it was never written, or is broken.
        """
        try:
            document: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise StackError(f"stack {self.name} is not up: there is no {self.file}; start it first") from None
        except ValueError as error:
            raise StackError(f"{self.file} is broken ({error}); take the stack down and up again") from None
        # Whoever attaches to a stack must keep its secrets as well as whoever started it.
        if not self._learned:
            MASKER.learn_compose(document)
            self._learned = True
        return document

    def write(self, document: dict[str, Any]) -> None:
        """Replace the rewritten model; whoever reads it sees the old one or the new one."""
        # JSON is YAML in which every text is quoted, so no reader can take one for a number. It may hold secrets.
        write_atomically(self.file, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        self.__dict__.pop("layout", None)

    @cached_property
    def layout(self) -> Layout:
        """Where everything is in the rewritten file."""
        return Layout.model_validate(self.read()[LAYOUT])

    def settings(self) -> StackSettings:
        """The stack's ``x-sevdrill``, as it was when the file was written."""
        document = self.read()
        return read_settings(document.get("x-sevdrill"), self.layout.services, str(self.file))

    def service(self, name: str) -> ServiceLayout:
        """Where a service is, by the name that users wrote.

        Raises:
            StackError: the stack has no such service.
        """
        try:
            return self.layout.services[name]
        except KeyError:
            known = sorted(self.layout.services)
            raise StackError(
                f'stack {self.name} has no service "{name}"{meant(name, known)} (services: {", ".join(known)})'
            ) from None

    def containers(self, service: str) -> list[Container]:
        """The replicas of a service as they are now, past its proxy."""
        self.service(service)
        every = self.engine.containers(self.name)
        return [c for c in every if c.service == service and not c.is_proxy and not c.draft]

    def proxy(self, service: str) -> Container | None:
        """The container of a service's proxy."""
        every = self.engine.containers(self.name)
        return next((c for c in every if c.service == service and c.is_proxy), None)

    def compose(self, *command: str, timeout: float, finish: bool = False) -> Finished:
        """Run ``docker compose`` on the rewritten file; ``timeout`` in seconds."""
        head = ["compose", "--ansi", "never", "--progress", "plain", "-p", self.name, "-f", str(self.file)]
        fds = [self._lock] if self._lock >= 0 else []
        return self.engine.docker(*head, *command, timeout=timeout, fds=fds, finish=finish)

    @contextlib.contextmanager
    def changing(self, within: float = 60) -> Iterator[None]:
        """Hold the project's lock while changing it; waits for another change at most ``within`` seconds.

        Compose children inherit it: a change whose runner was killed is waited for, not run into.

        Raises:
            StackError: somebody else held it all that time.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = time.monotonic() + within
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise StackError(
                            f"stack {self.name} is being changed by another process for {within:g} s already; "
                            "wait for it to end, or choose another project"
                        ) from None
                    time.sleep(0.05)
            self._lock = lock
            yield
        finally:
            self._lock = -1
            os.close(lock)


def write_atomically(file: Path, text: str) -> None:
    """Write a file that is never seen half written, readable by its owner only."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - from a descriptor
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)


def read_entries(file: Path) -> list[dict[str, Any]]:
    """The entries of a JSONL file; none where there is no file, and not the line that its writer was killed at."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries
