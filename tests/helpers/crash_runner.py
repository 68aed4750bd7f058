"""A runner that dies: the real engine, journal and watchdog on the small stack, killed at a chosen moment.

`run` is what such a process does; it is told `kind`, `moment`, `folder`, and `stack` (its descriptor).
"""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal

from crash_matrix import crowd_folder, look_at, write
from crash_stack import EXAMPLES

from sevdrill.actions import RevertingAction
from sevdrill.clock import SystemClock
from sevdrill.engine import Engine, Settings
from sevdrill.faults import Fault, State
from sevdrill.healing import heal_all, start_watchdog
from sevdrill.journal import Journal, JournalFile
from sevdrill.lines import FaultLine, Line, RunLine, StepLine
from sevdrill.people import Messages
from sevdrill.plan import make_plan
from sevdrill.ports import Lifecycle, Load, Ports
from sevdrill.scenario import Kinds, scenario_model
from sevdrill.severity import load_policy
from sevdrill.shield import Shield
from sevdrill.stacks.choice import attach
from sevdrill.surges import EVERY, Surge, follow
from sevdrill.timeline import TimelineWriter


class Idle(Fault):
    """A fault that hits nothing: for drills whose subject is a step."""

    needs: ClassVar[tuple[type, ...]] = ()
    fault: Literal["test.idle"]
    file: str

    @property
    def services(self) -> tuple[str, ...]:
        return ()

    def prepare(self, ports: Ports) -> dict[str, Any]:
        return {}

    def inject(self, ports: Ports, record: dict[str, Any]) -> None:
        Path(self.file).touch()

    def undo(self, ports: Ports, record: dict[str, Any]) -> None:
        Path(self.file).unlink(missing_ok=True)

    def state(self, ports: Ports, record: dict[str, Any]) -> State:
        return State.ON if Path(self.file).exists() else State.OFF


class Watched:
    """A port that is looked over the shoulder: after each call ``after`` is called."""

    def __init__(self, port: object, after: Callable[[], None]) -> None:
        self._port, self._after = port, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*args: Any, **more: Any) -> Any:
            try:
                return found(*args, **more)
            finally:
                self._after()

        return call


class Announcer:
    """Says nothing, but calls somebody."""

    def __init__(self, said: Callable[[], None]) -> None:
        self._said = said

    def announce(self, to: str, status: str, text: str, by: str = "sevdrill") -> None:
        self._said()

    def escalate(self, to: str, why: str) -> None:
        self._said()

    def over(self, why: str, undone: bool | None) -> None:
        self._said()


class Crowd:
    """Of the port `Load`, the users that are asked for; a thread brings them, and they go with this process."""

    users = 3

    def __init__(self, folder: Path) -> None:
        self.folder, self._there = folder, self.users
        self._look = follow(Surge(folder), self.users, lambda: self._there, self._change)
        threading.Thread(target=self._go_on, daemon=True).start()

    def start(self) -> None:
        """They are there already."""

    def stop(self) -> None:
        """They stay for as long as their process."""

    def _change(self, users: int) -> None:
        self._there = users

    def _go_on(self) -> None:
        while True:
            self._look()
            time.sleep(EVERY)


class Runner:
    """One run of one kind."""

    def __init__(self, kind: str, moment: str, folder: Path, stack: dict[str, Any]) -> None:
        self.kind, self.moment, self.folder = kind, moment, folder
        self.project = stack["project"]
        self.descriptor = stack
        self.clock = SystemClock()

    def die(self) -> None:
        """What the stack shows now is noted, and this process is no more."""
        write(self.folder / "seen.json", look_at(self.descriptor, self.kind))
        if self.moment == "group":
            os.killpg(0, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def run(self) -> None:
        stack = self._stack = attach(self.descriptor, self.clock)
        scenario = scenario_model(Kinds.default().with_([Idle])).model_validate(self._drill())
        subject = next(
            what for what in (*scenario.inject, *scenario.respond) if self.kind in (what.title, *_names(what))
        )
        ports = stack.ports().with_({Messages: Announcer(lambda: self._at("respond"))})
        if self.kind == "load.spike":
            ports = ports.with_({Load: Crowd(crowd_folder(self.descriptor))})
        writer = TimelineWriter(self.folder / "run" / "timeline.jsonl", self.clock, listener=self._listen)
        writer.write(
            RunLine(drill="x", severity="SEV-4", policy="sop-001", stack="x", wall="", scenario=scenario.dump())
        )
        journal = Journal(self.folder, "run", self.clock, self.descriptor, keep=True)
        write(self.folder / "watchdog.json", start_watchdog(journal.path, self.folder).pid)
        self._set_trap(type(subject))
        plan = make_plan(scenario, load_policy("sop-001"), ports)
        Engine(plan, ports, writer, journal, Shield(), self.clock, Settings(patience=20, effect=20)).run()
        journal.close()

    def _drill(self) -> dict[str, Any]:
        example = EXAMPLES[self.kind].settings
        is_fault = "." in self.kind
        more = {"max": "1500ms"} if self.moment == "stopped" else {}
        idle = {"fault": "test.idle", "file": str(self.folder / "idle")}
        announce = {"action": "announce", "status": "identified"}
        load = {"load": {"locustfile": "x.py"}} if self.kind == "load.spike" else {}
        return {
            **load,
            "drill": "x",
            "severity": "SEV-4",
            "steady_state": {
                "throughout": True,
                "hold": "100ms",
                "every": "50ms",
                "probes": [{"probe": "tcp", "service": "base", "port": 8080}],
            },
            "inject": [{"fault": self.kind, **example, **more} if is_fault else idle],
            "respond": [announce] if is_fault else [{"action": self.kind, **example, **more}, announce],
            "limit": "1s" if more else "60s",
        }

    # -- the moments --------------------------------------------------------------------------------------------------

    def _at(self, moment: str) -> None:
        if self.moment == moment:
            self.die()
        if moment != "after":
            return
        if self.moment == "group":
            self.die()
        if self.moment == "alone":
            os.kill(json.loads((self.folder / "watchdog.json").read_text()), signal.SIGKILL)
            self.die()
        if self.moment == "engine away":
            write(self.folder / "seen.json", look_at(self.descriptor, self.kind))
            Path(self.descriptor["host"].removeprefix("unix://")).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.moment in ("restarted", "recreated"):
            self._meddle()
            self.die()
        if self.moment == "stopped":
            write(self.folder / "seen.json", look_at(self.descriptor, self.kind))
            os.kill(os.getpid(), signal.SIGSTOP)

    def _listen(self, line: Line) -> None:
        is_on = isinstance(line, FaultLine) and line.event == "on" and line.fault == self.kind
        is_done = isinstance(line, StepLine) and line.event == "ended" and line.action == self.kind
        if is_on or is_done:
            self._at("after")

    def heal(self) -> None:
        """Heal as `sevdrill heal` does, and die in the middle of it."""
        kind = next(type(debt.fault) for debt in self._journal().debts.values() if self.kind in _names(debt.fault))
        kind.undo = self._watched(kind.undo)  # type: ignore[method-assign]
        list(heal_all(self.folder, self.clock))

    def _journal(self) -> JournalFile:
        found = JournalFile.read(self.folder / "journal" / "run.jsonl")
        assert found is not None
        return found

    def _watched(self, act: Any) -> Any:
        """Let a change go on until the stack shows something of it."""

        def acts(what: Any, ports: Ports, record: Any) -> None:
            before = look_at(self.descriptor, self.kind)

            def after() -> None:
                if look_at(self.descriptor, self.kind) != before:
                    self.die()

            act(what, Ports({port: Watched(one, after) for port, one in ports._ports.items()}), record)
            # What uses no port (a file of the load's) is done in one go.
            after()
            # It is all over, and nothing has changed: then there is nothing to prove.
            sys.exit(f"{self.kind} changed nothing that can be seen")

        return acts

    def _set_trap(self, kind: type[Fault | RevertingAction]) -> None:
        name = "inject" if issubclass(kind, Fault) else "run"
        owe, put, undo = Journal.owe, getattr(kind, name), kind.undo

        def noted_owe(journal: Journal, debt: str, what: Any, record: Any, within: float) -> Any:
            if type(what) is kind and self.moment == "before the journal":
                self.die()
            if type(what) is kind and self.moment == "torn":
                with journal.path.open("a") as file:
                    file.write('{"op": "owe", "id": "run')
                self.die()
            if type(what) is kind and self.moment == "full":
                # As a disk with room for half a line.
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                room = journal.path.stat().st_size + 40
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            try:
                debt = owe(journal, debt, what, record, within)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            if type(what) is kind and self.moment == "after the journal":
                self.die()
            return debt

        Journal.owe = noted_owe  # type: ignore[method-assign]
        if self.moment == "mid-injection":
            setattr(kind, name, self._watched(put))
        if self.moment == "in flight":
            setattr(kind, name, _killed_in_flight(put))
        if self.moment == "undo":
            kind.undo = self._watched(undo)  # type: ignore[method-assign]

    def _meddle(self) -> None:
        if "service" not in EXAMPLES[self.kind].settings:
            return
        if self.descriptor["kind"] == "embedded":
            lifecycle, service = self._stack.ports()[Lifecycle], EXAMPLES[self.kind].settings["service"]
            names = [replica.name for replica in lifecycle.replicas(service)]
            lifecycle.kill(service, names)
            lifecycle.start(service, names)
            return
        listed = look_at(self.descriptor, self.kind)
        names = [name.lstrip("/") for name in listed]
        if self.moment == "restarted":
            command = ["docker", "restart", "-t", "0", *names]
        else:
            service = EXAMPLES[self.kind].settings["service"]
            parts = [service] if f"/{self.project}-{service}-1" in listed else [f"{service}--real", f"{service}--proxy"]
            file = ["-p", self.project, "-f", self.descriptor["file"]]
            command = ["docker", "compose", *file, "up", "-d", "--force-recreate", "--no-deps", "-t", "0", *parts]
        # As one who changes the stack does: a deployment of another cell is waited for.
        with (Path(self.descriptor["file"]).parent / "lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            subprocess.run(command, check=True, capture_output=True, timeout=60)


def _killed_in_flight(act: Any) -> Any:
    """Die while a call is under way: a command that was started for it goes on without its caller."""

    def acts(*args: Any) -> None:
        now = threading.Event()

        class Started(subprocess.Popen[Any]):
            def __init__(self, *args: Any, **more: Any) -> None:
                super().__init__(*args, **more)
                now.set()

        def kill() -> None:
            now.wait(10)
            os.kill(os.getpid(), signal.SIGKILL)

        subprocess.Popen = Started  # type: ignore[misc]
        threading.Thread(target=kill, daemon=True).start()
        act(*args)
        # It needs no command of its own; then it was the engine's call that nobody heard the end of.
        now.set()
        threading.Event().wait(10)

    return acts


def _names(what: object) -> tuple[str, ...]:
    return (getattr(what, "fault", ""), getattr(what, "action", ""))


def run(kind: str, moment: str, folder: str, stack: dict[str, Any]) -> None:
    """Be a runner, in a session of its own; what is printed goes to a file."""
    os.setsid()
    output = os.open(f"{folder}/output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    runner = Runner(kind, moment, Path(folder), stack)
    runner.heal() if moment == "heal" else runner.run()
