"""The fault `change.config` and the step `config-rollback`, on a service with three replicas in memory."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from sevdrill.actions.release import ConfigRollback
from sevdrill.errors import ActionError, FaultError
from sevdrill.faults import State
from sevdrill.faults.change import ChangeConfig
from sevdrill.ports import Environment, Lifecycle, Ports, Replica


class Service:
    """Implements the ports."""

    def __init__(self) -> None:
        self.rolled_out = [0]
        self.has = {"app-1": 0, "app-2": 0, "app-3": 0}
        self.sick: set[str] = set()

    def variables(self, service: str) -> list[str]:
        return ["DATABASE_URL", "PORT"]

    def history(self, service: str) -> list[int]:
        return self.rolled_out

    def running(self, service: str) -> dict[str, int]:
        return self.has

    def configure(self, service: str, changes: Mapping[str, str]) -> None:
        self.restore(service, max(self.rolled_out) + 1)

    def restore(self, service: str, revision: int) -> None:
        self.rolled_out.append(revision)
        self.has = dict.fromkeys(self.has, revision)

    def replicas(self, service: str) -> list[Replica]:
        return [Replica(name, "app", running=True, healthy=name not in self.sick) for name in self.has]


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def ports(service: Service) -> Ports:
    return Ports({Environment: service, Lifecycle: service})


def fault(name: str = "DATABASE_URL") -> ChangeConfig:
    return ChangeConfig.model_validate({"fault": "change.config", "service": "app", "set": {name: "wrong"}})


STEP = ConfigRollback.model_validate({"action": "config-rollback", "service": "app"})


def test_it_is_on_until_it_is_undone(service: Service, ports: Ports) -> None:
    record = fault().prepare(ports)
    assert fault().state(ports, record) is State.OFF
    fault().inject(ports, record)
    assert fault().state(ports, record) is State.ON
    for _ in range(2):
        fault().undo(ports, record)
        assert fault().state(ports, record) is State.OFF
    assert service.rolled_out == [0, 1, 0]


@pytest.mark.parametrize(
    ("has", "state"),
    [
        ({}, State.UNKNOWN),
        ({"app-1": 0, "app-2": 1}, State.UNKNOWN),
        ({"app-1": 1, "app-2": -1}, State.UNKNOWN),
        ({"app-1": 2, "app-2": 1}, State.ON),
    ],
)
def test_half_of_it_is_neither_on_nor_off_and_is_undone(
    service: Service, ports: Ports, has: dict[str, int], state: State
) -> None:
    record = fault().prepare(ports)
    service.has = has
    assert fault().state(ports, record) is state
    fault().undo(ports, record)
    assert service.rolled_out == [0, 0]


def test_a_variable_that_the_service_does_not_have(ports: Ports) -> None:
    with pytest.raises(FaultError, match="app has no variable PROT; the files give it DATABASE_URL, PORT"):
        fault("PROT").prepare(ports)


@pytest.mark.parametrize("has", [{}, {"app-1": 0, "app-2": 1}, {"app-1": -1}])
def test_it_needs_one_known_configuration_to_go_back_to(service: Service, ports: Ports, has: dict[str, int]) -> None:
    service.has = has
    with pytest.raises(FaultError, match="different or unknown configurations"):
        fault().prepare(ports)


def test_a_rollback_is_done_when_every_replica_has_the_old_values_and_is_well(service: Service, ports: Ports) -> None:
    with pytest.raises(ActionError, match="nothing was rolled out to app"):
        STEP.prepare(ports)
    service.configure("app", {})
    record = STEP.prepare(ports)
    assert not STEP.proof(ports, record).ok
    STEP.run(ports, record)
    assert STEP.proof(ports, record).ok
    service.has["app-2"] = 1
    assert "app-2: not configured as in revision 0" in STEP.proof(ports, record).why
    service.has["app-2"] = 0
    service.sick.add("app-3")
    assert "app-3 is not running and healthy" in STEP.proof(ports, record).why
