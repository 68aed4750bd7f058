"""The kinds that play a provider and its credentials: what they set, what they refuse, and what they prove."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, incident, scenario

from sevdrill.actions.secrets import RotateSecret
from sevdrill.checks.access import Refused
from sevdrill.checks.base import Result
from sevdrill.checks.books import RowsMatch
from sevdrill.errors import ActionError
from sevdrill.faults.base import State
from sevdrill.kinds import Kinds
from sevdrill.ports import Admin, Ledger, Ledgers, Load, Ports
from sevdrill.timeline import Timeline

STAGING = Path(__file__).resolve().parents[2] / "fixtures" / "staging"
TIMELINE = Timeline(incident(scenario(DATABASE_DOWN)))


class Services:
    """Two services that keep secrets, as the operators' API shows them."""

    def __init__(self) -> None:
        self.shown = {"app": {"secret.provider": "as started"}, "provider": {"secret.key-1": "as started"}}
        self.changes: list[tuple[str, str, str]] = []

    def settings(self, service: str) -> dict[str, dict[str, str]]:
        return {f"{service}-1": dict(self.shown[service]), f"{service}-2": dict(self.shown[service])}

    def change(self, service: str, setting: str, value: str) -> None:
        self.changes.append((service, setting, value))
        self.shown[service][setting] = f"sha256:{hash(value)}" if value else "as started"


def rotation() -> RotateSecret:
    return RotateSecret.model_validate(
        {
            "action": "rotate-secret",
            "service": "app",
            "secret": "provider",
            "issuer": {"service": "provider", "key": "key-1"},
        }
    )


def test_a_rotation_gives_issuer_and_user_the_same_new_value_and_writes_it_nowhere() -> None:
    services = Services()
    ports, step = Ports({Admin: services}), rotation()
    record = step.prepare(ports)
    step.run(ports, record)
    (issuer, _, issued), (user, _, given) = services.changes
    assert (issuer, user) == ("provider", "app"), "the old value is refused at once"
    assert issued == given
    assert len(issued) > 20
    assert issued not in str(record)
    assert step.state(ports, record) is State.ON
    step.undo(ports, record)
    assert step.state(ports, record) is State.OFF


def test_a_rotation_that_reached_one_of_the_two_is_neither_on_nor_off() -> None:
    services = Services()
    ports, step = Ports({Admin: services}), rotation()
    services.change("app", "secret.provider", "new")
    assert step.state(ports, {}) is State.UNKNOWN


def test_what_was_rotated_already_is_refused() -> None:
    services = Services()
    services.change("provider", "secret.key-1", "new")
    with pytest.raises(ActionError, match=r"secret.key-1 of provider must be 'as started'"):
        rotation().prepare(Ports({Admin: services}))


@pytest.mark.parametrize(
    ("settings", "value"),
    [
        ({"fault": "provider.respond-with-status", "status": 503}, "503 100%"),
        ({"fault": "provider.respond-with-status", "status": 429, "share": "50%"}, "429 50%"),
        ({"fault": "provider.slow", "delay": "800ms"}, "slow 0.8s 100%"),
        ({"fault": "provider.lose-answers", "share": "25%"}, "lost 25%"),
        ({"fault": "provider.malformed-body", "share": "5%"}, "malformed 5%"),
        ({"fault": "provider.flap", "period": "4s"}, "flap 503 4s"),
    ],
)
def test_the_stub_understands_what_the_faults_set(settings: dict[str, Any], value: str) -> None:
    kind = Kinds.default().named("fault")[settings["fault"]]
    fault: Any = kind.model_validate({**settings, "service": "provider", "route": "chat"})
    assert fault._switch.value == value
    assert fault._switch.name == "answers.chat"
    text = (STAGING / "provider" / "faults.py").read_text(encoding="utf-8")
    share, pattern = re.findall(r'^(?:SHARE|PATTERN) = r?f?r?"(.*)"$', text, re.MULTILINE)
    assert re.fullmatch(pattern.replace("{SHARE}", share).replace("\\\\", "\\"), value)


@pytest.mark.parametrize(
    ("status", "result"), [(401, Result.HOLDS), (200, Result.BROKEN), (503, Result.UNKNOWN), (403, Result.UNKNOWN)]
)
def test_only_a_refusal_proves_that_nobody_is_let_in(status: int, result: Result) -> None:
    check = Refused(check="refused", what="the old key", url="http://provider:4000/v1/chat")
    assert check.judge({"status": status, "body": ""}, TIMELINE).result is result


class Books:
    def __init__(self, **rows: list[str]) -> None:
        self._rows = rows

    def rows(self, ledger: str) -> list[str]:
        return self._rows[ledger]

    def ledger(self, name: str) -> Ledger:
        return Ledger(frozenset({"a", "b"}), frozenset({"a"}))


@pytest.mark.parametrize(
    ("shop", "bank", "result"),
    [
        (["a 5 done", "b 7 done", "old 1 done"], ["b 7 done", "a 5 done"], Result.HOLDS),
        (["a 5 done"], ["a 5 done", "a 5 done"], Result.BROKEN),
        (["a 5 pending"], ["a 5 done"], Result.BROKEN),
        (["a 5 done"], ["a 6 done"], Result.BROKEN),
        ([], ["b 7 done"], Result.BROKEN),
        (["old 1 done"], [], Result.UNKNOWN),
    ],
)
def test_books_match_row_by_row(shop: list[str], bank: list[str], result: Result) -> None:
    books = Books(shop=shop, bank=bank)
    check = RowsMatch.model_validate({"check": "rows_match", "ledger": "payments", "rows": "shop", "to": "bank"})
    data = check.read(Ports({Load: books, Ledgers: books}))
    assert check.judge(data, TIMELINE).result is result
    assert check.settled(data) is (result is not Result.BROKEN)


def test_without_a_ledger_the_first_book_says_which_rows_are_asked_for() -> None:
    books = Books(shop=["x", "y"], bank=["y", "x", "of another day"])
    check = RowsMatch.model_validate({"check": "rows_match", "rows": "shop", "to": "bank"})
    data = check.read(Ports({Load: books, Ledgers: books}))
    assert check.judge(data, TIMELINE).result is Result.HOLDS
