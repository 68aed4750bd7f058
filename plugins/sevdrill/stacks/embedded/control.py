"""An embedded stack as it stands on disk, and talking to its supervisor."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sevdrill.errors import StackError
from sevdrill.stacks.command import tail, wait_until
from sevdrill.stacks.embedded import tree
from sevdrill.stacks.embedded.model import Site
from sevdrill.stacks.project import write_atomically

__all__ = ["Control", "Status", "sweep"]

FILE = "embedded.json"
CALL = 15.0
"""Seconds that one request may take."""
GOING = 15.0
"""Seconds that a stack whose runner died may take to be gone."""


@dataclass(frozen=True)
class Status:
    """One replica as its supervisor knows it."""

    pid: int
    code: int | None
    paused: bool
    since: float
    release: str
    variables: str
    """A digest of the environment that it was given."""
    deaths: int | None = None
    """How often it died at a start since it is made to die at each; None while it is not."""
    cpus: float | None = None
    memory: int | None = None
    hogs: tuple[str, ...] = ()
    """Names of what was started beside it."""

    @property
    def untouched(self) -> bool:
        """Whether nothing holds it back."""
        return self.deaths is None and self.cpus is None and self.memory is None and not self.hogs


class Control:
    """Starts, finds and asks the supervisor of one stack."""

    def __init__(self, project: str, state_dir: Path) -> None:
        self.project = project
        self.place = state_dir.absolute() / "stacks" / project
        self.file = self.place / FILE
        self._read: tuple[int, dict[str, Any]] | None = None

    def _document(self) -> dict[str, Any] | None:
        try:
            written = self.file.stat().st_mtime_ns
            if self._read is None or self._read[0] != written:
                self._read = (written, json.loads(self.file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StackError(f"{self.file} is broken ({error}); take the stack down and up again") from None
        return self._read[1]

    @property
    def site(self) -> Site:
        """The stack's description.

        Raises:
            StackError: it is not up.
        """
        document = self._document()
        if document is None or "site" not in document:
            raise StackError(f"stack {self.project} is not up; start it first")
        try:
            return Site.model_validate(document["site"])
        except ValidationError as error:
            raise StackError(f"{self.file} is broken ({error}); take the stack down and up again") from None

    def write(self, site: Site) -> None:
        """Put the description on disk."""
        document = self._document() or {}
        write_atomically(self.file, json.dumps({**document, "site": site.model_dump(mode="json", by_alias=True)}))

    @property
    def alive(self) -> bool:
        """Whether the supervisor lives; the stack of a runner that died is waited for until it is gone."""
        document = self._document()
        if document is None:
            return False
        pid, began = document.get("pid", 0), document.get("began")
        if not pid or tree.started(pid) != began:
            return False
        runner = document.get("runner", 0)
        if runner and tree.started(runner) != document.get("runner_began"):
            return not wait_until(lambda: tree.started(pid) != began, within=GOING)
        return True

    def begin(self) -> Path:
        """Make the stack's folder and start its supervisor, which lives as long as this process; returns the folder.

        Raises:
            StackError: the folder cannot be made, or the supervisor did not start.
        """
        try:
            folder = Path(tempfile.gettempdir()) / f"sevdrill-{self.project}-{secrets.token_hex(4)}"
            # On disk first: whoever comes after a crash must find it.
            write_atomically(self.file, json.dumps({"folder": str(folder), "pid": 0}))
            folder.mkdir(mode=0o711)  # others may come to what is theirs in it: root runs some as somebody else
            for name in ("volumes", "logs", "code", "tmp"):
                (folder / name).mkdir()
        except OSError as error:
            raise StackError(
                f"the stack's data cannot be written to {tempfile.gettempdir()} ({error.strerror}); "
                "make room there, or set TMPDIR to another folder"
            ) from None
        runner = os.getpid()
        log = folder / "supervisor.log"
        with log.open("ab") as stream:
            child = subprocess.Popen(
                [sys.executable, "-m", "sevdrill.stacks.embedded.supervisor", str(folder), str(runner)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stream,
                start_new_session=True,
            )
        assert child.stdout is not None
        with child.stdout as output:
            ready = output.readline() == b"ready\n"
        if not ready:
            raise StackError(
                f"the supervisor of stack {self.project} did not start: {tail(log.read_text(encoding='utf-8'))}"
            )
        # It is not ours to wait for: it may outlive us, and Popen would complain of that.
        child.returncode = 0
        document = {
            "folder": str(folder),
            "pid": child.pid,
            "began": tree.started(child.pid),
            "runner": runner,
            "runner_began": tree.started(runner),
        }
        write_atomically(self.file, json.dumps(document))
        return folder

    def keep(self) -> None:
        """Let the stack outlive the process that started it."""
        self.call("keep")
        write_atomically(self.file, json.dumps({**(self._document() or {}), "runner": 0}))

    def call(self, op: str, **arguments: Any) -> Any:
        """Ask the supervisor.

        Raises:
            StackError: it does not answer, or could not do it.
        """
        document = self._document()
        if document is None:
            raise StackError(f"stack {self.project} is not up; start it first")
        try:
            answer = _ask(Path(document["folder"]), {"op": op, **arguments})
        except (OSError, ValueError) as error:
            raise StackError(
                f"the supervisor of stack {self.project} does not answer ({error}); take the stack down and up again"
            ) from None
        if "error" in answer:
            raise StackError(str(answer["error"]))
        return answer["ok"]

    def status(self) -> dict[str, Status]:
        """Every replica, by name."""
        return {name: Status(**entry) for name, entry in self.call("list")["replicas"].items()}

    @property
    def holder(self) -> int | None:
        """The process that holds the volumes of a fixed size; None where there is none."""
        return int(self.call("list")["holder"]) or None

    def end(self) -> None:
        """Take everything down; one that is down already is no error."""
        document = self._document()
        if document is None:
            return
        pid, began = document.get("pid", 0), document.get("began")
        if pid and tree.started(pid) == began:
            with contextlib.suppress(StackError):
                self.call("end")
            if not wait_until(lambda: tree.started(pid) != began, within=10):
                tree.send([pid], signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        _remove(document)
        self.file.unlink(missing_ok=True)
        self._read = None

    @contextlib.contextmanager
    def changing(self, *, wait: bool = True) -> Iterator[bool]:
        """Hold the stack's lock while changing several things of it; False when another has it, without ``wait``."""
        self.place.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)


def _ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    # By a descriptor of the folder: the path of a socket must be short, and that of a temporary folder may be long.
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(CALL)
            connection.connect(f"/proc/self/fd/{place}/control")
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer: dict[str, Any] = json.loads(stream.readline())
    finally:
        os.close(place)
    return answer


def _remove(document: dict[str, Any]) -> None:
    """End what a supervisor that was killed may have left, and remove the folder."""
    folder = document["folder"]
    deadline = time.monotonic() + 5
    while (left := tree.marked("SEVDRILL_STACK", folder)) and time.monotonic() < deadline:
        tree.send(left, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def sweep(state_dir: Path) -> Iterator[str]:
    """Remove what is left of embedded stacks whose supervisor was killed; yields the name of each."""
    for file in sorted((state_dir.absolute() / "stacks").glob(f"*/{FILE}")):
        control = Control(file.parent.name, state_dir)
        # One that is being started has no supervisor yet.
        with control.changing(wait=False) as mine, contextlib.suppress(StackError):
            if mine and not control.alive:
                control.end()
                yield control.project
