"""What an SOP says of one severity: its times, who is told, who is brought in, what is due afterwards."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from sevdrill.conditions import Meaning
from sevdrill.model import Model
from sevdrill.sop import Block, Text
from sevdrill.units import Duration

__all__ = [
    "Common",
    "Escalation",
    "FollowUp",
    "Level",
    "Limit",
    "Review",
    "Said",
    "TargetKey",
    "Tell",
    "Update",
]

TargetKey = Literal[
    "detect", "respond", "assess", "announce", "rollback", "mitigate", "recover", "root_cause", "update"
]
"""What a target can limit; the keys of a drill's `targets:`."""


class Limit(Block):
    """A time that the SOP promises; exactly one of `limit`, `read_as` and `binds` says what it comes to."""

    sop: Text
    """The SOP's words, such as `< 15 min` or `Best effort`."""
    limit: Duration | None = None
    """The time that the SOP states."""
    read_as: Duration | None = None
    """Our reading, where the SOP's words have no number; reports show that it is ours."""
    binds: Literal["nothing"] | None = None
    """`nothing`: the SOP's words commit to no time."""
    because: str = ""
    """Why we read the words like this."""

    @model_validator(mode="after")
    def _one_meaning(self) -> Self:
        said = [name for name in ("limit", "read_as", "binds") if getattr(self, name) is not None]
        if len(said) != 1:
            raise PydanticCustomError(
                "meaning",
                "expected exactly one of limit, read_as and binds, found {found}",
                {"found": " and ".join(said) or "none"},
            )
        if self.read_as is not None and not self.because:
            raise PydanticCustomError("because", "read_as needs because: why the SOP's words are read as that time")
        if not (self.limit is None or self.limit > 0) or not (self.read_as is None or self.read_as > 0):
            raise PydanticCustomError("positive", "expected a time longer than 0s")
        return self

    @property
    def time(self) -> Duration | None:
        """The time that binds, in seconds; None where nothing does."""
        return self.limit if self.limit is not None else self.read_as

    @property
    def note(self) -> str:
        """What reports must say about it; empty where the SOP's words speak for themselves."""
        if self.read_as is not None:
            return f'the SOP says "{self.sop}"; read as {self.read_as} because {self.because}'
        return self.because


class Update(Block):
    """How often users are told."""

    sop: Text
    """The SOP's words."""
    promise: Duration
    """What the messages promise."""
    limit: Duration
    """The longest time that may pass between two messages."""


class FollowUp(Block):
    """Something due after an incident."""

    what: Text
    """What is due."""
    due: Duration
    """When it is due."""
    since: Literal["injected", "responded", "recovered"] = "recovered"
    """The mark that the time is counted from."""


class Review(Block):
    """The post-mortem."""

    sop: Text
    """The SOP's words."""
    mandatory: bool
    """Whether the SOP demands it for this severity."""
    due: Duration | None = None
    """When it is due, counted from recovered; absent where the SOP sets no time."""


class Escalation(Block):
    """One level of escalation."""

    level: int = Field(ge=1)
    """Its place in the SOP's path; 1 is who is called first."""
    to: Text
    """Who is brought in."""
    people: bool = True
    """Whether that is somebody; a level may be a machine's."""
    after: Duration
    """How long unresolved, counted from injected; `0s` is at once."""
    when: tuple[Literal["data_breach", "infrastructure", "business", "major", "human_decision"], ...] = ()
    """Only if one of these is the case; none: always."""
    sop: Text
    """The SOP's words."""
    because: str = ""
    """Why we read the words like this, where they leave room."""


class Tell(Block):
    """Someone who must be told."""

    who: Text
    """The audience: team, stakeholders, leadership, status-page, security, legal, vendor, affected-users."""
    sop: Text
    """The SOP's words."""


class Said(Block):
    """A plain yes or no of the SOP; true when it is yes."""

    yes: bool
    """The answer."""
    sop: Text
    """The SOP's words."""

    def __bool__(self) -> bool:
        return self.yes


class Common(Model):
    """What an SOP can say of one severity, or of all of them alike."""

    detect: Limit | None = None
    """Own target until an alert fires."""
    assess: Limit | None = None
    """Own target until severity is assessed and declared."""
    announce: Limit | None = None
    """Own target until the first message."""
    rollback: Limit | None = None
    """Own target until a rollback is done."""
    mitigate: Limit | None = None
    """Own target until users no longer suffer."""
    recover: Limit | None = None
    """Own target until steady state is back."""
    root_cause: Limit | None = None
    """Own target until the root cause is known."""
    update_every: Update | None = None
    """How often users are told."""
    review: Review | None = None
    """The post-mortem."""
    follow_ups: tuple[FollowUp, ...] = ()
    """What is due afterwards."""
    escalation: tuple[Escalation, ...] = ()
    """Who is brought in, and when."""
    tell: tuple[Tell, ...] = ()
    """Who must be told."""
    pages: Said | None = None
    """Whether it wakes someone; absent where the SOP does not say."""
    status_page: Said | None = None
    """Whether the status page is updated; absent where the SOP does not say."""
    channel: Said | None = None
    """Whether an incident channel is made; absent where the SOP does not say."""
    bridge: Said | None = None
    """Whether an incident bridge (a call) is opened; absent where the SOP does not say."""
    ticket: Said | None = None
    """Whether a ticket is enough; absent where the SOP does not say."""


class Level(Common):
    """One severity."""

    name: Text
    """What the SOP calls it, such as `Critical`."""
    source: Text
    """Title of the section that defines it."""
    response: Limit
    """The response time."""
    means: tuple[Meaning, ...] = ()
    """The SOP's definition, line by line; the rows that decide severity where there is no matrix."""
    impact: str = ""
    """The SOP's words for its impact, where it sums it up."""
    actions: tuple[Text, ...] = ()
    """The steps that the SOP lists for this severity."""
    actions_source: str = ""
    """Title of the section with these steps."""

    def own(self, key: TargetKey) -> Limit | None:
        """The SOP's own target for ``key``, also where it binds nothing; None where the SOP gives none."""
        if key == "update":
            return None
        return self.response if key == "respond" else getattr(self, key)

    def escalations_due(self, elapsed: float, conditions: Collection[str] = ()) -> tuple[Escalation, ...]:
        """The levels that must have been brought in ``elapsed`` seconds after injected.

        ``conditions`` are those that are the case, such as `data_breach`.
        """
        return tuple(
            step
            for step in self.escalation
            if elapsed >= step.after and (not step.when or {*step.when} & {*conditions})
        )
