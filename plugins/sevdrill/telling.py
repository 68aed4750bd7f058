"""Makes what tells people of a drill: its announcer, whose messages are recorded, and sent where somebody asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sevdrill.clock import Clock
from sevdrill.contacts import Contacts, Person
from sevdrill.lines import MessageLine, Note
from sevdrill.messages import ESCALATED, EVERYBODY, Announcer
from sevdrill.notify import Address, Notifier, parse_address
from sevdrill.scenario import Scenario
from sevdrill.severity import Policy
from sevdrill.timeline import TimelineWriter

__all__ = ["Telling", "ways_of"]


def ways_of(person: Person) -> list[Address]:
    """The ways by which a message can be sent to somebody, first to last.

    Raises:
        UsageError: one of them is no URL of Apprise.
    """
    who = person.name or (person.is_[0] if person.is_ else "contacts")
    return [parse_address(given, f"{way} of {who}") for way, given in person.ways.items() if "://" in given]


@dataclass
class Telling:
    """What all drills of a session tell people by."""

    policy: Policy
    clock: Clock
    contacts: Contacts
    notifier: Notifier
    say: Callable[[str], None]
    """Says what people must know at the end of the run."""

    def announcer(
        self, scenario: Scenario, folder: Path, timeline: TimelineWriter, *, reveals: bool = True
    ) -> Announcer:
        """The announcer of one drill, whose reports will be in ``folder``."""
        run = folder.parent
        # The folder of this drill is there already.
        number = len(list(run.parent.glob(f"{self.clock.wall():%Y-%m-%d}T*/*/")))
        return Announcer(
            scenario,
            self.policy,
            timeline,
            self.clock,
            roles=self._roles(),
            run=f"{run.name}/{folder.name}/postmortem.md",
            number=max(1, number),
            reveals=reveals,
            send=partial(self._send, timeline),
            reach=lambda level: "; ".join(person.shown() for person in self.contacts.find(level)),
        )

    def _roles(self) -> dict[str, str]:
        """Who has which role by the contacts: people who take one during a drill go before that."""
        primary = self.contacts.primary
        return {"owner": primary.name} if primary is not None and primary.name else {}

    def _send(self, timeline: TimelineWriter, line: MessageLine) -> None:
        """Send a message on its way; what becomes of it is on the timeline, and trouble is said at the end as well."""
        what = f"the message {line.status} to {line.to}"

        def heard(receiver: str, ok: bool, why: str) -> None:
            said = f"{what} was {'sent' if ok else 'NOT sent'} by {receiver}{f': {why}' if why else ''}"
            with contextlib.suppress(OSError):
                timeline.write(Note(text=said))
            if not ok:
                self.say(f"{timeline.path.parent.name}: {said}")

        title = line.subject or line.text.partition("\n")[0]
        everybody = line.to == EVERYBODY
        self.notifier.send(line.to, title, line.text, heard, everybody=everybody)
        if everybody:
            told = {m.to for m in timeline.lines if isinstance(m, MessageLine) and m.status == ESCALATED}
            people = [person for level in sorted(told) for person in self.contacts.find(level)]
        else:
            people = self.contacts.find(line.to)
        for person in dict.fromkeys(people):
            self.notifier.send_one_of(ways_of(person), title, line.text, heard)
