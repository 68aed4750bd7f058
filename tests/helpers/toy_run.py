"""One run of the engine on a toy stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toy_stack import ToyStack, toy_ports

from sevdrill.clock import SystemClock
from sevdrill.desk import Desk
from sevdrill.engine import Engine, Settings
from sevdrill.journal import Journal, JournalFile
from sevdrill.judge import Verdict, judge
from sevdrill.lines import Mode, RunLine
from sevdrill.people import Messages
from sevdrill.plan import make_plan
from sevdrill.ports import Ports
from sevdrill.scenario import Kinds, scenario_model
from sevdrill.severity import load_policy
from sevdrill.shield import Shield
from sevdrill.timeline import Timeline, TimelineWriter

DRILL: dict[str, Any] = {
    "drill": "Toy database down",
    "severity": "SEV-1",
    "targets": {"detect": "5s", "mitigate": "5s", "recover": "5s"},
    "load": {"locustfile": "x.py", "ledger": "orders"},
    "steady_state": {
        "hold": "80ms",
        "every": "20ms",
        "probes": [{"probe": "load", "error_rate": {"below": "1%"}}],
    },
    "inject": [{"fault": "container.kill", "service": "db"}],
    "detect": [{"alert": "DatabaseDown"}],
    "respond": [
        {"action": "announce", "status": "investigating"},
        {"action": "restart", "service": "db", "timeout": "1s"},
    ],
    "verify": [{"check": "no_lost_writes", "ledger": "orders", "within": "100ms"}, {"check": "paged_once"}],
    "limit": "6s",
}
QUICK = Settings(patience=3.0, effect=1.0, poll=0.02, recovery=1.0)


class Run:
    def __init__(
        self,
        folder: Path,
        stack: ToyStack,
        *,
        ports: Ports | None = None,
        kinds: Kinds | None = None,
        mode: Mode = "auto",
        policy: str = "sop-001",
        settings: Settings = QUICK,
        **changes: Any,
    ) -> None:
        ports = ports or toy_ports(stack)
        self.stack = stack
        self.scenario = scenario_model(kinds or Kinds.default()).model_validate({**DRILL, **changes})
        self.policy = load_policy(policy)
        clock = SystemClock()
        self.shield = Shield()
        self.writer = TimelineWriter(folder / "run" / "timeline.jsonl", clock)
        self.writer.write(
            RunLine(
                drill=self.scenario.drill,
                severity="SEV-1",
                policy=policy,
                stack="toy",
                mode=mode,
                wall="2026-01-01T00:00:00+00:00",
                scenario=self.scenario.dump(),
            )
        )
        self.journal = Journal(folder / "state", "run", clock, {"project": "toy"}, keep=True)
        plan = make_plan(self.scenario, self.policy, ports, mode=mode)
        self.desk = Desk(self.journal.path, self.writer, ports[Messages], self.scenario.hints)
        self.engine = Engine(plan, ports, self.writer, self.journal, self.shield, clock, settings, self.desk)

    def run(self) -> Verdict:
        self.desk.start()
        try:
            self.engine.run()
        finally:
            self.desk.close()
            self.writer.close()
        return self.verdict()

    def verdict(self) -> Verdict:
        return judge(self.timeline, self.scenario, self.policy)

    @property
    def timeline(self) -> Timeline:
        return Timeline.load(self.writer.path)

    def debts(self) -> set[str]:
        journal = JournalFile.read(self.journal.path)
        assert journal is not None
        return set(journal.debts)
