"""The commands that look back: ``sevdrill trend``, ``compare``, ``reviews`` and ``evidence``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sevdrill.history import History

__all__ = ["add_commands"]


def add_commands(commands: Any) -> None:
    """Add them to the command line."""
    trend = commands.add_parser("trend", help="show the times of every drill over the last runs, against targets")
    trend.add_argument("--prometheus", action="store_true", help="the last run of every drill, for Prometheus")
    trend.add_argument("--last", type=int, default=30, metavar="N", help="runs to show (default: 30)")
    trend.add_argument("--drill", default="", metavar="TEXT", help="only drills whose name has this text")
    trend.set_defaults(run=_trend)
    compare = commands.add_parser("compare", help="hold two runs side by side: outcomes and times")
    compare.add_argument("before", type=Path, metavar="RUN", help="a run's folder, or one drill's folder in it")
    compare.add_argument("after", type=Path, metavar="RUN", help="the other one")
    compare.set_defaults(run=_compare)
    reviews = commands.add_parser("reviews", help="list what the SOP wants done after failed drills, or mark it done")
    reviews.set_defaults(run=_reviews)
    doing = reviews.add_subparsers(metavar="done")
    done = doing.add_parser("done", help="mark one as done")
    done.add_argument("id", type=int, nargs="+", metavar="ID", help="its number in the list")
    done.set_defaults(run=_done)
    evidence = commands.add_parser("evidence", help="work with the evidence of a run")
    working = evidence.add_subparsers(required=True, metavar="verify")
    verify = working.add_parser("verify", help="hold every file of the evidence against its SHA-256 sum")
    verify.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, or one drill's folder in it")
    verify.set_defaults(run=_verify)
    for command in (trend, reviews, done):
        command.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")


def _history(options: argparse.Namespace) -> History:
    from sevdrill.aftermath import HISTORY
    from sevdrill.history import History

    return History(options.state / HISTORY)


def _trend(options: argparse.Namespace) -> int:
    from sevdrill.reports.trend import BLOCKS, PLAIN, prometheus, trend_lines

    history = _history(options)
    entries = {n: runs for n, runs in history.entries(max(1, options.last)).items() if options.drill in n}
    if options.prometheus:
        print("\n".join(prometheus(entries)))
        return 0
    if not entries:
        what = f' whose name has "{options.drill}"' if options.drill else ""
        print(f"there are no drills{what} in {history.path} yet; every run of `pytest drills` adds its own")
        return 0
    # A terminal that cannot show blocks gets plain signs.
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    print("\n".join(trend_lines(entries, BLOCKS if unicode else PLAIN)))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from sevdrill.aftermath import load_summaries
    from sevdrill.reports.trend import compared

    print("\n".join(compared(load_summaries(options.before), load_summaries(options.after))))
    return 0


def _reviews(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock

    ups = _history(options).open_follow_ups()
    now = SystemClock().wall()
    for up in ups:
        due = f"due {up.due:%Y-%m-%d %H:%M} UTC" if up.due is not None else "no time set by the SOP"
        late = "  OVERDUE" if up.due is not None and up.due < now else ""
        text = f"{up.id:>4}  {due}{late}  {up.what}; owner: {up.owner}; {up.drill}, run {up.run} ({up.source})"
        print("".join(c if c.isprintable() else " " for c in text))
    print("`sevdrill reviews done ID` marks one as done" if ups else "nothing is open")
    return 0


def _done(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock

    history = _history(options)
    for number in options.id:
        up = history.done(number, SystemClock().wall())
        print(f"done: {up.what} ({up.drill})")
    return 0


def _verify(options: argparse.Namespace) -> int:
    from sevdrill.errors import RunError
    from sevdrill.reports.manifest import verify

    folders = [options.folder] if (options.folder / "evidence").is_dir() else []
    folders = folders or sorted(path.parent for path in options.folder.glob("*/evidence"))
    if not folders:
        raise RunError(f"{options.folder}: no evidence here or one level below; give a folder under drill-runs/")
    wrong = 0
    for folder in folders:
        count, problems = verify(folder / "evidence")
        wrong += len(problems)
        print(f"{folder}: {count} files, {'all as they were collected' if not problems else 'NOT as collected:'}")
        for problem in problems:
            print(f"  {problem}")
    return 1 if wrong else 0
