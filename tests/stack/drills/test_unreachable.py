"""The drill "Database unreachable", shown both ways, and its fault on the engine: undone with its names, by anybody."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from drill_root import docker
from sabotage import SabotagedRoot, own_stack, without_alert

from sevdrill.actions.network import RestoreNetwork
from sevdrill.clock import SystemClock
from sevdrill.faults import State
from sevdrill.faults.partition import NetworkPartition
from sevdrill.stacks.compose import ComposeStack

pytestmark = pytest.mark.stack

NAME = "database-unreachable.yml"
SHORT = (r"^limit: .*", "limit: 16s")
STEP = r"  - \{action: restore-network.*\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, engine: object) -> Iterator[SabotagedRoot]:
    yield from own_stack(tmp_path_factory.mktemp("unreachable"))


def resolves(root: SabotagedRoot, name: str) -> bool:
    asked = f"{root.project}-app--real-1"
    return name in docker("exec", asked, "sh", "-c", f"getent hosts {name} || true")


def test_unsabotaged_it_passes(root: SabotagedRoot) -> None:
    result = root.run(root.drill(NAME))
    assert result.outcome == "passed", result.output
    assert result.code == 0
    assert root.whole()
    assert resolves(root, "db--real")


def test_without_its_alert_it_fails(root: SabotagedRoot) -> None:
    path = root.drill(NAME, SHORT)
    with without_alert(root, "DatabaseDown"):
        result = root.run(path)
    assert result.outcome == "failed", result.output
    assert "DatabaseDown" in result.reasons
    assert "never fired" in result.reasons
    assert root.whole()


@pytest.mark.parametrize("instead", ["", r"  - {action: restart, service: db}\n"])
def test_without_its_step_it_fails_and_a_restart_is_no_cure(root: SabotagedRoot, instead: str) -> None:
    result = root.run(root.drill(NAME, (STEP, instead), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons
    assert root.whole()
    assert resolves(root, "db--real")


def test_a_fault_that_does_nothing_is_invalid(root: SabotagedRoot) -> None:
    result = root.run(root.drill(NAME), sabotage="no-op")
    assert result.outcome == "invalid", result.output
    assert "the fault had no effect" in result.reasons


def test_the_cut_is_proved_and_undone_with_its_names_from_the_record_alone(root: SabotagedRoot) -> None:
    state_dir = root.folder / ".sevdrill"
    ports = ComposeStack.named(root.project, state_dir, SystemClock()).ports()
    fault = NetworkPartition(fault="network.partition", service="db")
    record = fault.prepare(ports)
    container, network = f"{root.project}-db--real-1", f"{root.project}_default"
    assert fault.state(ports, record) is State.OFF
    try:
        fault.inject(ports, record)
        assert fault.state(ports, record) is State.ON
        fault.inject(ports, record)
        assert not resolves(root, "db--real")
        # As people do it by hand: connected, and nobody finds it (docker/compose#3498).
        docker("network", "connect", network, container)
        assert fault.state(ports, record) is State.UNKNOWN
        assert not resolves(root, "db--real")
        step = RestoreNetwork(action="restore-network", service="db", port=5432)
        assert step.proof(ports, {}).ok is False
    finally:
        # A fresh process knows the record, and nothing else.
        fresh = ComposeStack.named(root.project, state_dir, SystemClock()).ports()
        fault.undo(fresh, record)
    assert fault.state(fresh, record) is State.OFF
    assert resolves(root, "db--real")
    fault.undo(fresh, record)
    assert fault.state(fresh, record) is State.OFF


def test_the_runbook_step_puts_it_back_under_every_name(root: SabotagedRoot) -> None:
    ports = ComposeStack.named(root.project, root.folder / ".sevdrill", SystemClock()).ports()
    fault = NetworkPartition(fault="network.partition", service="db")
    record = fault.prepare(ports)
    step = RestoreNetwork(action="restore-network", service="db", port=5432)
    assert step.proof(ports, step.prepare(ports)).ok
    try:
        fault.inject(ports, record)
        assert step.proof(ports, {}).ok is False
        step.run(ports, {})
        assert step.proof(ports, {}).ok
        assert fault.state(ports, record) is State.OFF
    finally:
        fault.undo(ports, record)
    assert resolves(root, "db--real")
