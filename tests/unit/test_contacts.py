"""Who is who, how they are reached, and who approves what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from receiver import Receiver
from toy_run import DRILL, Run
from toy_stack import ToyStack, toy_ports

from sevdrill.contacts import Contacts, load_contacts
from sevdrill.errors import UsageError
from sevdrill.judge import Outcome
from sevdrill.lines import Note, StepLine
from sevdrill.notify import Notifier
from sevdrill.people import Approvals, Escalations
from sevdrill.telling import ways_of

FILE = """
primary:
  {name: Ann, is: [On-Call Dev], pager: "json://127.0.0.1:1/key-4711", phone: "+1 555 0100", mail: ann@example.org}
secondary: {name: Bob, phone: "+1 555 0101"}
manager: {name: Cleo, is: [Dev Lead], mail: cleo@example.org}
legal: {name: Legal desk, mail: legal@example.org}
vendors:
  Supabase: {mail: support@supabase.com}
  Vercel: {mail: support@vercel.com}
others:
  CTO: {name: Dana, phone: "+1 555 0102"}
"""


def contacts(folder: Path, text: str = FILE) -> Contacts:
    (folder / "contacts.yml").write_text(text, encoding="utf-8")
    return load_contacts(folder / "contacts.yml")


def test_the_levels_of_every_path_find_their_people(tmp_path: Path) -> None:
    found = contacts(tmp_path)

    def names(level: str, place: int = 2) -> list[str]:
        return [person.name or person.mail for person in found.find(level, place)]

    assert names("On-Call Dev") == ["Ann"]
    assert names("Dev Lead") == ["Cleo"]
    assert names("Engineering Manager") == ["Cleo"]
    assert names("CEO / Legal") == ["Legal desk"]
    assert names("VP Engineering / CTO") == ["Dana"]
    assert names("vendor") == ["support@supabase.com", "support@vercel.com"]
    assert names("First responder", 1) == ["Ann"]
    assert names("status-page") == []


def test_pager_goes_before_phone_before_mail_and_no_key_is_shown(tmp_path: Path) -> None:
    ann = contacts(tmp_path).primary
    assert ann is not None
    assert ann.shown() == "Ann: pager, then phone +1 555 0100, then mail ann@example.org"
    [way] = ways_of(ann)
    assert way.name == "json (pager of Ann)"


def test_mistakes_are_told_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        contacts(tmp_path, "primary: {nmae: Ann}\nmanger: {}\n")
    assert 'contacts.yml:1:11: unknown key "nmae", did you mean "name"?' in str(error.value)
    assert 'contacts.yml:2:1: unknown key "manger", did you mean "manager"?' in str(error.value)
    with pytest.raises(UsageError, match="this is no contacts: expected keys such as primary, secondary and manager"):
        contacts(tmp_path, "- Ann\n")
    with pytest.raises(UsageError, match="cannot be read"):
        load_contacts(tmp_path / "none.yml")


def test_a_message_to_a_person_takes_the_first_way_that_works(tmp_path: Path) -> None:
    with Receiver(500) as pager, Receiver() as mail:
        text = f"primary: {{name: Ann, pager: '{pager.url()}', phone: '1', mail: '{mail.url()}'}}"
        ann = contacts(tmp_path, text).primary
        assert ann is not None
        notifier, heard = Notifier(), []
        notifier.send_one_of(ways_of(ann), "t", "b", lambda *said: heard.append(said[:2]))
        notifier.settle(60)
        notifier.close()
        assert heard == [("json (pager of Ann)", False), ("json (mail of Ann)", True)]
        assert mail.texts() == ["b"]


class Asked:
    """The port `Approvals`, and `Escalations`: what a test answers."""

    def __init__(self, said: tuple[bool, str] | None) -> None:
        self.said, self.calls = said, list[str]()
        self.elapsed: list[float] = []

    def ask(self, what: str) -> None:
        self.calls.append(what)

    def answer(self) -> tuple[bool, str] | None:
        return self.said

    def end(self) -> None:
        self.calls.append("end")

    def due(self, elapsed: float) -> None:
        self.elapsed.append(elapsed)


RESPOND: list[dict[str, Any]] = [{**step, "approve": True} if "service" in step else step for step in DRILL["respond"]]


@pytest.mark.parametrize(
    ("said", "outcome", "note", "why"),
    [
        ((True, "ann"), Outcome.PASSED, "restart db: approved by ann", ""),
        ((False, "ann"), Outcome.FAILED, "restart db: refused by ann", "ann did not approve it"),
        (None, Outcome.FAILED, "", "nobody approved it before the drill's limit"),
    ],
)
def test_a_step_waits_for_a_yes(
    tmp_path: Path, said: tuple[bool, str] | None, outcome: Outcome, note: str, why: str
) -> None:
    stack, asked = ToyStack(), Asked(said)
    ports = toy_ports(stack).with_({Approvals: asked})
    run = Run(tmp_path, stack, ports=ports, respond=RESPOND, limit="1s", targets={})
    assert run.run().outcome is outcome
    assert asked.calls == ["restart db", "end"]
    assert [line.text for line in run.timeline.of(Note) if "restart db" in line.text] == ([note] if note else [])
    step = next(line for line in run.timeline.of(StepLine) if line.event == "ended" and line.action == "restart")
    assert (step.ok, step.why if why else "") == (not why, why)
    assert run.debts() == set()


class Slow(Asked):
    """Answers when something else is asked as well, or after many looks."""

    def answer(self) -> tuple[bool, str] | None:
        self.elapsed.append(0.0)
        return self.said if len(self.calls) > 1 or len(self.elapsed) > 50 else None


def test_people_are_asked_one_thing_at_a_time(tmp_path: Path) -> None:
    stack, asked = ToyStack(), Slow((True, "ann"))
    beside = [{"action": "announce", "status": "investigating", "approve": True}]
    ports = toy_ports(stack).with_({Approvals: asked})
    Run(tmp_path, stack, ports=ports, investigate=beside, respond=RESPOND).run()
    assert asked.calls[1::2] == ["end", "end"]
    assert len(set(asked.calls[::2])) == 2


def test_in_auto_mode_the_author_approved_it_beforehand(tmp_path: Path) -> None:
    run = Run(tmp_path, ToyStack(), respond=RESPOND)
    assert run.run().outcome is Outcome.PASSED
    [note] = [line.text for line in run.timeline.of(Note)]
    assert note == "restart db: approved beforehand by the drill's author"


def test_time_runs_for_the_path_from_detection_until_recovery(tmp_path: Path) -> None:
    stack, watch = ToyStack(), Asked(None)
    run = Run(tmp_path, stack, ports=toy_ports(stack).with_({Escalations: watch}))
    assert run.run().outcome is Outcome.PASSED
    marks = run.verdict().marks
    assert watch.elapsed == sorted(watch.elapsed)
    assert watch.elapsed[0] >= marks["detected"].lo - marks["injected"].lo
    unseen = ToyStack()
    unseen.alert_fires, nobody = False, Asked(None)
    Run(tmp_path / "2", unseen, ports=toy_ports(unseen).with_({Escalations: nobody}), limit="1s", targets={}).run()
    assert nobody.elapsed == []
