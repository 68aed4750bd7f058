"""The only wiring: picks stack, policy and journal, and runs drills. pytest and the command line both use it."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import secrets
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sevdrill.approving import Approving
from sevdrill.blast import refuse_beyond, refuse_too_long
from sevdrill.clock import Clock, SystemClock
from sevdrill.collecting import collect
from sevdrill.contacts import Contacts
from sevdrill.desk import Desk
from sevdrill.diagnostics import LoadedDrill, check_targets
from sevdrill.engine import Engine, Settings
from sevdrill.errors import Refused, SevdrillError, StackError, UsageError
from sevdrill.healing import heal_all, start_watchdog
from sevdrill.inbox import Now, clear_now, write_now
from sevdrill.journal import Journal
from sevdrill.lines import Line, Mode, RunLine
from sevdrill.load import LoadGenerator
from sevdrill.masking import MASKER
from sevdrill.metering import begin_metering
from sevdrill.notify import Address, Notifier
from sevdrill.people import Approvals, Escalations, Messages
from sevdrill.plan import Plan, given_time, make_plan
from sevdrill.ports import Endpoints, Load, Ports
from sevdrill.probes.tls import ca_of
from sevdrill.rejudging import RunResult, review
from sevdrill.scenario import BlastRadius, Scenario
from sevdrill.severity import Policy, load_policy
from sevdrill.shield import Shield
from sevdrill.stacks.choice import Stack, choose, make
from sevdrill.stacks.files import services_by_profile
from sevdrill.telling import Telling
from sevdrill.timeline import TIMELINE, TimelineWriter
from sevdrill.units import Duration

__all__ = ["DrillSession", "Options", "load_and_check"]


@dataclass(frozen=True)
class Options:
    """What a session was asked for."""

    root: Path
    stack_files: tuple[Path, ...]
    policy: str = "sop-001"
    project: str = ""
    """Name of the stack to use, and to leave up; a fresh one when empty."""
    stack_kind: str = "auto"
    """``compose``, ``embedded``, or ``auto``: Compose where an engine answers."""
    allow_remote: str | None = None
    """Host of the container engine of another machine that may be used; by default none may."""
    keep: bool = False
    patience: float = 60.0
    blast_radius: BlastRadius = field(default_factory=BlastRadius)
    """The most that a drill may hit, whatever it says itself."""
    max_limit: float = 1800.0
    """The longest that a drill may take, in seconds."""
    state_dir: Path = Path(".sevdrill")
    runs_dir: Path = Path("drill-runs")
    notify: tuple[Address, ...] = ()
    """Where messages are sent; by default nowhere."""
    contacts: Contacts = field(default_factory=Contacts)
    """Who is who, for the escalation path."""
    approval: str = "author"
    """Who approves a step that says `approve: true`: its ``author``, beforehand, or a ``person``, when it comes."""
    mode: Mode = "auto"
    """Who responds."""
    surprise: float = 0.0
    """The faults come at a random moment within so many seconds."""
    limit: float | None = None
    """Overall limit of every drill of this run, in seconds; None: the drill's own, or what its SOP gives to people."""
    worker: str = ""
    """Name of the xdist worker; each has a stack of its own."""


def load_and_check(loaded: LoadedDrill, policy: Policy) -> None:
    """Hold a drill's targets against the policy.

    Raises:
        DrillFileError: a target is looser than the policy's.
    """
    targets = policy.targets(loaded.scenario.severity)
    check_targets(loaded, {key: target.limit for key, target in targets.items()}, policy.policy)


def _by_people(scenario: Scenario, mode: Mode) -> list[str]:
    """The steps that cannot be put back, where people respond: nobody knows whether they did one."""
    steps = (*scenario.respond, *scenario.close) if mode == "live" else ()
    return [step.title for step in steps if step.renews]


def _refuse_absent(scenario: Scenario, files: Sequence[Path]) -> None:
    """Refuse a drill that acts on a service which only a profile brings that it does not ask for.

    Raises:
        UsageError: it does; the text says which profile that is.
    """
    acted_on = {
        name for part in (scenario.inject, scenario.respond, scenario.close) for e in part for name in e.services
    }
    by_profile = services_by_profile(files)
    there = {name for profile in scenario.profiles for name in by_profile.get(profile, ())}
    for profile, names in sorted(by_profile.items()):
        absent = sorted(acted_on & set(names) - there)
        if absent:
            raise UsageError(
                f'the drill "{scenario.drill}" acts on {", ".join(absent)}, which is there only with the profile '
                f"{profile}: add `profiles: [{profile}]` to it"
            )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "drill"


@dataclass
class DrillSession:
    """Runs drills on one stack, one after another; everything it started ends with `close`."""

    options: Options
    shield: Shield
    run_folder: Path
    clock: Clock = field(default_factory=SystemClock)
    say: Callable[[str], None] = lambda text: None

    def __post_init__(self) -> None:
        self.policy = load_policy(self.options.policy)
        self._stack: Stack | None = None
        self._journal: Journal | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._lock: int | None = None
        self._broken: SevdrillError | None = None
        self._dirty = False
        self._worked_on = False
        self._unhealed = False
        self._profiles: tuple[str, ...] = ()
        self._wanted: tuple[str, ...] = ()
        self._plans: dict[tuple[str, ...], Stack] = {}
        self.last: RunResult | None = None
        self._notifier = Notifier(self.options.notify)
        self._telling = Telling(self.policy, self.clock, self.options.contacts, self._notifier, self.say)
        self._stays = bool(self.options.keep or self.options.project)

    def run(self, loaded: LoadedDrill, listener: Callable[[Line], None] | None = None) -> RunResult:
        """Run one drill on the stack, which is started when it is not up, and judge it.

        Raises:
            Refused: a safety rule says no; nothing was started.
            StackError: the stack could not be started.
            Unsupported: the stack cannot do what the drill asks.
            KeyboardInterrupt: the run was interrupted; everything was undone first.
        """
        self.last = None
        loaded = self._given_time(loaded)
        scenario, mode = loaded.scenario, self.options.mode
        # What is refused is refused before anything is started.
        self._refuse(scenario)
        self._wanted = scenario.profiles
        stack = self._ready_stack()
        replicas = self._planned(scenario.profiles).replicas()
        plan = make_plan(scenario, self.policy, stack.ports(), replicas, mode)
        folder = self._folder(loaded)
        MASKER.learn_data(scenario.dump())
        begun = RunLine(
            drill=scenario.drill,
            severity=scenario.severity,
            policy=self.options.policy,
            stack=stack.title,
            mode=mode,
            surprise=self.options.surprise,
            wall=self.clock.wall().isoformat(timespec="milliseconds"),
            file=str(loaded.path),
            scenario=scenario.dump(),
        )
        timeline = TimelineWriter(folder / TIMELINE, self.clock, listener=listener)
        try:
            timeline.write(begun)
            ports = self._ports(stack.ports(), loaded, folder, timeline)
            assert self._journal is not None
            settings = Settings(patience=self.options.patience, surprise=self.options.surprise)
            desk = self._desk(timeline, ports[Messages], scenario)
            engine = Engine(plan, ports, timeline, self._journal, self.shield, self.clock, settings, desk)
            began = self.clock.now()
            meter = begin_metering(ports, timeline.now)
            desk.start()
            try:
                engine.run()
            finally:
                if meter is not None:
                    meter.end()
                with self.shield.shielded():
                    clear_now(self._journal.path)
                    desk.close()
                self._worked_on |= mode == "live"
                self._dirty |= engine.dirty
                if engine.dirty:
                    self.say(
                        f"the stack {stack.project} is dirty after {loaded.name or loaded.path.name}: not everything "
                        f"could be undone. It is not used again; by hand: {stack.by_hand()}"
                    )
                with self.shield.shielded():
                    collect(ports, scenario, folder, began, self.clock.now(), self.options.root, meter)
                    # Everything is undone: whoever takes a message late delays nothing but the reports.
                    self._notifier.settle()
                    renewed = engine.renewed or _by_people(scenario, mode)
                    if renewed:
                        self._renew(stack, renewed)
        finally:
            with self.shield.shielded():
                timeline.close()
                result = self.last = review(folder, scenario.kinds)
        return result

    def _renew(self, stack: Stack, why: Sequence[str]) -> None:
        """Take a stack down that cannot be put back to how it was; the next drill starts it anew."""
        self.say(f"the stack {stack.project} is made anew: {', '.join(why)} cannot be put back")
        try:
            self._take_down(stack)
        except SevdrillError as error:
            # Said and tried again when it is used next, or at the end.
            self.say(f"the stack {stack.project} could not be taken down: {error}")
            self._dirty = True

    def _desk(self, timeline: TimelineWriter, messages: Messages, scenario: Scenario) -> Desk:
        assert self._journal is not None
        try:
            desk = Desk(self._journal.path, timeline, messages, scenario.hints)
            write_now(self._journal.path, Now(timeline=str(timeline.path.absolute()), drill=timeline.path.parent.name))
        except OSError as error:
            raise StackError(f"nobody could speak to this run: {self._journal.path.parent}: {error}") from None
        return desk

    def _folder(self, loaded: LoadedDrill) -> Path:
        name = _slug(loaded.name or loaded.path.stem)
        for count in itertools.count(1):
            folder = self.run_folder / (name if count == 1 else f"{name}-{count}")
            try:
                folder.mkdir(parents=True)
            except FileExistsError:
                continue
            break
        return folder

    def _ports(self, ports: Ports, loaded: LoadedDrill, folder: Path, timeline: TimelineWriter) -> Ports:
        scenario = loaded.scenario
        announcer = self._telling.announcer(scenario, folder, timeline, reveals=self.options.mode != "live")
        brought: dict[type, object] = {Messages: announcer, Escalations: announcer}
        if self.options.approval == "person":
            assert self._journal is not None
            brought[Approvals] = Approving(self._journal.path, announcer.ask)
        if scenario.load is not None:
            spec = scenario.load
            steps = (*scenario.respond, *scenario.close)
            entry = spec.host or self._entry()
            brought[Load] = LoadGenerator(
                loaded.path.parent / spec.locustfile,
                lambda: ports[Endpoints].url(entry).rstrip("/"),
                folder / "load",
                self.clock,
                users=spec.users,
                spawn_rate=spec.spawn_rate,
                # Room for prepare and steady state before the fault, for steps that overrun the limit, and for verify.
                limit=scenario.limit
                + self.options.surprise
                + 3 * self.options.patience
                + sum(step.timeout for step in steps)
                + 60,
                ca=(lambda: ca_of(ports[Endpoints].url(spec.ca))) if spec.ca else None,
            )
        return ports.with_(brought)

    def _entry(self) -> str:
        assert self._stack is not None
        if not self._stack.settings.entry:
            raise StackError(
                "the stack does not say where its users come in, so there can be no load: "
                "add the URL to its compose file, such as `x-sevdrill: {entry: http://app:3000}`"
            )
        return self._stack.settings.entry

    @property
    def stack(self) -> Stack:
        """The stack, which is started when no drill has begun it yet.

        One that is there is given as it is, broken or not: to bring it up in the middle of a drill would cure it.

        Raises:
            StackError: the stack could not be started.
        """
        return self._stack or self._ready_stack()

    def preview(self, loaded: LoadedDrill) -> Plan:
        """The plan of a drill on this stack; starts nothing and touches nothing.

        Raises:
            Refused: a safety rule says no.
            Unsupported: the stack cannot do what the drill asks.
            StackError: the stack's files cannot be read.
        """
        scenario = self._given_time(loaded).scenario
        self._refuse(scenario)
        planned = self._planned(scenario.profiles)
        return make_plan(scenario, self.policy, planned.ports(), planned.replicas(), self.options.mode)

    def _given_time(self, loaded: LoadedDrill) -> LoadedDrill:
        options = self.options
        scenario = given_time(loaded.scenario, self.policy, options.mode, options.max_limit, options.limit)
        return loaded if scenario is loaded.scenario else replace(loaded, scenario=scenario)

    def _planned(self, profiles: tuple[str, ...]) -> Stack:
        """The stack as its files have it; nothing of it is started."""
        if profiles not in self._plans:
            self._plans[profiles] = self._make("sevdrill-plan", profiles)
        return self._plans[profiles]

    def _refuse(self, scenario: Scenario) -> None:
        refuse_too_long(scenario, Duration(self.options.max_limit))
        _refuse_absent(scenario, self.options.stack_files)
        refuse_beyond(scenario, self.options.blast_radius, self._planned(scenario.profiles).replicas())

    # -- the stack ----------------------------------------------------------------------------------------------------

    def _ready_stack(self) -> Stack:
        if self._broken is not None:
            # What stopped the first drill would stop every other, minutes later each.
            raise self._broken
        try:
            return self._start()
        except SevdrillError as error:
            self._broken = error
            raise
        except OSError as error:
            where = self.options.state_dir
            self._broken = StackError(f"sevdrill's own files cannot be written ({error}); look at the folder {where}")
            raise self._broken from None

    def _start(self) -> Stack:
        if self._stack is None:
            for line in heal_all(self.options.state_dir, self.clock):
                self.say(f"healed what an earlier run left: {line}")
            project = self._project()
            self._lock_stack(project)
            self._profiles = self._wanted
            stack = self._make(project, self._profiles)
            # Before anything is started: what is started must not outlive us unnoticed.
            run = f"{self.run_folder.name}-{os.getpid()}"
            with self.shield.shielded():
                self._journal = Journal(self.options.state_dir, run, self.clock, stack.descriptor(), keep=self._stays)
                self._stack = stack
                self._watchdog = start_watchdog(self._journal.path, self.options.state_dir)
        elif self._dirty:
            self.say(f"the stack {self._stack.project} is dirty; it is recreated")
            self._take_down(self._stack)
            self._dirty = False
        elif self._worked_on and not self._stays:
            # What people changed nobody knows, so nobody can undo it.
            self.say(f"people worked on the stack {self._stack.project}; it is recreated")
            self._take_down(self._stack)
        self._worked_on = False
        self._fit_profiles()
        if not self._stack.is_up():
            self._stack.up()
        return self._stack

    def _fit_profiles(self) -> None:
        """Let the stack have the profiles that the next drill needs; those that it has besides do no harm."""
        assert self._stack is not None
        if self._wanted == self._profiles:
            return
        lacks = [profile for profile in self._wanted if profile not in self._profiles]
        if not self._stack.exists():
            self._profiles = self._wanted
        elif lacks:
            self.say(f"the stack {self._stack.project} gets what the drill needs besides: {', '.join(lacks)}")
            self._profiles += tuple(lacks)
        else:
            return
        self._stack = self._make(self._stack.project, self._profiles)

    def _make(self, project: str, profiles: tuple[str, ...]) -> Stack:
        options = self.options
        kind = options.stack_kind
        if kind == "auto":
            kind = choose(kind, options.stack_files, options.allow_remote).kind
        files, remote = options.stack_files, options.allow_remote
        return make(
            kind, files, project, options.state_dir, self.clock, keep=self._stays, remote=remote, profiles=profiles
        )

    def _project(self) -> str:
        if self.options.project:
            # Two workers never share a stack.
            return "-".join(filter(None, (self.options.project, self.options.worker)))
        if self.options.keep:
            return "-".join(filter(None, ("sevdrill", _slug(self.options.root.name), self.options.worker)))
        return "-".join(filter(None, ("sevdrill", secrets.token_hex(4), self.options.worker)))

    def _lock_stack(self, project: str) -> None:
        folder = self.options.state_dir / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{project}.lock"
        self._lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._lock, 100).decode(errors="replace").strip()
            os.close(self._lock)
            self._lock = None
            raise Refused(
                f"the stack {project} is in use by the run with process id {holder or 'unknown'}; "
                "wait for it, or use another stack with --drill-project"
            ) from None
        os.truncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Take the stack down, unless it is to stay up and is clean; end the watchdog; let go of every lock.

        Raises:
            StackError: the stack could not be taken down; its journal stays, and ``sevdrill heal`` tries again.
        """
        with self.shield.shielded():
            try:
                self._close_stack()
            finally:
                self._notifier.close()
                self._let_go()

    def _let_go(self) -> None:
        journal, watchdog, lock = self._journal, self._watchdog, self._lock
        self._journal = self._watchdog = self._lock = None
        try:
            # A journal that stays is for the watchdog, which must outlive us, and for `sevdrill heal`.
            if (journal is None or journal.close(unhealed=self._unhealed)) and watchdog is not None:
                watchdog.wait(60)
        except subprocess.TimeoutExpired:
            self.say("the watchdog did not end within a minute; it ends by itself when nothing is owed any more")
        finally:
            if lock is not None:
                os.close(lock)

    def _take_down(self, stack: Stack) -> None:
        self._unhealed = True
        stack.down()
        self._unhealed = False
        if self._journal is not None:
            self._journal.forgive()

    def _close_stack(self) -> None:
        stack, self._stack = self._stack, None
        if stack is None:
            return
        if self._dirty and self._stays:
            self.say(f"the stack {stack.project} is dirty; it is taken down, and started anew when it is used again")
        if self._dirty or not self._stays:
            self._take_down(stack)
        elif stack.was_begun:
            self.say(f"the stack {stack.project} is left up; take it down with: sevdrill down {stack.project}")
            for line in stack.reach():
                self.say(f"  {line}")
