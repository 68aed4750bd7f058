"""What operators change while a service runs, and releases of which nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sevdrill.actions.settings import Maintenance
from sevdrill.checks import Result
from sevdrill.checks.release import VersionIs
from sevdrill.clock import SystemClock
from sevdrill.errors import ActionError, FaultError
from sevdrill.faults import State
from sevdrill.faults.change import ChangeDeploy, ChangeSetting
from sevdrill.lines import RunLine
from sevdrill.load import LoadGenerator
from sevdrill.ports import Admin, Endpoints, Lifecycle, Ports, Release, Replica
from sevdrill.timeline import Timeline


class Operated:
    """Two replicas with an operators' API."""

    def __init__(self) -> None:
        self.values = [{"mode.maintenance": "off", "carrier": "parcel"} for _ in range(2)]

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        return {f"{service}-{n}": dict(values) for n, values in enumerate(self.values, 1)}

    def change(self, service: str, setting: str, value: str) -> None:
        for values in self.values:
            values[setting] = value


def test_a_wrong_setting_is_proved_and_put_back_from_its_record() -> None:
    operated = Operated()
    ports = Ports({Admin: operated})
    fault = ChangeSetting(fault="change.setting", service="app", setting="carrier", value="freight")
    record = fault.prepare(ports)
    assert fault.state(ports, record) is State.OFF
    fault.inject(ports, record)
    assert fault.state(ports, record) is State.ON
    operated.values[0]["carrier"] = "parcel"
    assert fault.state(ports, record) is State.UNKNOWN
    fault.undo(ports, record)
    fault.undo(ports, record)
    assert fault.state(ports, record) is State.OFF
    assert operated.values == [{"mode.maintenance": "off", "carrier": "parcel"}] * 2


def test_a_setting_that_is_so_already_or_is_none_breaks_nothing() -> None:
    ports = Ports({Admin: Operated()})
    for setting, value, why in (("carrier", "parcel", "already"), ("carrer", "x", "has no setting carrer")):
        with pytest.raises(FaultError, match=why):
            ChangeSetting(fault="change.setting", service="app", setting=setting, value=value).prepare(ports)


def test_maintenance_is_on_on_every_replica_or_not_proved() -> None:
    operated = Operated()
    ports = Ports({Admin: operated})
    step = Maintenance(action="maintenance", service="app")
    record = step.prepare(ports)
    assert step.proof(ports, record).ok is False
    step.run(ports, record)
    assert step.proof(ports, record).ok
    with pytest.raises(ActionError, match="already"):
        step.prepare(ports)
    operated.values[1]["mode.maintenance"] = "off"
    assert step.proof(ports, record).ok is False
    step.undo(ports, record)
    assert step.state(ports, record) is State.OFF


class Deployed:
    """Releases of which replicas run, or nothing."""

    def __init__(self, running: dict[str, str], history: list[str]) -> None:
        self.running, self.past = running, history

    def deployed(self, service: str) -> dict[str, str]:
        return self.running

    def history(self, service: str) -> list[str]:
        return self.past

    def direct(self, service: str, port: int) -> dict[str, object]:
        return {}

    def replicas(self, service: str) -> list[Replica]:
        return [Replica(name, service, running=True) for name in self.running]

    def ports(self) -> Ports:
        return Ports({Release: self, Endpoints: self, Lifecycle: self})


@pytest.mark.parametrize(
    ("running", "history", "state"),
    [
        ({}, ["1.0", "1.1"], State.ON),
        ({}, ["1.0"], State.UNKNOWN),
        ({}, ["1.0", "1.1", "1.0"], State.UNKNOWN),
        ({"a": "1.0"}, ["1.0", "1.1"], State.OFF),
        ({"a": "1.0", "b": "1.1"}, ["1.0", "1.1"], State.ON),
    ],
)
def test_a_release_that_dies_at_its_start_is_deployed(
    running: dict[str, str], history: list[str], state: State
) -> None:
    fault = ChangeDeploy(fault="change.deploy", service="app", release="1.1")
    assert fault.state(Deployed(running, history).ports(), {"before": "1.0"}) is state


def test_the_wrong_release_or_none_is_not_the_one_that_must_run() -> None:
    check = VersionIs(check="version_is", service="app", release="1.0", answers="http://app:3000/version")
    run = RunLine(drill="x", severity="SEV-1", policy="x", stack="x", wall="2026-01-01T00:00:00+00:00", scenario={})
    for running, why in (({}, "nothing"), ({"a": "1.1"}, "app runs 1.1"), ({"a": "1.0"}, "can be asked")):
        data = check.read(Deployed(running, ["1.0"]).ports())
        assert not check.settled(data)
        finding = check.judge(data, Timeline([run]))
        assert finding.result is Result.BROKEN
        assert why in finding.why


def test_failures_are_counted_by_what_was_asked_for(tmp_path: Path) -> None:
    lines = [[1.0, 0.1, True, "/a"], [2.0, 0.1, False, "/a"], [3.0, 0.1, False, "/b"], [4.0, 0.1, True]]
    (tmp_path / "requests.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    load = LoadGenerator(Path("x.py"), lambda: "", tmp_path, SystemClock(), users=1, spawn_rate=1, limit=1)
    assert load.failures() == {"/a": (2, 1), "/b": (1, 1), "": (1, 0)}
    assert load.failures() == {"/a": (2, 1), "/b": (1, 1), "": (1, 0)}
