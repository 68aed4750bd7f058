"""Messages are sent for real, to an HTTP server on loopback; one that hangs or refuses holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from receiver import Receiver

from sevdrill.errors import UsageError
from sevdrill.masking import masked
from sevdrill.notify import Notifier, check_addresses, parse_address


class Heard:
    """What was told of messages."""

    def __init__(self) -> None:
        self.all: list[tuple[str, bool, str]] = []
        self.any = threading.Event()

    def __call__(self, name: str, ok: bool, why: str) -> None:
        self.all.append((name, ok, why))
        self.any.set()


@pytest.fixture
def notifiers() -> Iterator[list[Notifier]]:
    made: list[Notifier] = []
    yield made
    for notifier in made:
        notifier.close()


def notifier(made: list[Notifier], *entries: str) -> Notifier:
    made.append(Notifier([parse_address(entry, f"drill_notify {n}") for n, entry in enumerate(entries, start=1)]))
    return made[-1]


def test_a_message_is_sent_to_those_whom_it_is_for(notifiers: list[Notifier]) -> None:
    with Receiver() as everyone, Receiver() as page:
        heard = Heard()
        sender = notifier(notifiers, everyone.url(), f"status-page, affected-users={page.url()}")
        assert sender.send("team", "[DRILL] a", "[DRILL] to the team", heard) == 1
        assert sender.send("status-page", "[DRILL] b", "[DRILL] to users", heard) == 2
        assert sender.send("everybody", "[DRILL] c", "[DRILL] over", heard, everybody=True) == 2
        sender.settle(60)
        assert everyone.texts() == ["[DRILL] to the team", "[DRILL] to users", "[DRILL] over"]
        assert page.texts() == ["[DRILL] to users", "[DRILL] over"]
        assert [message["title"] for message in page.got] == ["[DRILL] b", "[DRILL] c"]
        assert len(heard.all) == 5
        assert all(ok for _, ok, _ in heard.all)
        assert {name for name, _, _ in heard.all} == {"json (drill_notify 1)", "json (drill_notify 2)"}


def test_one_that_refuses_is_told_with_its_reason(notifiers: list[Notifier]) -> None:
    with Receiver(500) as broken:
        heard = Heard()
        notifier(notifiers, broken.url()).send("team", "t", "b", heard)
        notifiers[0].settle(60)
        assert len(broken.got) == 1
        [(name, ok, why)] = heard.all
        assert (name, ok) == ("json (drill_notify 1)", False)
        assert "500" in why


def test_one_that_hangs_holds_neither_the_sender_nor_others_up(notifiers: list[Notifier]) -> None:
    with Receiver(hangs=True) as hangs, Receiver() as good:
        heard = Heard()
        sender = notifier(notifiers, hangs.url(), good.url())
        before = time.monotonic()
        for number in range(3):
            sender.send("team", "t", f"{number}", heard)
        sending = time.monotonic() - before
        assert hangs.came.wait(60)
        assert good.came.wait(60)
        sender.settle(0.2)
        assert sending < 5  # seconds; the receiver would have held us for a minute
        late = [each for each in heard.all if not each[1]]
        assert [name for name, _, _ in late] == ["json (drill_notify 1)"] * 3
        assert {why for _, _, why in late} == {"no answer yet when the drill was over"}
        sender.close()
        # What was given up is told once.
        assert len([each for each in heard.all if not each[1]]) == 3


def test_the_next_way_to_a_person_is_tried_when_one_fails(notifiers: list[Notifier]) -> None:
    with Receiver(503) as pager, Receiver() as phone, Receiver() as mail:
        heard = Heard()
        ways = [parse_address(way.url(), name) for way, name in ((pager, "pager"), (phone, "phone"), (mail, "mail"))]
        sender = notifier(notifiers)
        sender.send_one_of(ways, "t", "wake up", heard)
        sender.settle(60)
        assert [(name, ok) for name, ok, _ in heard.all] == [("json (pager)", False), ("json (phone)", True)]
        assert (len(pager.got), phone.texts(), mail.got) == (1, ["wake up"], [])


def test_a_url_is_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAT", "json://robot:s3cr3t-word@example.org/services/T0KEN-4711-abc?sound=k3y-4711-xyz")
    address = parse_address("team=${CHAT}", "drill_notify 1")
    assert address.takes("Team")
    assert not address.takes("status-page")
    assert address.name == "json (drill_notify 1)"
    shown = masked(f"{address.url} s3cr3t-word T0KEN-4711-abc example.org")
    assert "s3cr3t-word" not in shown
    assert "T0KEN" not in shown
    assert "example.org" in shown
    token = parse_address("slack://AAAABBBBCCCC/DDDDEEEEFFFF/GGGGHHHHIIII1234", "here")
    assert masked("AAAABBBBCCCC GGGGHHHHIIII1234").count("MASKED") == 2
    assert token.name == "slack (here)"


def test_what_is_no_url_is_an_error_that_does_not_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(UsageError, match="has no variable NOT_SET"):
        parse_address("${NOT_SET}", "drill_notify 2")
    with pytest.raises(UsageError, match=r"drill_notify 2: expected an Apprise URL") as error:
        parse_address("half-a-secret", "drill_notify 2")
    assert "half-a-secret" not in str(error.value)
    with pytest.raises(UsageError, match=r"gopher \(here\): Apprise does not know this kind of URL"):
        check_addresses([parse_address("json://127.0.0.1/", "fine"), parse_address("gopher://x", "here")])
