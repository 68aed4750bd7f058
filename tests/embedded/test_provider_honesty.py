"""The drills of the provider and of the queue do not pass when their cure, or what they protect, is broken."""

from __future__ import annotations

import pytest
from embedded_root import EmbeddedRoot

from sevdrill.ports import Admin

pytestmark = pytest.mark.embedded

SHORT = (r"^limit: .*", "limit: 24s")


UNREADABLE = (r"provider\.lose-answers", "provider.malformed-body")


def test_an_answer_that_cannot_be_read_is_no_charge_that_was_not_made(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill("payment-failed.yml", UNREADABLE))
    assert result.outcome == "passed", result.output


@pytest.mark.parametrize("changes", [(), (UNREADABLE,)], ids=["lost", "malformed"])
def test_a_provider_that_ignores_idempotency_keys_charges_twice(
    whole_stack: EmbeddedRoot, changes: tuple[tuple[str, str], ...]
) -> None:
    path = whole_stack.drill("payment-failed.yml", *changes)
    try:
        result = whole_stack.run(path, sabotage="set provider idempotency off")
    finally:
        whole_stack.stack.ports()[Admin].change("provider", "idempotency", "on")
    assert result.outcome == "failed", result.output
    assert "are there twice" in result.reasons


def test_a_key_that_only_its_user_changes_cures_nothing(whole_stack: EmbeddedRoot) -> None:
    result = whole_stack.run(whole_stack.drill("provider-key-rejected.yml", (r", issuer: .*\}\}", "}"), SHORT))
    assert result.outcome == "failed", result.output
    assert "never recovered" in result.reasons


def test_more_workers_alone_do_not_free_what_is_stuck(whole_stack: EmbeddedRoot) -> None:
    path = whole_stack.drill(
        "queue-backed-up.yml",
        (r"  - \{action: retry-stuck.*\n", ""),
        (r"  - \{action: wait-for.*depth.*\n", ""),
        (r"^limit: .*", "limit: 40s"),
    )
    result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "mailing match mailed: " in result.reasons
    assert "never recovered" in result.reasons
