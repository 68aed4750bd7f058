"""A person's yes to a step that is marked ``approve: true``: asked and answered by files beside the run's journal.

The runner writes what it asks, `sevdrill approve` writes the answer. Nobody's silence is a yes.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Callable
from pathlib import Path

from sevdrill.errors import UsageError
from sevdrill.stopping import running

__all__ = ["Approving", "answer"]


def _asked(journal: Path) -> Path:
    return journal.with_suffix(".asked")


def _answered(journal: Path) -> Path:
    return journal.with_suffix(".answered")


class Approving:
    """Asks people for a yes (implements the port `Approvals`)."""

    def __init__(self, journal: Path, say: Callable[[str], None]) -> None:
        self._journal, self._say = journal, say
        self._id = ""

    def ask(self, what: str) -> None:
        """Ask people whether a step may be done."""
        self._id = secrets.token_hex(4)
        _answered(self._journal).unlink(missing_ok=True)
        draft = _asked(self._journal).with_suffix(".asking")
        draft.write_text(json.dumps({"id": self._id, "what": what}), encoding="utf-8")
        draft.rename(_asked(self._journal))
        self._say(what)

    def answer(self) -> tuple[bool, str] | None:
        """What was answered, and by whom; None while nobody did."""
        try:
            said = json.loads(_answered(self._journal).read_text(encoding="utf-8"))
            if said["id"] != self._id:
                return None
            return bool(said["yes"]), str(said["by"])[:100]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def end(self) -> None:
        """Nobody is asked any more."""
        for path in (_asked(self._journal), _answered(self._journal)):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def answer(state_dir: Path, run: str, by: str, *, yes: bool) -> str:
    """Answer the run of this name, or the only one that asks; says what was answered.

    Raises:
        UsageError: no run asks, or more than one does and none is named.
    """
    asking = [one for one in running(state_dir) if _asked(one.path).exists() and run in ("", one.run, one.project)]
    if len(asking) != 1:
        listed = "; ".join(map(str, asking))
        raise UsageError(f"several runs ask: {listed}; name one" if asking else "no run here asks for an approval")
    [one] = asking
    try:
        asked = json.loads(_asked(one.path).read_text(encoding="utf-8"))
        text = json.dumps({"id": asked["id"], "by": by, "yes": yes})
        draft = _answered(one.path).with_suffix(".answering")
        draft.write_text(text, encoding="utf-8")
        draft.rename(_answered(one.path))
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{one}: the answer cannot be given ({error}); does it still ask?") from None
    return f"{one}: {'approved' if yes else 'refused'} by {by}: {asked['what']}"
