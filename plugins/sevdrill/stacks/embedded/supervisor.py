"""The process that owns an embedded stack's processes: ``python -m sevdrill.stacks.embedded.supervisor FOLDER PID``.

It starts, freezes and kills them, one request at a time, over a socket in the stack's folder. It lives in a session of
its own and ends, with all that it started and the folder itself, when it is told to, and by itself when the runner with
the given id dies, unless it was told that the stack stays up. Should it be killed, the kernel kills its children, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sevdrill.stacks.embedded import kernel, tree
from sevdrill.stacks.embedded.governor import EVERY, Bounds, private
from sevdrill.stacks.embedded.spawning import hold, said, spawn

__all__ = ["main"]

FAREWELL = 1.0
"""Seconds that everything has to end in good order when the stack is taken down."""
GONE = 5.0
"""Seconds within which a killed process must be gone."""
IDLE = 0.5
"""Seconds between two looks where there is nothing to look after."""
AGAIN = (0.1, 2.0)
"""Seconds until a replica that died at its start is started again: at first, and at most; twice as many each time."""


@dataclass
class _Child:
    """One replica: how it is started, and what became of it."""

    spec: dict[str, Any]
    pid: int = 0
    """0 while it does not run."""
    code: int | None = None
    """How it ended the last time; negative where it was a signal."""
    paused: bool = False
    since: float = field(default_factory=time.time)
    """When it began or ended, in seconds of the day."""
    deaths: int | None = None
    """How often it died at a start since it is made to die at each; None while it is not."""
    again: float = 0.0
    """When it is started again, if it is made to die; monotonic seconds."""
    bounds: Bounds = field(default_factory=Bounds)
    hogs: dict[int, str] = field(default_factory=dict)
    """Names of what was started beside it, by process id."""

    @property
    def mains(self) -> list[int]:
        """The processes that all others of this replica come from."""
        return [pid for pid in (self.pid, *self.hogs) if pid]


class Supervisor:
    """Owns the processes of one stack."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, _Child] = {}
        self._holder = 0
        self._done = False
        self.kept = False
        """Whether it is to outlive the runner."""
        self.told = False
        """Whether it is to end."""

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked; an error is an answer, too."""
        try:
            found = getattr(self, f"_do_{request.pop('op')}")(**request)
        except (OSError, KeyError, AttributeError, TypeError, ValueError) as error:
            return {"error": said(error)}
        return {"ok": found}

    # -- requests -----------------------------------------------------------------------------------------------------

    def _do_list(self) -> dict[str, Any]:
        self.reap()
        return {
            "holder": self._holder,
            "replicas": {
                name: {
                    "pid": child.pid,
                    "code": child.code,
                    "paused": child.paused,
                    "since": child.since,
                    "release": child.spec.get("release", ""),
                    "variables": child.spec.get("variables", ""),
                    "deaths": child.deaths,
                    "cpus": child.bounds.cpus,
                    "memory": child.bounds.memory,
                    "hogs": sorted(set(child.hogs.values())),
                }
                for name, child in self._children.items()
            },
        }

    def _do_start(self, name: str, spec: dict[str, Any] | None = None) -> None:
        child = self._children.get(name)
        if child is not None and child.pid:
            return
        if child is None or spec is not None:
            # Another one: with limits of its own, but what is wrong with the service is wrong with it, too.
            child = self._children[name] = _Child(spec or {}, deaths=child.deaths if child else None)
        self._begin(name, child)

    def _begin(self, name: str, child: _Child) -> None:
        child.pid, child.code, child.paused, child.since = spawn(child.spec), None, False, time.time()
        if child.deaths is not None:
            self._do_kill(name)
            child.again = time.monotonic() + min(AGAIN[0] * 2**child.deaths, AGAIN[1])
            child.deaths += 1

    def _do_crash(self, name: str) -> None:
        child = self._children[name]
        if child.deaths is None:
            child.deaths, child.again = 0, time.monotonic() + AGAIN[0]
        self._do_kill(name)

    def _do_live(self, name: str) -> None:
        child = self._children[name]
        child.deaths = None
        self._do_start(name)

    def _do_free(self, name: str) -> None:
        child = self._children[name]
        child.deaths = None
        self._do_limit(name, None, None)
        for called in set(child.hogs.values()):
            self._do_unhog(name, called)

    def _do_forget(self, name: str) -> None:
        if name in self._children:
            self._children[name].deaths = None
            self._do_kill(name)
            del self._children[name]

    def _do_limit(self, name: str, cpus: float | None, memory: int | None) -> None:
        child = self._children[name]
        used = private(child.mains)
        if memory is not None and memory != child.bounds.memory and used > memory:
            raise OSError(f"{name} uses {used / 1024**2:.0f} MiB of memory already, more than it may then")
        if not child.paused:
            child.bounds.go_on()
        child.bounds = Bounds(cpus, memory)

    def _do_hog(self, name: str, called: str, specs: list[dict[str, Any]]) -> None:
        child = self._children[name]
        for spec in specs:
            child.hogs[spawn(spec)] = called

    def _do_unhog(self, name: str, called: str) -> None:
        child = self._children[name]
        ended = [pid for pid, its in child.hogs.items() if its == called]
        tree.send([each for pid in ended for each in (*tree.descendants(pid), pid)], signal.SIGKILL)
        self._await(f"{called} in {name}", ended, lambda: not any(pid in child.hogs for pid in ended))

    def _await(self, what: str, pids: list[int], gone: Callable[[], bool]) -> None:
        deadline = time.monotonic() + GONE
        while not gone() or any(tree.started(pid) is not None for pid in pids):
            if time.monotonic() > deadline:
                raise OSError(f"{what} was killed {GONE:g} s ago and still runs")
            self.reap()
            time.sleep(0.002)

    def _do_signal(self, name: str, number: int) -> None:
        child = self._children[name]
        if child.pid:
            tree.send([child.pid], number)

    def _do_kill(self, name: str) -> None:
        child = self._children[name]
        if not child.pid:
            return
        below = tree.descendants(child.pid)
        tree.kill(child.pid)
        self._await(name, below, lambda: not child.pid)

    def _do_freeze(self, name: str) -> None:
        child = self._children[name]
        if child.pid:
            for pid in child.mains:
                tree.freeze(pid)
            child.paused = True

    def _do_thaw(self, name: str) -> None:
        child = self._children[name]
        if child.pid:
            for pid in child.mains:
                tree.send([*tree.descendants(pid), pid], signal.SIGCONT)
            child.paused = False

    def _do_hold(self, sizes: dict[str, int]) -> int:
        if not self._holder:
            self._holder = hold(sizes)
        return self._holder

    def _do_keep(self) -> None:
        self.kept = True

    def _do_end(self) -> None:
        self.end()

    # -- what happens by itself ---------------------------------------------------------------------------------------

    def reap(self) -> None:
        """Note who ended; what a replica leaves behind ends with it, as in a container."""
        ended = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                break
            for child in self._children.values():
                if child.pid == pid:
                    child.pid, child.code, child.paused = 0, os.waitstatus_to_exitcode(status), False
                    child.since, ended = time.time(), True
                    tree.send(child.hogs, signal.SIGKILL)  # they are in the same container
                child.hogs.pop(pid, None)
            if pid == self._holder:
                self._holder = 0
        if ended:
            known = {pid for child in self._children.values() for pid in child.mains} | {self._holder}
            for pid in tree.children().get(os.getpid(), ()):
                if pid not in known:
                    tree.kill(pid)

    def look(self) -> float:
        """Look after what must be looked after; returns in how many seconds that must be done again."""
        soon = IDLE
        for name, child in list(self._children.items()):
            if child.deaths is not None and not child.pid:
                left = child.again - time.monotonic()
                if left <= 0:
                    # What cannot even be started has died as well.
                    with contextlib.suppress(OSError):
                        self._begin(name, child)
                    left = child.again - time.monotonic()
                soon = min(soon, max(left, 0.0))
            if child.bounds.any and child.pid:
                child.bounds.look(child.mains, paused=child.paused)
                soon = min(soon, EVERY)
        return soon

    def end(self) -> None:
        """End everything, in good order where it is quick, and remove the stack's folder."""
        if self._done:
            return
        self._done = True
        for child in self._children.values():
            if child.pid:
                tree.send([child.pid], child.spec.get("stop", signal.SIGTERM))
                tree.send([*tree.descendants(child.pid), child.pid], signal.SIGCONT)
            child.deaths, child.bounds = None, Bounds()
        deadline = time.monotonic() + FAREWELL
        while any(child.pid for child in self._children.values()) and time.monotonic() < deadline:
            self.reap()
            time.sleep(0.01)
        deadline = time.monotonic() + GONE
        while (left := tree.descendants(os.getpid())) and time.monotonic() < deadline:
            tree.send(left, signal.SIGKILL)
            self.reap()
            time.sleep(0.005)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def done(self) -> bool:
        """Whether everything was ended."""
        return self._done


def _serve(connection: socket.socket, supervisor: Supervisor) -> None:
    with connection, contextlib.suppress(OSError, ValueError):
        connection.settimeout(5)
        with connection.makefile("rb") as stream:
            request = json.loads(stream.readline())
        answer = supervisor.answer(request)
        connection.sendall(json.dumps(answer).encode() + b"\n")


def main(arguments: list[str]) -> int:
    """Serve until the stack is to end."""
    folder, runner = Path(arguments[0]), int(arguments[1])
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    kernel.adopt_orphans()
    supervisor = Supervisor(folder)
    # A signal wakes the loop below through this pipe, and does nothing else.
    wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: setattr(supervisor, "told", True))
    os.chdir(folder)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("control")  # relative: the path of a socket must be short
    listener.listen(64)
    watched: list[Any] = [listener, wake]
    alive = _watch(runner, watched)
    print("ready", flush=True)  # noqa: T201 - what the runner waits for
    sys.stdout.close()
    os.dup2(os.open("supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), 1)
    try:
        while not supervisor.done and not supervisor.told:
            ready = select.select(watched, [], [], supervisor.look())[0]
            if wake in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
                supervisor.reap()
            if not supervisor.kept and not alive(ready):
                break
            if supervisor.kept:
                watched[:] = [listener, wake]  # or the end of the runner would be news for ever
            if listener in ready:
                _serve(listener.accept()[0], supervisor)
    finally:
        supervisor.end()
    return 0


def _watch(runner: int, watched: list[Any]) -> Any:
    """What tells from the descriptors that are ready whether the runner lives."""
    try:
        pidfd = os.pidfd_open(runner)
    except ProcessLookupError:
        return lambda ready: False
    except (AttributeError, OSError):
        return lambda ready: os.getppid() == runner
    watched.append(pidfd)
    return lambda ready: pidfd not in ready


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
