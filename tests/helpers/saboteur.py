"""Runs inside of a drill's own pytest and breaks one thing of it, for real: what `SABOTAGE_PLAN` says.

Everything is made from the drill and its stack, so that it works for every drill: which steps there are, which service
users come in by, what each check reads.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from sevdrill.checks import Check
from sevdrill.diagnostics import LoadedDrill
from sevdrill.engine import Engine
from sevdrill.faults import FAULTS, Fault
from sevdrill.model import Record
from sevdrill.ports import Admin, Endpoints, Exec, Lifecycle, Load, Ports
from sevdrill.scenario import Scenario
from sevdrill.session import DrillSession
from sevdrill.units import Duration

PLAN: dict[str, Any] = json.loads(os.environ.get("SABOTAGE_PLAN", "{}"))
SESSION: list[DrillSession] = []
IDLE: list[Fault] = []
"""The faults that do nothing."""
PAGER, ALERTS = "http://pager:8080/webhook/{kind}", "http://alertmanager:9093/api/v2/alerts"
"""Where the staging stack's alerting delivers to, and where it hears of alerts."""


def install() -> None:
    """Make the next drill of this process the sabotaged one."""
    run, phase = DrillSession.run, Engine._phase

    def sabotaged(self: DrillSession, loaded: LoadedDrill, listener: Any = None) -> Any:
        SESSION[:] = [self]
        IDLE[:] = [loaded.scenario.inject[index] for index in PLAN.get("no_op", ())]
        return run(self, replace(loaded, scenario=changed(loaded.scenario, PLAN)), listener)

    def marked(self: Engine, name: Any) -> None:
        phase(self, name)
        if name == PLAN.get("at"):
            ACTS[PLAN["do"]](self)

    DrillSession.run, Engine._phase = sabotaged, marked  # type: ignore[method-assign]
    if PLAN.get("no_op"):
        for fault in FAULTS:
            fault.inject = _idle(fault.inject)  # type: ignore[method-assign]


def _idle(inject: Callable[[Fault, Ports, Record], None]) -> Callable[[Fault, Ports, Record], None]:
    def inject_others(self: Fault, ports: Ports, record: Record) -> None:
        if self not in IDLE:
            inject(self, ports, record)

    return inject_others


def changed(scenario: Scenario, plan: dict[str, Any]) -> Scenario:
    """The drill without one of its parts, and quicker: what is left out of it is nobody's promise any more."""
    steady = scenario.steady_state
    quicker = {"hold": Duration(1), "every": max(steady.every, Duration(0.3))}
    update: dict[str, Any] = {"steady_state": steady.model_copy(update=quicker)}
    if scenario.quiet is not None:
        update["quiet"] = scenario.quiet.model_copy(update={"for_": Duration(5)})
    if "limit" in plan:
        update |= {"limit": Duration(plan["limit"]), "targets": {}}
    if "without" in plan:
        part, index = plan["without"]
        kept = list(getattr(scenario, part))
        gone = kept.pop(index)
        update[part] = tuple(kept)
        if part == "respond" and not any(step.action == gone.action for step in kept):
            # What was never switched on cannot be switched off.
            update["close"] = tuple(step for step in scenario.close if getattr(step, "step", "") != gone.action)
    return scenario.model_copy(update=update)


# -- what is done to the running stack --------------------------------------------------------------------------------


def entry_service() -> str:
    """The service that users come in by."""
    return urlsplit(SESSION[0].stack.settings.entry).hostname or ""


def kill_entry(engine: Engine) -> None:
    """Whatever the runbook did: nobody is served."""
    lifecycle, service = engine.ports[Lifecycle], entry_service()
    lifecycle.kill(service, [replica.name for replica in lifecycle.replicas(service)])


def break_check(engine: Engine) -> None:
    """Make what a check asserts untrue."""
    check = next(check for check in engine.plan.checks if check.title == PLAN["check"])
    BREAKS[check.check](engine.ports, check)


ACTS: dict[str, Callable[[Engine], None]] = {"kill-entry": kill_entry, "break-check": break_check}


def _alerts(ports: Ports, labels: dict[str, str], *, lasts: float) -> None:
    now = dt.datetime.now(dt.UTC)
    times = {"startsAt": now.isoformat(), "endsAt": (now + dt.timedelta(seconds=lasts)).isoformat()}
    alert = {"labels": labels, "annotations": {"summary": "sabotage"}, **times}
    httpx.post(ports[Endpoints].url(ALERTS), json=[alert], timeout=5).raise_for_status()


def _deliver(ports: Ports, kind: str, alert: str) -> None:
    now = dt.datetime.now(dt.UTC).isoformat()
    entry = {"labels": {"alertname": alert}, "annotations": {}, "status": "firing", "startsAt": now}
    url = ports[Endpoints].url(PAGER.format(kind=kind))
    httpx.post(url, json={"status": "firing", "alerts": [entry]}, timeout=5).raise_for_status()


def _still_firing(ports: Ports, check: Check) -> None:
    labels = {"alertname": check.alert, **dict(check.labels), "sabotage": "yes"}  # type: ignore[attr-defined]
    _alerts(ports, labels, lasts=float(check.within) + 5)


def _page(ports: Ports, check: Check) -> None:
    _deliver(ports, "page", "Sabotage")


def _delivered_otherwise(ports: Ports, check: Check) -> None:
    other = {"page": "ticket", "ticket": "page"}[check.as_]  # type: ignore[attr-defined]
    _deliver(ports, other, check.alert)  # type: ignore[attr-defined]


def _ledger(ports: Ports, check: Check) -> tuple[str, list[str], str]:
    name: str = check.ledger  # type: ignore[attr-defined]
    ledgers = SESSION[0].stack.settings.ledgers
    settings = ledgers[getattr(check, "rows", "") or name]
    # What is named as lost may be lost.
    named = ledgers.get(getattr(check, "named", ""))
    lost = _run(ports, named.service, list(named.read)).split() if named is not None else []
    key = min(set(ports[Load].ledger(name).acknowledged) - set(lost))
    return settings.service, list(settings.read), key


def _run(ports: Ports, service: str, command: list[str]) -> str:
    done = ports[Exec].run(service, command, timeout=10)
    assert done.code == 0, done.err
    return done.out


def _lose_a_write(ports: Ports, check: Check) -> None:
    service, read, key = _ledger(ports, check)
    if read[0] == "psql":
        table, column = _table(read)
        _run(ports, service, [*read[:-1], f"delete from {table} where {column} = '{key}'"])
    else:
        _run(ports, service, ["rm", f"{read[1]}/{key}"])


def _write_it_twice(ports: Ports, check: Check) -> None:
    service, read, key = _ledger(ports, check)
    if read[0] == "psql":
        table, column = _table(read)
        # The same row under another table's roof: unique keys of the table itself stay as they are.
        same = f"select * from {table} where {column} = '{key}'"
        command = f"create table twice () inherits ({table}); insert into twice {same}"
        _run(ports, service, [*read[:-1], command])
    else:
        _run(ports, service, ["mkdir", f"{read[1]}/twice"])
        _run(ports, service, ["cp", f"{read[1]}/{key}", f"{read[1]}/twice/{key}"])


def _table(read: list[str]) -> tuple[str, str]:
    found = re.fullmatch(r"select (\w+) from (\w+)(?: where .*)?", read[-1])
    assert found is not None, f"a ledger that is read in a way that this does not know: {read[-1]}"
    return found[2], found[1]


def _touch_evidence(ports: Ports, check: Check) -> None:
    service = urlsplit(check.url).hostname or ""  # type: ignore[attr-defined]
    newest = "file=$(ls /var/lib/edge/evidence/*/access.jsonl | tail -n 1)"
    _run(ports, service, ["sh", "-c", f'{newest}; chmod u+w "$file"; tail -n 1 "$file" >>"$file"'])


def _as_started(ports: Ports, check: Check) -> None:
    service: str = check.services[0]  # type: ignore[attr-defined]
    settings = next(iter(ports[Admin].settings(service).values()))
    ports[Admin].change(service, min(name for name in settings if name.startswith("secret.")), "")


BREAKS: dict[str, Callable[[Ports, Check], None]] = {
    "no_lost_writes": _lose_a_write,
    "no_duplicate_writes": _write_it_twice,
    "alert_resolved": _still_firing,
    "paged_once": _page,
    "not_paged": _page,
    "delivered": _delivered_otherwise,
    "logs_preserved": _touch_evidence,
    "secrets_rotated": _as_started,
}
"""How each kind of check is broken for real. A kind that is not here is named in the matrix as not sabotaged."""
