"""Runs a plan: acts on the stack and records what it sees. Judges nothing.

The main thread walks through the phases and is the only one that changes the stack (beside `investigate:` steps); every
probe and detector samples on a thread of its own. All of it runs shielded from signals: they are heeded where it waits.
"""

from __future__ import annotations

import contextlib
import math
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sevdrill.actions import Action, RevertingAction
from sevdrill.blast import WATCHDOG_AFTER
from sevdrill.clock import Clock
from sevdrill.desk import Desk
from sevdrill.errors import SevdrillError
from sevdrill.faults import Fault, State
from sevdrill.journal import REAL_INCIDENT, Journal, Owed
from sevdrill.lines import End, FaultLine, Line, MarkLine, Note, PhaseLine, PhaseName, ReadLine, StepLine, Stopped
from sevdrill.model import Record
from sevdrill.people import Approvals, Escalations, Messages
from sevdrill.plan import Plan, played
from sevdrill.ports import Load, Monitoring, Ports, Reading, Undos
from sevdrill.sampling import Look
from sevdrill.shield import Shield
from sevdrill.timeline import TimelineWriter
from sevdrill.undo import relieve, settle
from sevdrill.undos import Active, DrillUndos
from sevdrill.watching import Watching

__all__ = ["Engine", "Settings"]

T = TypeVar("T")

HURRIED = 15.0
"""Seconds that the stack of a stopped run may take to show that it is steady after every undo."""


@dataclass(frozen=True)
class Settings:
    """How patient the engine is; seconds throughout."""

    patience: float = 60.0
    """How long the stack may take to show that it is steady before the fault."""
    effect: float = 10.0
    """How long a fault may take until it shows on the stack."""
    poll: float = 0.2
    """Pause between two looks at an alert, a page or a step's proof."""
    recovery: float = 5.0
    """How long beyond `hold` the stack may take to recover at the least, however late in the drill it is."""
    surprise: float = 0.0
    """The faults come at a random moment within this time, once the stack is steady."""


class _Invalid(Exception):
    """The drill cannot say anything about the system."""


class _Breach(Exception):
    """A stop condition came true."""


@dataclass
class Engine:
    """One run of one plan."""

    plan: Plan
    ports: Ports
    timeline: TimelineWriter
    journal: Journal
    shield: Shield
    clock: Clock
    settings: Settings = field(default_factory=Settings)
    desk: Desk | None = None
    """Where people say that it is mitigated; without one nobody does."""

    def __post_init__(self) -> None:
        self._undos = DrillUndos(self._settle, self._repeat)
        self._active = self._undos.active
        self.ports = self.ports.with_({Undos: self._undos})
        self._watch = Watching(self.plan.scenario, self.ports, self.timeline, self.settings.poll)
        self._injected: float | None = None
        self._has_recovered = True
        self._open = False
        self._stopping = threading.Event()
        self._asking = threading.Lock()
        self._beside: threading.Thread | None = None
        self._main = threading.current_thread()
        self.dirty = False
        self.renewed: list[str] = []
        """The steps that cannot be put back, in few words each; where there is one, the stack is to be made anew."""

    # -- the phases ---------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Run the drill to its end; whatever happens, every fault is undone before this returns.

        Raises:
            KeyboardInterrupt: the run was interrupted; everything was undone first.
        """
        self._main = threading.current_thread()
        # A signal between any two lines could find a thread half started, or a fault that nobody owns yet: it is heeded
        # where the drill waits.
        with self.shield.shielded():
            interrupted = self._run()
        if interrupted is not None:
            raise interrupted

    def _run(self) -> KeyboardInterrupt | None:
        interrupted: KeyboardInterrupt | None = None
        patience = self.settings.patience
        try:
            self._phases()
        except _Breach as error:
            patience = HURRIED
            self._quietly(Stopped(kind="aborted", reason=f"stop condition: {error}"))
        except KeyboardInterrupt as error:
            interrupted, patience = error, HURRIED
        except (_Invalid, SevdrillError) as error:
            self._quietly(Stopped(kind="invalid", reason=str(error)))
        except OSError as error:
            reason = f"what the run must write down cannot be written ({error}); make room on the disk"
            self._quietly(Stopped(kind="invalid", reason=reason))
        except Exception as error:
            # However much was proved before: what the rest would have shown, nobody knows.
            broke = (
                f"the run broke off: {type(error).__name__}: {error} (a mistake in sevdrill or in a kind of one's own)"
            )
            self._quietly(Stopped(kind="invalid", reason=broke))
            raise
        finally:
            self._stopping.set()
            self._open = False
            try:
                reason = ""
                if interrupted is not None:
                    reason = self.journal.asked_to_stop() or f"interrupted by {interrupted or 'Ctrl-C'}"
                    self._quietly(Stopped(kind="aborted", reason=reason))
                    self._say_over(reason, None)
                self._restore(patience=patience)
                if interrupted is not None:
                    self._say_over(reason, not (self.dirty or self.renewed))
            finally:
                self._watch.end_all()
                self._quietly(End(dirty=self.dirty))
        return interrupted

    def _say_over(self, reason: str, undone: bool | None) -> None:
        """Tell everybody that a drill ends for a real incident; no trouble with that stands in the way of an undo."""
        if REAL_INCIDENT in reason and Messages in self.ports:
            with contextlib.suppress(Exception):
                self.ports[Messages].over(reason, undone)

    def _phases(self) -> None:
        scenario = self.plan.scenario
        self._phase("prepare")
        self._prepare()
        self._phase("steady")
        self._watch.begin_all()
        if not self._wait(self._watch.ready, self.settings.patience):
            raise _Invalid(f"the stack was not healthy before the fault: {self._watch.why_not_ready()}")
        if scenario.quiet is not None:
            self._phase("quiet")
            begins = self.timeline.now()
            self.timeline.mark("quiet", begins)
            self._inject()
            self._wait(lambda: False, max(0.0, begins + scenario.quiet.for_ - self.timeline.now()))
        else:
            self._wait(lambda: False, random.uniform(0, self.settings.surprise))
            self._phase("inject")
            self._inject()
            self._open = True
            self._phase("detect")
            if self.plan.mode == "live":
                self._people_respond()
            else:
                self._tool_responds()
        self._open = False
        self._phase("close")
        self._steps("close")
        changed = any(not step.is_message for step in played(scenario, "close", self.plan.mode).values())
        if changed and self._has_recovered and scenario.quiet is None:
            # Switching back may be felt for a moment, too: what is verified is a stack that is steady again.
            self._wait(self._watch.held, self._patience())
        self._phase("verify")
        self._verify()

    def _tool_responds(self) -> None:
        """Run the runbook; in mode `observe` there is none, and the stack must heal by itself."""
        scenario = self.plan.scenario
        # Half of the limit at most: the other half belongs to the answer and the recovery.
        self._wait(self._detected, self._remaining() / 2)
        if self.plan.mode == "auto":
            self._phase("respond")
            self._beside = threading.Thread(target=self._steps, args=("investigate",), daemon=True)
            self._beside.start()
            self._steps("respond")
            self._wait(lambda: self._beside is None or not self._beside.is_alive(), math.inf)
        self._phase("recover")
        # Of what was cured a moment ago, the probes may not have seen yet that it was broken: look at least `hold`.
        held_from = self.timeline.now() + scenario.steady_state.hold
        self._has_recovered = self._wait(
            lambda: self.timeline.now() >= held_from and self._watch.held(), self._patience()
        )

    def _patience(self) -> float:
        """Seconds that the stack may take to be steady again, however late in the drill it is."""
        return max(self._remaining(), self.plan.scenario.steady_state.hold + self.settings.recovery)

    def _people_respond(self) -> None:
        """Wait until somebody said that it is mitigated and the steady state is back, or the limit passes."""
        self._wait(lambda: self._detected() or self._people_are_done(), self._remaining())
        self._phase("respond")
        self._wait(lambda: self._said_mitigated() is not None, self._remaining())
        self._phase("recover")
        self._has_recovered = self._wait(self._people_are_done, self._remaining())

    def _said_mitigated(self) -> float | None:
        said = self.desk.mitigated if self.desk is not None else None
        assert self._injected is not None
        return said if said is not None and said >= self._injected else None

    def _people_are_done(self) -> bool:
        said = self._said_mitigated()
        assert self._injected is not None
        if said is None or not self._watch.was_left(self._injected):
            return False
        return self.timeline.now() >= said + self.plan.scenario.steady_state.hold and self._watch.held()

    def _prepare(self) -> None:
        if self.plan.scenario.load is not None:
            self.ports[Load].start()
        if Monitoring in self.ports:
            self._watch.begin_monitoring()
            if not self._wait(lambda: self._watch.is_("monitoring", True), self.settings.patience):
                why = self._watch.why("monitoring")
                raise _Invalid(f"the monitoring is not alive, so nothing could be detected: {why}")

    # -- faults -------------------------------------------------------------------------------------------------------

    def _inject(self) -> None:
        began = self.timeline.now()
        for index, fault in sorted(enumerate(self.plan.scenario.inject), key=lambda pair: pair[1].after):
            self._wait(lambda: False, max(0.0, began + fault.after - self.timeline.now()))
            active = self._own(index, fault, fault.prepare(self.ports), f"{index}")
            self._fault_line(active, "prepared")
            # Preparing took a moment: what is measured begins with a stack that is steady now.
            is_first = self._injected is None and self.plan.scenario.quiet is None
            if is_first and not self._wait(self._watch.ready, self.settings.patience):
                raise _Invalid(f"the stack did not stay healthy before the fault: {self._watch.why_not_ready()}")
            self._inject_one(active, fault)
            self._prove(active)

    def _repeat(self) -> str:
        fault = self.plan.scenario.inject[-1]
        active = self._own(len(self._active), fault, fault.prepare(self.ports), f"again:{len(self._active)}")
        self._fault_line(active, "prepared")
        self._inject_one(active, fault)
        return fault.title

    def _own(self, index: int, what: Owed, record: Record, name: str) -> Active:
        within = what.max if what.max is not None else self.plan.limit + WATCHDOG_AFTER
        debt = self.journal.owe(f"{self.timeline.path.parent.name}:{name}", what, record, within)
        active = Active(index, what, debt)
        self._active.append(active)
        return active

    def _inject_one(self, active: Active, fault: Fault) -> None:
        if self._injected is None and self.plan.scenario.quiet is None:
            self._injected = self.timeline.now()
            self.timeline.mark("injected", self._injected)
        try:
            with self.journal.flight(fault.in_flight):
                fault.inject(self.ports, active.debt.record)
        except SevdrillError as error:
            self._fault_line(active, "failed", str(error))
            raise _Invalid(f"{fault.title} could not be injected: {error}") from None
        if fault.for_ is not None:
            active.undo_at = self.timeline.now() + fault.for_
        self._fault_line(active, "injected")

    def _prove(self, active: Active) -> None:
        series = f"fault:{active.index}"

        def look() -> Reading:
            state = active.what.state(self.ports, active.debt.record)
            return Reading(ok={State.ON: True, State.OFF: False}.get(state), why=str(state))

        # Sampled only until it is on: from then on the runbook may end it at any time.
        self._watch.begin(series, look, self.settings.poll)
        seen = self._wait(lambda: self._watch.is_(series, True), self.settings.effect)
        why = self._watch.why(series)
        self._watch.end(series)
        self._fault_line(active, "on" if seen else "without-effect", "" if seen else why)
        if not seen:
            raise _Invalid(f"the fault had no effect: {active.what.title} is not seen on the stack")

    def _detected(self) -> bool:
        assert self._injected is not None
        return self._watch.detected(self._injected)

    # -- steps and checks ---------------------------------------------------------------------------------------------

    def _steps(self, part: str) -> None:
        for index, step in played(self.plan.scenario, part, self.plan.mode).items():
            if self._stopping.is_set():
                return
            self._step(part, index, step)

    def _step(self, part: str, index: int, step: Action) -> None:
        def line(event: str, **more: object) -> None:
            common = {"part": part, "index": index, "action": step.action, "title": step.title, "mark": step.marks}
            self.timeline.write(
                StepLine.model_validate({**common, "event": event, "is_message": step.is_message, **more})
            )

        line("began")
        if part == "close" and step.is_message and not self._has_recovered:
            # What was switched is put back all the same; but nobody is told that it is over.
            line("ended", ok=False, why="not said: the steady state never came back and held")
            return
        if step.approve:
            refused = self._approval(step)
            if refused:
                line("ended", ok=False, why=refused)
                return
        deadline = self.timeline.now() + step.timeout
        try:
            record = step.prepare(self.ports)
            lo = self.timeline.now()
            if step.renews:
                self.journal.renew(step.title)
                self.renewed.append(step.title)
            if isinstance(step, RevertingAction):
                self._own(len(self._active), step, record, f"{part}:{index}")
            with self.journal.flight(step.in_flight):
                step.run(self.ports, record)
        except SevdrillError as error:
            line("ended", ok=False, why=str(error))
            return
        while not self._stopping.is_set():
            start = self.timeline.now()
            try:
                reading = self._look(lambda: step.proof(self.ports, record))
            except SevdrillError as error:
                reading = Reading(ok=None, why=str(error))
            if reading.ok:
                line("ended", ok=True, lo=lo, hi=self.timeline.now(), why=reading.why)
                return
            lo = start
            if self.timeline.now() > deadline:
                line("ended", ok=False, why=f"not proved within {step.timeout}: {reading.why}")
                return
            self._wait(lambda: False, self.settings.poll / 2)

    def _approval(self, step: Action) -> str:
        """Wait for a person's yes, until the drill's limit; why there is none, or nothing when there is one."""
        if Approvals not in self.ports:
            self.timeline.write(Note(text=f"{step.title}: approved beforehand by the drill's author"))
            return ""
        approvals = self.ports[Approvals]
        # A step of `investigate:` and one of `respond:` may both need a yes: people are asked one thing at a time.
        said = None
        if self._wait(lambda: self._asking.acquire(blocking=False), self._remaining()):
            try:
                approvals.ask(step.title)
                self._wait(lambda: self._stopping.is_set() or approvals.answer() is not None, self._remaining())
                said = approvals.answer()
            finally:
                approvals.end()
                self._asking.release()
        if said is None:
            return "nobody approved it before the drill's limit"
        self.timeline.write(Note(text=f"{step.title}: {'approved' if said[0] else 'refused'} by {said[1]}"))
        return "" if said[0] else f"{said[1]} did not approve it"

    def _verify(self) -> None:
        if self.plan.scenario.load is not None:
            self._watch.end_load_probes()
            self.ports[Load].stop()
        open_checks = dict(enumerate(self.plan.checks))
        began = self.timeline.now()
        # What was never cured does not get better by waiting: then each check is read once.
        patience = {n: float(check.within) if self._has_recovered else 0.0 for n, check in open_checks.items()}
        while open_checks:
            for index, check in list(open_checks.items()):
                line = self._read(index, "verify")
                late = not line.ok or check.settled(line.data)
                if late or self.timeline.now() - began >= patience[index]:
                    self.timeline.write(line)
                    del open_checks[index]
            if open_checks:
                self._wait(lambda: False, self.settings.poll)

    def _read(self, index: int, when: str) -> ReadLine:
        try:
            data = self._look(lambda: self.plan.checks[index].read(self.ports))
        except _Breach:
            raise
        except Exception as error:  # a check that cannot be read is unknown, whatever the reason
            return ReadLine.model_validate({"check": index, "when": when, "ok": False, "why": str(error)})
        return ReadLine.model_validate({"check": index, "when": when, "data": data})

    # -- restore ------------------------------------------------------------------------------------------------------

    def _restore(self, *, patience: float) -> None:
        """Undo first: nothing that can fail or take time stands before it."""
        self._quietly(PhaseLine(name="restore"))
        if self._beside is not None and self._beside is not threading.current_thread():
            self._beside.join(Action.in_flight)
        if self.renewed:
            self._leave()
            return
        if self.journal.flying_until > self.clock.now():
            relieve([active.debt for active in self._undos.in_order() if not active.settled], self.ports)
        for active in self._undos.in_order():
            try:
                self._settle(active)
            except Exception as error:  # the next fault must be undone, whatever the reason
                self.dirty, active.trouble = True, f"{type(error).__name__}: {error}"
                self._fault_line(active, "dirty", active.trouble, quietly=True)
        self._watch.end_load_probes()
        if self.plan.scenario.load is not None:
            with contextlib.suppress(SevdrillError):
                self.ports[Load].stop()
        if not self._active:
            return
        since = self.timeline.now()
        if not self._wait(lambda: self._watch.steady_since(since), patience):
            self.dirty = True
            self._quietly(Note(text="the stack is not steady after every undo; it is dirty and will be recreated"))
        self._read_what_is_left()
        self._quietly(MarkLine(name="restored", lo=self.timeline.now(), hi=self.timeline.now()))

    def _leave(self) -> None:
        """Undo nothing: after a step that cannot be put back an undo may do harm, as starting an old primary would."""
        self._quietly(Note(text=f"nothing is undone, the stack is made anew: {', '.join(self.renewed)}"))
        # Nothing else takes time now: a page that came a moment ago must not be missed.
        since = self.timeline.now()
        self._wait(lambda: self._watch.asked_pager_since(since), HURRIED)
        self._watch.end_load_probes()
        if self.plan.scenario.load is not None:
            with contextlib.suppress(SevdrillError):
                self.ports[Load].stop()
        self._read_what_is_left()

    def _read_what_is_left(self) -> None:
        """Lost data stays lost whatever else went wrong, so it is looked for even when verify was never reached."""
        if self._injected is not None:
            read = {line.check for line in self.timeline.timeline().of(ReadLine) if line.ok}
            for index in sorted(set(range(len(self.plan.checks))) - read):
                self._quietly(self._read(index, "restored"))

    def _settle(self, active: Active) -> None:
        if active.settled:
            return
        active.settled = True
        with contextlib.suppress(SevdrillError, OSError):
            if self.journal.was_overdue(active.debt):
                reason = f"the watchdog ended {active.what.title}, which was past its time: the runbook did not"
                self._quietly(Stopped(kind="invalid", reason=reason))
        try:
            settle(active.debt, self.ports, self.clock, self._pause, flying_until=self.journal.flying_until)
        except SevdrillError as error:
            self.dirty, active.trouble = True, str(error)
            self._fault_line(active, "dirty", active.trouble, quietly=True)
            return
        # An undo must not need the disk.
        with contextlib.suppress(OSError):
            self.journal.settled(active.debt)
        self._fault_line(active, "undone", quietly=True)

    # -- waiting ------------------------------------------------------------------------------------------------------

    def _remaining(self) -> float:
        """Seconds until the drill's limit."""
        assert self._injected is not None
        return max(0.0, self._injected + self.plan.limit - self.timeline.now())

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition on what was recorded, for so many seconds; undo meanwhile what is due by itself.

        Raises:
            KeyboardInterrupt: a signal came; as the next, until undo has begun, and in the main thread only.
            _Breach: a stop condition came true.
        """
        deadline = self.timeline.now() + seconds
        while True:
            self._heed_stop()
            self._undo_what_is_due()
            self._escalate()
            with self.timeline.changed:
                if condition():
                    return True
                left = deadline - self.timeline.now()
                if left <= 0:
                    return False
                self.timeline.changed.wait(min(left, 0.25))

    def _heed_stop(self) -> None:
        if self._stopping.is_set() or threading.current_thread() is not self._main:
            return
        self.shield.heed()
        if self._watch.breach:
            raise _Breach(self._watch.breach)

    def _look(self, look: Callable[[], T]) -> T:
        """The result of a look that may take long; it is left alone when the drill is stopped meanwhile."""
        aside = Look(look, self.timeline)
        is_main = threading.current_thread() is self._main
        self._wait(lambda: aside.done or (self._stopping.is_set() and not is_main), math.inf)
        return aside.result()

    def _undo_what_is_due(self) -> None:
        if threading.current_thread() is not self._main:
            return
        for active in self._active:
            if active.undo_at is not None and not active.settled and self.timeline.now() >= active.undo_at:
                self._settle(active)

    def _escalate(self) -> None:
        """Bring in the levels that are due: from detection on, until the steady state is back."""
        if self._open and Escalations in self.ports and threading.current_thread() is self._main and self._detected():
            assert self._injected is not None
            with contextlib.suppress(OSError):
                self.ports[Escalations].due(self.timeline.now() - self._injected)

    def _pause(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    # -- writing ------------------------------------------------------------------------------------------------------

    def _phase(self, name: PhaseName) -> None:
        self.timeline.write(PhaseLine(name=name))

    def _quietly(self, line: Line) -> None:
        """Write a line if the disk takes it: in the way of an undo stands nothing."""
        with contextlib.suppress(OSError):
            self.timeline.write(line)

    def _fault_line(self, active: Active, event: str, why: str = "", *, quietly: bool = False) -> None:
        what = active.what
        kind = what.fault if isinstance(what, Fault) else what.action
        line = FaultLine.model_validate(
            {"index": active.index, "fault": kind, "title": what.title, "event": event, "why": why}
        )
        if quietly:
            self._quietly(line)
        else:
            self.timeline.write(line)
