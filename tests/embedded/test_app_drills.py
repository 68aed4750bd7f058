"""The drills of the app itself do not pass when one part of them is broken; the whole ones are in `test_drills.py`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from embedded_root import EmbeddedRoot

from sevdrill.ports import Lifecycle

pytestmark = pytest.mark.embedded

ROLLBACK = r"  - \{action: rollback, service: app.*\n"
RESTART = r"  - {action: restart, service: app}\n"


def short(limit: str) -> tuple[str, str]:
    return (r"^limit: .*", f"limit: {limit}")


def without(action: str) -> tuple[str, str]:
    """No step of this kind, and nothing of it to put back."""
    return (rf"  - \{{action: ({action}|revert, step: {action})\b.*\n", "")


@pytest.mark.parametrize(
    ("name", "changes", "reasons"),
    [
        pytest.param(
            "high-error-rate.yml",
            [without("flag"), short("14s")],
            ["never recovered", "the remedy is the one that the SOP's rules choose: broken"],
            id="high error rate, feature left on",
        ),
        pytest.param(
            "app-down-bad-release.yml",
            [(ROLLBACK, RESTART), short("25s")],
            ["never recovered", "app runs 1.0.0: broken"],
            id="app down, restarted instead of rolled back",
        ),
        pytest.param(
            "rollback-fails.yml",
            [without("maintenance"), short("25s")],
            ["never recovered", "not in its place: maintenance"],
            id="rollback fails, users left with errors",
        ),
        pytest.param(
            "rollback-fails.yml",
            [(r"  - \{action: escalate.*\n", "")],
            ["not in its place: escalate"],
            id="rollback fails, nobody told",
        ),
        pytest.param(
            "build-failure.yml",
            [without("config-rollback"), short("14s")],
            ["never recovered", "not in its place: config-rollback"],
            id="build failure, lock file left as it is",
        ),
    ],
)
def test_without_its_step_it_fails(
    whole_stack: EmbeddedRoot, name: str, changes: list[tuple[str, str]], reasons: list[str]
) -> None:
    result = whole_stack.run(whole_stack.drill(name, *changes))
    assert result.outcome == "failed", result.output
    for reason in reasons:
        assert reason in result.reasons


@contextmanager
def rules(root: EmbeddedRoot, old: str, new: str) -> Iterator[None]:
    """Monitoring with another rule."""
    file = root.data() / "own" / "prometheus-1" / "rules.yml"
    before = file.read_text(encoding="utf-8")
    assert before.count(old) == 1
    file.write_text(before.replace(old, new), encoding="utf-8")
    _restart(root)
    try:
        yield
    finally:
        file.write_text(before, encoding="utf-8")
        _restart(root)


def _restart(root: EmbeddedRoot) -> None:
    lifecycle = root.stack.ports()[Lifecycle]
    lifecycle.kill("prometheus", ["prometheus-1"])
    lifecycle.start("prometheus", ["prometheus-1"])


def test_whoever_is_woken_for_a_typing_mistake_is_woken_for_nothing(whole_stack: EmbeddedRoot) -> None:
    ticket = '        labels: {severity: ticket}\n        annotations: {summary: "{{ $labels.page }}'
    path = whole_stack.drill("cosmetic-bug.yml", (r", labels: \{severity: ticket\}", ""))
    with rules(whole_stack, ticket, ticket.replace("ticket", "page")):
        result = whole_stack.run(path)
    assert result.outcome == "failed", result.output
    assert "nobody was paged: broken" in result.reasons
