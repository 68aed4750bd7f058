"""What is said to people, in the words of the policy, and to whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import DATABASE_DOWN, scenario

from sevdrill.clock import SystemClock
from sevdrill.errors import ActionError
from sevdrill.messages import ESCALATED, Announcer
from sevdrill.severity import load_policy
from sevdrill.timeline import MessageLine, TimelineWriter


class Talk:
    """An announcer on a timeline of its own."""

    def __init__(self, folder: Path, policy: str = "playbook", **changes: Any) -> None:
        self.scenario = scenario(DATABASE_DOWN, **changes)
        self.policy = load_policy(policy)
        self.writer = TimelineWriter(folder / "timeline.jsonl", SystemClock())
        self.announcer = Announcer(self.scenario, self.policy, self.writer, SystemClock())

    @property
    def said(self) -> list[MessageLine]:
        return [line for line in self.writer.lines if isinstance(line, MessageLine)]


@pytest.fixture
def talks(tmp_path: Path) -> Iterator[Callable[..., Talk]]:
    made: list[Talk] = []

    def make(policy: str = "playbook", **changes: Any) -> Talk:
        made.append(Talk(tmp_path / str(len(made)), policy, **changes))
        return made[-1]

    yield make
    for talk in made:
        talk.writer.close()


def test_the_next_level_of_the_path_is_told_and_then_the_one_after(talks: Callable[..., Talk]) -> None:
    talk = talks()
    for _ in range(3):
        talk.announcer.escalate("", "")
    assert [line.to for line in talk.said] == ["Engineering Manager", "VP Engineering / CTO", "CEO / Legal"]
    assert {line.status for line in talk.said} == {ESCALATED}
    assert all(line.text.startswith("[DRILL] Escalation to ") for line in talk.said)
    assert "if unresolved in 30 min" in talk.said[0].text
    with pytest.raises(ActionError, match="no level left to tell for SEV-1"):
        talk.announcer.escalate("", "")


def test_a_level_can_be_named_and_one_that_is_not_in_the_path_is_refused(talks: Callable[..., Talk]) -> None:
    talk = talks()
    talk.announcer.escalate("CEO / Legal", "the data of users are out")
    assert [line.to for line in talk.said] == ["CEO / Legal"]
    assert "the data of users are out" in talk.said[0].text
    with pytest.raises(ActionError, match=r'no level "Night Watch" for SEV-1; its path: On-call Engineer, Engineering'):
        talk.announcer.escalate("Night Watch", "")
