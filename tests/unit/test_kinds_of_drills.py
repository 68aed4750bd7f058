"""Kinds that the SOP drills brought, each over made-up ports: what they record, prove, undo and refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sevdrill.actions.disk import FreeDisk
from sevdrill.actions.network import RestoreNetwork
from sevdrill.checks import Result
from sevdrill.checks.delivery import AlertedBeforeEffect, Delivered
from sevdrill.errors import FaultError, StackError
from sevdrill.faults import State
from sevdrill.faults.partition import NetworkPartition
from sevdrill.faults.provider import ProviderRateLimit
from sevdrill.faults.resource import DiskFill
from sevdrill.lines import MarkLine, PageLine, RunLine, Sample
from sevdrill.ports import Admin, Lifecycle, Membership, Networks, Ports, Replica
from sevdrill.resources import Files, FoundFile, Space
from sevdrill.timeline import Timeline

MIB = 1024 * 1024


class Net:
    def __init__(self, replicas: int = 1) -> None:
        self.home = Membership(["db"], "10.0.0.2", fixed=False)
        self.now = {f"db-{n}": {"default": self.home} for n in range(1, replicas + 1)}

    def memberships(self, service: str) -> dict[str, dict[str, Membership]]:
        return {name: dict(places) for name, places in self.now.items()}

    def declared(self, service: str) -> dict[str, Membership]:
        return {"default": Membership(["db"])}

    def disconnect(self, service: str, replica: str, network: str) -> None:
        self.now[replica].pop(network, None)

    def connect(self, service: str, replica: str, network: str, place: Membership) -> None:
        self.now[replica][network] = place


def partition(**more: Any) -> NetworkPartition:
    return NetworkPartition(fault="network.partition", service="db", **more)


def test_a_partition_is_undone_under_its_names() -> None:
    net = Net()
    ports = Ports({Networks: net})
    record = partition().prepare(ports)
    assert record == {"hit": {"db-1": {"default": {"aliases": ["db"], "address": "10.0.0.2", "fixed": False}}}}
    partition().inject(ports, record)
    assert partition().state(ports, record) is State.ON
    net.now["db-1"]["default"] = Membership([], "10.0.0.9")
    assert partition().state(ports, record) is State.UNKNOWN, "back without its name is not back"
    partition().undo(ports, record)
    partition().undo(ports, record)
    assert partition().state(ports, record) is State.OFF


def test_a_replica_that_was_recreated_is_no_longer_cut_off() -> None:
    net = Net()
    ports = Ports({Networks: net})
    record = partition().prepare(ports)
    partition().inject(ports, record)
    net.now = {"db-7": {"default": net.home}}
    assert partition().state(ports, record) is State.OFF
    partition().undo(ports, record)
    net.now = {}
    assert partition().state(ports, record) is State.UNKNOWN


def test_a_part_of_the_replicas() -> None:
    net = Net(replicas=2)
    ports = Ports({Networks: net})
    record = partition(replicas=1).prepare(ports)
    partition(replicas=1).inject(ports, record)
    assert sorted(map(len, net.now.values())) == [0, 1]
    with pytest.raises(FaultError, match=r"1 of 2 are on a network"):
        partition().prepare(ports)


def test_restoring_the_network_goes_by_the_files_and_not_by_the_fault() -> None:
    net = Net()
    ports = Ports({Networks: net})
    step = RestoreNetwork(action="restore-network", service="db", port=5432)
    net.now["db-1"] = {}
    assert "not on network default" in step.proof(ports, {}).why
    net.now["db-1"] = {"default": Membership([])}
    assert "without its name db" in step.proof(ports, {}).why
    step.run(ports, step.prepare(ports))
    assert list(net.now["db-1"]["default"].aliases) == ["db"]


class Disk:
    def __init__(self, size: int, *files: FoundFile) -> None:
        self.size, self.files, self.up = size, list(files), True

    def replicas(self, service: str) -> list[Replica]:
        return [Replica("app-1", "app", running=self.up, healthy=None)]

    def start(self, service: str, replicas: Sequence[str]) -> None:
        assert replicas == ["app-1"]
        self.up = True

    def space(self, service: str, folder: str) -> Space:
        return Space(self.size, self.size - sum(file.size for file in self.files))

    def find(self, service: str, folder: str, name: str = "*") -> list[FoundFile]:
        if not self.up:
            raise StackError("no replica of app runs")
        prefix = f"{folder}/{name.partition('*')[0]}"
        return [file for file in self.files if file.path.startswith(prefix)]

    def fill(self, service: str, file: str, size: int, age: float) -> None:
        self.files.append(FoundFile(file, min(size, self.space(service, "/").free), age))

    def remove(self, service: str, files: Sequence[str]) -> None:
        self.files = [file for file in self.files if file.path not in files]


def disk_fill(**more: Any) -> DiskFill:
    return DiskFill.model_validate(
        {"fault": "resource.disk-fill", "service": "app", "folder": "/d/tmp", "leave": "1MiB", **more}
    )


def test_a_disk_is_filled_with_old_files_of_its_own_and_emptied_of_just_these() -> None:
    other = FoundFile("/d/tmp/preview-x.tmp", 10, 9999)
    disk = Disk(8 * MIB, other)
    ports = Ports({Files: disk, Lifecycle: disk})
    record = disk_fill().prepare(ports)
    assert disk_fill().state(ports, record) is State.OFF
    disk_fill().inject(ports, record)
    assert disk_fill().state(ports, record) is State.ON
    assert disk.space("app", "/d").free == MIB
    assert all(file.age == 7200 for file in disk.files if file is not other)
    disk.up = False
    disk_fill().undo(ports, record)
    disk_fill().undo(ports, record)
    assert disk.files == [other]
    assert disk_fill().state(ports, record) is State.OFF


def test_a_disk_without_bounds_or_room_is_refused() -> None:
    with pytest.raises(FaultError, match="at most 4MiB are written"):
        disk_fill(at_most="4MiB").prepare(Ports({Files: Disk(8 * MIB)}))
    with pytest.raises(FaultError, match="nothing is filled"):
        disk_fill(leave="8MiB").prepare(Ports({Files: Disk(8 * MIB)}))


def test_freeing_a_disk_keeps_what_is_young_or_elsewhere() -> None:
    young, real = FoundFile("/d/tmp/young", 10, 60), FoundFile("/d/uploads/real", 10, 99999)
    disk = Disk(8 * MIB, young, real, FoundFile("/d/tmp/old", 7 * MIB, 7200))
    ports = Ports({Files: disk})
    step = FreeDisk.model_validate({"action": "free-disk", "service": "app", "folder": "/d/tmp", "older_than": "1h"})
    assert step.proof(ports, {}).ok is False
    step.run(ports, step.prepare(ports))
    assert disk.files == [young, real]
    assert step.proof(ports, {}).ok


def test_freeing_a_disk_that_stays_full_is_not_proved() -> None:
    ports = Ports({Files: Disk(8 * MIB, FoundFile("/d/uploads/real", 7 * MIB, 99999))})
    step = FreeDisk.model_validate({"action": "free-disk", "service": "app", "folder": "/d/tmp", "older_than": "1h"})
    reading = step.proof(ports, {})
    assert reading.ok is False
    assert reading.why == "12% of the disk is free"


class Limits:
    def __init__(self, *values: str) -> None:
        self.values = list(values)

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        return {f"{service}-{n}": {"limit.k1": value} for n, value in enumerate(self.values)}

    def change(self, service: str, setting: str, value: str) -> None:
        assert setting == "limit.k1"
        self.values = [value] * len(self.values)


def rate_limit(key: str = "k1") -> ProviderRateLimit:
    return ProviderRateLimit(fault="provider.rate-limit", service="provider", key=key, rate="1/s")


def test_a_rate_limit_goes_back_to_what_it_was() -> None:
    limits = Limits("off", "off")
    ports = Ports({Admin: limits})
    record = rate_limit().prepare(ports)
    rate_limit().inject(ports, record)
    assert rate_limit().state(ports, record) is State.ON
    limits.values[1] = "off"
    assert rate_limit().state(ports, record) is State.UNKNOWN
    rate_limit().undo(ports, record)
    assert rate_limit().state(ports, record) is State.OFF
    assert limits.values == ["off", "off"]


@pytest.mark.parametrize(
    ("limits", "key", "why"),
    [
        (Limits("off"), "k2", r"no setting limit.k2 \(it has: limit.k1\)"),
        (Limits(), "k1", "no replica runs"),
        (Limits("off", "5/s"), "k1", "differ in limit.k1: 5/s, off"),
        (Limits("1/s"), "k1", "is 1/s already"),
    ],
)
def test_a_rate_limit_that_would_not_be_one_is_refused(limits: Limits, key: str, why: str) -> None:
    with pytest.raises(FaultError, match=why):
        rate_limit(key).prepare(Ports({Admin: limits}))


def timeline(*lines: Any) -> Timeline:
    run = RunLine(drill="x", severity="SEV-2", policy="p", stack="s", wall="w", scenario={})
    return Timeline([run, MarkLine(name="injected", lo=10, hi=10), *lines])


def page(kind: str, name: str = "A", status: str = "firing", at: float = 12) -> PageLine:
    return PageLine(id=1, kind=kind, status=status, lo=at - 0.2, hi=at, alerts=[{"name": name}])


@pytest.mark.parametrize(
    ("pages", "result"),
    [
        ([page("ticket")], Result.HOLDS),
        ([page("ticket"), page("page", "B")], Result.HOLDS),
        ([], Result.BROKEN),
        ([page("page")], Result.BROKEN),
        ([page("ticket"), page("page")], Result.BROKEN),
        ([page("ticket", "B")], Result.BROKEN),
        ([page("ticket", status="resolved")], Result.BROKEN),
        ([page("ticket", at=9)], Result.BROKEN),
    ],
)
def test_delivered_as_it_should_be(pages: list[PageLine], result: Result) -> None:
    check = Delivered.model_validate({"check": "delivered", "alert": "A", "as": "ticket"})
    assert check.judge({}, timeline(*pages)).result is result


def samples(series: str, first_good: float | None) -> list[Sample]:
    return [
        Sample(series=series, start=t, end=t + 0.5, ok=first_good is not None and t >= first_good)
        for t in (9.0, 10.0, 11.0, 12.0, 13.0, 14.0)
    ]


@pytest.mark.parametrize(
    ("alert", "effect", "result"),
    [
        (11, 14, Result.HOLDS),
        (12, 12, Result.BROKEN),
        (14, 11, Result.BROKEN),
        (None, 12, Result.BROKEN),
        # Within the width of what polling can tell: not known to be before.
        (12, 13, Result.BROKEN),
        (11, None, Result.UNKNOWN),
    ],
)
def test_alerted_before_effect(alert: float | None, effect: float | None, result: Result) -> None:
    check = AlertedBeforeEffect(check="alerted_before_effect", alert="A")
    lines = [*samples("alert:0:A", alert), *samples("alert:1:B", 11), *samples("effect:0:refused", effect)]
    assert check.judge({}, timeline(*lines)).result is result
