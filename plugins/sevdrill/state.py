"""What the plugin knows of one pytest process, and what it makes when the first drill asks for it.

Imports nothing but pytest and the standard library at its top, as the plugin does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from sevdrill.contacts import Contacts
    from sevdrill.diagnostics import LoadedDrill
    from sevdrill.kinds import Kinds
    from sevdrill.lines import Mode
    from sevdrill.notify import Address
    from sevdrill.probes import Probe
    from sevdrill.progress import Progress
    from sevdrill.session import DrillSession
    from sevdrill.severity import Policy
    from sevdrill.shield import Shield
    from sevdrill.sop import Week
    from sevdrill.stacks.choice import Choice
    from sevdrill.units import Duration

__all__ = ["KIND", "PLAN", "STATE", "SUMMARY", "State"]

STATE: pytest.StashKey[State] = pytest.StashKey()
SUMMARY = "sevdrill"
"""What a drill's summary is called on a test report, and the run's folder in what xdist gives its workers."""
KIND = "sevdrill_stack"
"""The kind of stack in what xdist gives its workers."""
PLAN = "sevdrill_plan"
"""What the page of a dry run is called on a test report."""


class State:
    """What the plugin knows of one pytest process."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.shield: Shield | None = None
        self.session: DrillSession | None = None
        self.said: list[str] = []
        self.summaries: list[str] = []
        """Of each drill, as JSON: pytest keeps its reports to the end, and as objects they are three times as large."""
        self.spent: list[tuple[float, float]] = []
        """Of each drill: how long it took, and how much of that this process worked itself, in seconds."""
        self.terminal_fd: int | None = None
        self.plans: list[list[str]] = []
        self.selected: set[str] = set()
        self.unhealed = False
        self.announced = False
        self._stop: dict[Kinds, tuple[Probe, ...]] = {}
        self._services: list[str] | None = None
        self._policy: Policy | None = None
        self._limits: dict[str, dict[str, float]] = {}
        self._markers: set[str] = set()
        self._run_folder: Path | None = None
        self._choice: Choice | None = None
        self._checked: tuple[tuple[Address, ...], list[Address]] | None = None

    def drills(self) -> list[dict[str, Any]]:
        """The summaries of this run's drills, in the order in which they began."""
        return sorted(map(json.loads, self.summaries), key=lambda drill: str(drill["began"]))

    def option(self, name: str) -> Any:
        """A value from the command line, or else from the ini file."""
        value = self.config.getoption(f"drill_{name}")
        return value if value not in (None, "") else self.config.getini(f"drill_{name}")

    @property
    def worker(self) -> str:
        return os.environ.get("PYTEST_XDIST_WORKER", "")

    @property
    def policy(self) -> Policy:
        """The policy that drills are judged by, read once.

        Raises:
            PolicyError: there is no such policy.
        """
        if self._policy is None:
            from sevdrill.severity import load_policy

            self._policy = load_policy(self.option("policy"))
        return self._policy

    def hold_to_policy(self, loaded: LoadedDrill) -> None:
        """Hold a drill's targets against the policy.

        Raises:
            DrillFileError: a target is looser than the policy's, and not waived.
            PolicyError: there is no such policy.
        """
        from sevdrill.diagnostics import check_targets

        severity = loaded.scenario.severity
        if severity not in self._limits:
            targets = self.policy.targets(severity)
            self._limits[severity] = {key: target.limit for key, target in targets.items()}
        check_targets(loaded, self._limits[severity], self.policy.policy)

    def mark(self, item: pytest.Item, severity: object, tags: Iterable[object]) -> None:
        """Mark a drill by its severity and tags, so that `-m "sev1 and database"` chooses it."""
        for word in (str(severity).lower().replace("-", ""), *(str(tag).replace("-", "_") for tag in tags)):
            if word.isidentifier():
                if word not in self._markers:
                    self._markers.add(word)
                    self.config.addinivalue_line("markers", f"{word}: drills with this severity or tag")
                item.add_marker(word)

    @property
    def dry_run(self) -> bool:
        return bool(self.config.getoption("drill_dry_run"))

    @property
    def mode(self) -> Mode:
        """Who responds: the tool, people, or nobody."""
        return cast("Mode", self.config.getoption("drill_mode"))

    def asked_time(self, option: str) -> Duration | None:
        """A length of time from the command line; None when it was not given.

        Raises:
            UsageError: it is no duration.
        """
        from sevdrill.errors import UsageError
        from sevdrill.units import Duration

        text = str(self.config.getoption(f"drill_{option}"))
        if not text:
            return None
        try:
            return Duration.parse(text)
        except ValueError as error:
            raise UsageError(f'--drill-{option} is "{text}", but expected {error}') from None

    @property
    def service_names(self) -> list[str]:
        """The stack's services, read from its files once.

        Raises:
            UsageError: a file is not there, or is no Compose file.
        """
        if self._services is None:
            from sevdrill.stacks.files import service_names

            self._services = service_names(self.stack_files)
        return self._services

    def kinds(self, node: pytest.Item | pytest.Collector) -> Kinds:
        """The kinds that a drill may use: sevdrill's own, and those of the conftest files above it.

        Raises:
            UsageError: something that a hook gave is no kind.
        """
        from sevdrill.kinds import Kinds

        given = node.ihook.pytest_sevdrill_kinds()
        return Kinds.default().with_(kind for kinds in given for kind in kinds or ())

    def with_stop(self, loaded: LoadedDrill) -> LoadedDrill:
        """The drill with the stop conditions of the ini key ``drill_stop``.

        Raises:
            DrillFileError: that file has mistakes.
        """
        name = self.config.getini("drill_stop")
        if not name:
            return loaded
        from sevdrill.diagnostics import load_stop, with_stop

        root, kinds = self.config.rootpath, loaded.scenario.kinds
        if kinds not in self._stop:
            self._stop[kinds] = load_stop(root / name, kinds=kinds, services=self.service_names or None, root=root)
        return with_stop(loaded, self._stop[kinds])

    @property
    def stack_files(self) -> tuple[Path, ...]:
        return tuple(self.config.rootpath / name for name in self.config.getini("drill_stack"))

    @property
    def choice(self) -> Choice:
        """Which kind of stack this run uses, found out once: it may ask a container engine.

        Raises:
            UsageError: there is no such kind, or in CI nobody chose.
        """
        if self._choice is None:
            from sevdrill.stacks.choice import Choice, choose

            given = getattr(self.config, "workerinput", {}).get(KIND)
            # The controller chose for all of its workers.
            self._choice = (
                Choice(given, "")
                if given
                else choose(self.option("stack_kind"), self.stack_files, self.config.getoption("drill_allow_remote"))
            )
        return self._choice

    @property
    def stack_kind(self) -> str:
        """Which kind of stack, why, and what in it is not the real thing; in a few words, for people."""
        from sevdrill.errors import SevdrillError

        try:
            choice = self.choice
            if choice.kind == "compose":
                return f"Docker Compose: {choice.why}"
            from sevdrill.stacks.embedded.reading import stand_ins

            said = [f"embedded, child processes: {choice.why}"]
            missing = stand_ins(self.stack_files)
            if missing:
                said.append(f"not installed, so something small stands in: {', '.join(missing)}")
            return "; ".join(said)
        except SevdrillError as error:  # said again, in full, where it matters
            return str(error).partition("\n")[0]

    @property
    def run_folder(self) -> Path:
        """Where this run's reports go; named by the time of day, with a number when that is taken."""
        given = getattr(self.config, "workerinput", {}).get(SUMMARY)
        if given is not None:
            return Path(given)
        if self._run_folder is None:
            from sevdrill.clock import SystemClock

            base = self.config.rootpath / self.option("runs")
            stamp = f"{SystemClock().wall():%Y-%m-%dT%H-%M-%SZ}"
            self._run_folder, count = base / stamp, 1
            while self._run_folder.exists():
                count += 1
                self._run_folder = base / f"{stamp}-{count}"
        return self._run_folder

    def duration(self, key: str) -> Duration:
        """A length of time from the ini file.

        Raises:
            UsageError: the ini key is no duration.
        """
        from sevdrill.errors import UsageError
        from sevdrill.units import Duration

        text = str(self.config.getini(key))
        try:
            return Duration.parse(text)
        except ValueError as error:
            raise UsageError(f'ini key {key} is "{text}", but expected {error}') from None

    def open_session(self) -> DrillSession:
        """The session that runs drills, made when the first one is to run."""
        if self.session is None:
            from sevdrill.blast import parse
            from sevdrill.session import DrillSession, Options
            from sevdrill.shield import Shield

            options = Options(
                root=self.config.rootpath,
                stack_files=self.stack_files,
                policy=self.option("policy"),
                project=self.config.getoption("drill_project"),
                allow_remote=self.config.getoption("drill_allow_remote") or None,
                keep=self.config.getoption("drill_keep"),
                patience=self.duration("drill_patience"),
                blast_radius=parse(self.option("blast_radius")),
                max_limit=self.duration("drill_max_limit"),
                mode=self.mode,
                surprise=self.asked_time("surprise") or 0.0,
                limit=self.asked_time("limit"),
                stack_kind=self.choice.kind,
                state_dir=self.config.rootpath / ".sevdrill",
                notify=self.addresses,
                contacts=self.contacts,
                approval=self.approval,
                worker=self.worker,
            )
            self.shield = self.shield or Shield()
            self.session = DrillSession(options, self.shield, self.run_folder, say=self.said.append)
        return self.session

    @property
    def week(self) -> tuple[Week | None, str]:
        """The week of the SOP's schedule that this run is for, and what it is for; None: any drill.

        Raises:
            UsageError: there is no such week, or no schedule.
        """
        from sevdrill.clock import SystemClock
        from sevdrill.schedule import schedule_of, week_named

        number = week_named(self.config.getoption("drill_week"), SystemClock().wall().date())
        planned = schedule_of(self.policy)
        note = f"; {planned.note}" if planned.note else ""
        return planned.week(number), f"week {number} of the month, {planned.title(number)} ({planned.cite}){note}"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where messages are sent.

        Raises:
            UsageError: one is no Apprise URL, or Apprise is not installed.
        """
        from sevdrill.notify import check_addresses, parse_address
        from sevdrill.telling import ways_of

        given = self.config.getoption("drill_notify") or self.config.getini("drill_notify")
        found = tuple(parse_address(text, f"drill_notify {n}") for n, text in enumerate(given, start=1))
        people = [way for _, person in self.contacts.everybody() for way in ways_of(person)]
        if self._checked != (found, people):
            check_addresses([*found, *people])
            self._checked = (found, people)
        return found

    @property
    def contacts(self) -> Contacts:
        """Who is who, by the file that the ini key ``drill_contacts`` names.

        Raises:
            UsageError: the file has mistakes.
        """
        from sevdrill.contacts import Contacts, load_contacts

        name = self.option("contacts")
        return load_contacts(self.config.rootpath / name) if name else Contacts()

    @property
    def approval(self) -> str:
        """Who approves steps that need it.

        Raises:
            UsageError: it is neither the author nor a person.
        """
        from sevdrill.errors import UsageError

        given = str(self.option("approval"))
        if given not in ("author", "person"):
            raise UsageError(f'drill_approval is "{given}", but expected author or person')
        return given

    def progress(self) -> Progress | None:
        """The live line; None when nobody watches a terminal."""
        if self.terminal_fd is None:
            return None
        from sevdrill.progress import Progress

        return Progress(self.terminal_fd)
