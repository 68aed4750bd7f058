"""What is made of a whole run when its drills are done: summary, history, follow-ups, index page, CI's summary.

Nothing here may fail a run: what cannot be written is said.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sevdrill.errors import RunError
from sevdrill.history import FollowUp, History, HistoryError, got_worse
from sevdrill.reports.github import step_summary
from sevdrill.reports.run_page import run_page

__all__ = ["HISTORY", "finish_run", "load_summaries", "overdue"]

HISTORY = "history.db"
"""Name of the history's file in sevdrill's state folder."""


def overdue(history: History, now: dt.datetime) -> list[str]:
    """Follow-ups whose time is over, for people."""
    late = [up for up in history.open_follow_ups() if up.due is not None and up.due < now]
    return [
        f"overdue since {up.due:%Y-%m-%d %H:%M} UTC: {up.what} ({up.drill}; owner: {up.owner}); "
        f"`sevdrill reviews done {up.id}` when it is done"
        for up in late
        if up.due is not None
    ]


def finish_run(
    folder: Path, drills: Sequence[dict[str, Any]], state_dir: Path, now: dt.datetime, *, record: bool = True
) -> list[str]:
    """Write all that a run leaves besides its drills; lines that people must read.

    ``state_dir`` holds the history. Reports that are made again leave it as it is, and read it only (``record``).
    """
    said = [line for drill in drills for line in drill.get("trouble", ())]
    worse: list[str] = []
    entries: dict[str, Any] = {}
    history = History(state_dir / HISTORY)

    def look_back() -> None:
        nonlocal worse, entries
        if record:
            # Before this run's own follow-ups are there: what is overdue is from earlier runs.
            said.extend(overdue(history, now))
            history.record(folder.name, drills)
            for drill in drills:
                if drill.get("led_by"):
                    history.led(drill["drill"], drill["led_by"], folder.name)
            history.follow(_follow_ups(folder.name, drills))
        names = {drill["drill"] for drill in drills}
        entries = {name: runs for name, runs in history.entries().items() if name in names}
        worse = got_worse(entries, folder.name)

    _try(look_back, said)
    said += [f"slower than usual: {line}" for line in worse]
    document = {"version": 1, "drills": list(drills), "worse": worse, "said": list(said)}

    def write() -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    _try(write, said)
    page = list(said)
    _try(lambda: _write(folder / "index.html", run_page(folder, drills, entries, page)), said)
    ci = os.environ.get("GITHUB_STEP_SUMMARY", "")
    if ci and record:
        _try(lambda: _append(Path(ci), step_summary(drills, page)), said)
    return said


def _follow_ups(run: str, drills: Sequence[dict[str, Any]]) -> list[FollowUp]:
    return [
        FollowUp(
            0,
            drill["drill"],
            up["what"],
            up["owner"],
            dt.datetime.fromisoformat(up["due"]) if up["due"] else None,
            run,
            up["source"],
        )
        for drill in drills
        for up in drill.get("follow_ups", ())
    ]


def _try(work: Callable[[], object], said: list[str]) -> None:
    try:
        work()
    except HistoryError as error:
        said.append(str(error))
    except OSError as error:
        said.append(f"{error.filename or 'a file of the run'} cannot be written: {error.strerror or error}")
    except Exception as error:  # the verdicts stand, whatever the reason
        said.append(f"a page of the run could not be made: {type(error).__name__}: {error}")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="replace")


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", errors="replace") as file:
        file.write(text)


def load_summaries(folder: Path) -> list[dict[str, Any]]:
    """The summaries of a run's drills, as they were judged when it ran.

    Raises:
        RunError: there is none.
    """
    path = folder / "summary.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        drills: list[dict[str, Any]] = found.get("drills", [found])
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path} cannot be read ({error}); `sevdrill report {folder}` makes it again") from None
    return drills
