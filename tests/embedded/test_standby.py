"""What a failover rests on: nothing is acknowledged that the standby does not have, as the databases say themselves."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from drill_root import PROJECT, wait_for

from sevdrill.clock import SystemClock
from sevdrill.ports import Endpoints, Ledgers, Lifecycle, Ports
from sevdrill.stacks.embedded.stack import EmbeddedConfig, EmbeddedStack

pytestmark = pytest.mark.embedded


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[Ports]:
    files = (PROJECT / "docker-compose.drill.yml",)
    name = f"sevdrill-test-{secrets.token_hex(3)}"
    stack = EmbeddedStack(EmbeddedConfig(files, name, tmp_path / "state", profiles=("standby",)), SystemClock())
    try:
        stack.up()
        yield stack.ports()
    finally:
        stack.down()


def order(ports: Ports, key: str) -> int:
    placed = {"key": key, "item": "lamp", "quantity": 1}
    return httpx.post(ports[Endpoints].url("http://app:3000/orders"), json=placed, timeout=10).status_code


def test_nothing_is_acknowledged_without_the_standby(ports: Ports) -> None:
    assert order(ports, "one") == 201
    assert ports[Ledgers].rows("orders-standby") == ["one"]
    ports[Lifecycle].pause("db-standby", ["db-standby-1"])
    assert order(ports, "two") == 503, "acknowledged by the primary alone"
    ports[Lifecycle].unpause("db-standby", ["db-standby-1"])
    assert order(ports, "two") == 201, "the same key again, as a client does it"
    for ledger in ("orders", "orders-standby"):
        wait_for(lambda ledger=ledger: sorted(ports[Ledgers].rows(ledger)) == ["one", "two"], f"both in {ledger}", 10)
