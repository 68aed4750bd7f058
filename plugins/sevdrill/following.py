"""Following a run and taking part in it: what the console in a terminal and the one in a browser have in common."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sevdrill.clock import Clock
from sevdrill.errors import RunError, SevdrillError, UsageError
from sevdrill.escaping import line as one_line
from sevdrill.inbox import STATUSES, Saying, now_of
from sevdrill.speaking import Drilling, say, the_run
from sevdrill.stopping import Running, stop
from sevdrill.view import View

__all__ = ["STATUSES", "Following", "saying_of"]

STOP_WITHIN = 180.0
"""Seconds that a stop may take until everything is undone."""


def saying_of(**fields: Any) -> Saying:
    """What somebody says.

    Raises:
        UsageError: it is too long, or nobody says it.
    """
    fields = {key: value.strip() if isinstance(value, str) else value for key, value in fields.items()}
    if not fields.get("by"):
        raise UsageError("nobody says who speaks: give a name (--as NAME)")
    if fields.get("does") == "announce" and fields.get("what") not in STATUSES:
        raise UsageError(f'there is no status "{fields.get("what")}"; expected one of {", ".join(STATUSES)}')
    wanted = {"note": "text", "role": "what"}.get(str(fields.get("does")), "by")
    if not fields.get(wanted):
        raise UsageError("a note needs a text" if wanted == "text" else "a role needs its name, such as commander")
    try:
        return Saying(**fields)
    except ValidationError as error:
        mistake = error.errors(include_url=False)[0]
        raise UsageError(f"{mistake['loc'][0]}: {mistake['msg']}") from None


class Following:
    """One run that is under way, drill after drill."""

    def __init__(self, state_dir: Path, name: str, clock: Clock) -> None:
        """Follow the run of this name, or the only one.

        Raises:
            UsageError: no such run is under way, or several are.
        """
        self._state, self._name, self._clock = state_dir, name, clock
        self.run: Running = the_run(state_dir, name)
        self._timeline: Path | None = None
        self._view: View | None = None

    def again(self) -> Following:
        """The same run, followed from its beginning by another pair of eyes."""
        other = Following.__new__(Following)
        other.__dict__.update(self.__dict__, _timeline=None, _view=None)
        return other

    def look(self) -> dict[str, Any]:
        """How the drill stands: a snapshot, with `run` and, once it is judged, `outcome` and `reasons`.

        Raises:
            RunError: its timeline cannot be read.
            PolicyError: its policy is not here.
        """
        now = now_of(self.run.path)
        if now is not None and Path(now.timeline) != self._timeline:
            self._timeline = Path(now.timeline)
            self._view = View(self._timeline)
        shown: dict[str, Any] = {"drill": "", "phase": "waiting for a drill", "ended": False}
        if self._view is not None and self._timeline is not None:
            self._view.read()
            shown = self._view.snapshot()
            if now is None:
                shown |= self._judged(self._timeline.parent / "summary.json")
        over = now is None and not self.run.path.exists()
        return {**shown, "run": self.run.run, "over": over}

    def _judged(self, file: Path) -> dict[str, Any]:
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            reasons = [one_line(str(reason)) for reason in found["reasons"]]
            return {"outcome": one_line(str(found["outcome"])), "reasons": reasons, "drill": one_line(found["drill"])}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def say(self, by: str, does: str, what: str = "", text: str = "", to: str = "") -> str:
        """Say something to the drill that is running; returns what is on its timeline now, in a line.

        Raises:
            UsageError: it is too long, or nobody says it.
            RunError: no drill is running, or it did not take it up.
        """
        now = now_of(self.run.path)
        if now is None:
            raise RunError("no drill is running at this moment")
        sent = saying_of(by=by, does=does, what=what, text=text, to=to, at=self._clock.now())
        line = say(Drilling(self.run, Path(now.timeline)), sent, self._clock)
        return one_line(" ".join(filter(None, (line["by"], line["does"], line["what"], line["text"]))))

    def stop(self, by: str) -> Iterator[str]:
        """Stop the run, and wait until everything is undone; yields lines for people.

        Raises:
            RunError: it did not end in time.
        """
        # It is stopped all the same when nobody takes up who did it.
        with contextlib.suppress(SevdrillError):
            self.say(by, "note", text="stops the drill")
        yield from stop(self._state, self.run.path.stem, self._clock, STOP_WITHIN)
