"""A drill in Python: the cache goes down, orders go on, and their confirmations come once it is back."""

from __future__ import annotations

import secrets

import httpx
import pytest

from sevdrill.fixtures import PythonDrill, RunningStack


@pytest.mark.drill(
    severity="SEV-2",
    tags=["cache"],
    runbook='sv-sdk, "Check dependencies (DB, Redis)"',
    hints=["Which dependency does /health name as failing?", "Do orders fail, or only what comes after them?"],
)
def test_cache_down(drill: PythonDrill, stack: RunningStack) -> None:
    """Redis is shut down by mistake. Orders are still taken; confirmations wait until somebody restarts it."""

    def cache_answers() -> None:
        health = httpx.get(stack.url("http://app:3000/health"), timeout=1).json()
        cache = health["dependencies"]["cache"]
        assert cache["ok"], f"the cache does not answer: {cache.get('why')}"

    order = {"key": f"drill-{secrets.token_hex(8)}", "item": "lamp", "quantity": 1}

    def new_orders_are_confirmed() -> None:
        # The same key again changes nothing, so this may be asked until the worker has done its part.
        placed = httpx.post(stack.url("http://app:3000/orders"), json=order, timeout=2)
        assert placed.status_code == 201, f"the order was answered with {placed.status_code}"
        found = httpx.get(stack.url(f"http://app:3000/orders/{order['key']}"), timeout=2).json()
        assert found["confirmed_at"], f"order {order['key']} is not confirmed"

    result = drill.run(
        targets={"detect": "30s", "mitigate": "60s", "recover": "90s"},
        load={"locustfile": "../fixtures/load/orders.py", "users": 5, "spawn_rate": 5, "ledger": "orders"},
        steady_state={
            "hold": "3s",
            "every": "200ms",
            "probes": [
                drill.probe(cache_answers),
                # Orders do not need the cache: this stays good all through the outage.
                {"probe": "load", "error_rate": {"below": "1%"}, "over": "5s"},
            ],
        },
        inject=[{"fault": "container.stop", "service": "redis"}],
        detect=[{"alert": "CacheDown", "labels": {"severity": "page"}}],
        respond=[
            {"action": "declare"},
            {"action": "announce", "status": "investigating"},
            {"action": "restart", "service": "redis"},
            {"action": "announce", "status": "monitoring"},
        ],
        close=[{"action": "announce", "status": "resolved"}],
        verify=[
            {"check": "no_lost_writes", "ledger": "orders"},
            {"check": "no_duplicate_writes", "ledger": "orders"},
            drill.check(new_orders_are_confirmed, within="10s"),
            {"check": "announced", "to": ["team"], "said": ["declared"]},
            {"check": "announced", "to": ["status-page"], "said": ["investigating", "monitoring", "resolved"]},
        ],
        limit="3m",
    )
    assert result.verdict.since_injected("recovered") is not None
