"""The command ``sevdrill onboard``: the track of a new engineer, step by step."""

from __future__ import annotations

import argparse
import os
import random
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sevdrill.errors import RunError, UsageError

if TYPE_CHECKING:
    from sevdrill.history import History, Lesson
    from sevdrill.schedule import Scheduled
    from sevdrill.severity import Policy
    from sevdrill.timeline import Timeline

__all__ = ["add_commands"]

STEPS = ("read", "shadow", "participate", "lead", "export")
SURPRISE = "30s"
"""Within this time the fault of a drill comes that somebody leads, unless `--with` says otherwise."""


def add_commands(commands: Any) -> None:
    """Add it to the command line."""
    onboard = commands.add_parser("onboard", help="lead a new engineer along the SOP's track: read, shadow, take part")
    onboard.add_argument("who", metavar="NAME", help="who is onboarded")
    onboard.add_argument("step", nargs="?", default="", choices=("", *STEPS), metavar="STEP", help=", ".join(STEPS))
    onboard.add_argument("what", nargs="?", default="", metavar="WHAT", help="shadow: a run; participate: a drill file")
    onboard.add_argument("--questions", type=int, default=10, metavar="N", help="read: how many (default: 10)")
    onboard.add_argument("--speed", default="1", metavar="N|max", help="shadow: so many times as fast (default: 1)")
    onboard.add_argument("--anyway", action="store_true", help="lead: before the SOP's time")
    onboard.add_argument("-o", "--output", default="", metavar="FILE", help="export: default is standard output")
    onboard.add_argument("--drills", type=Path, default=Path("drills"), metavar="DIR", help="default: drills")
    onboard.add_argument("--runs", type=Path, default=Path("drill-runs"), metavar="DIR", help="default: drill-runs")
    onboard.add_argument("--policy", default="sop-001", metavar="NAME|FILE", help="default: sop-001")
    onboard.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    onboard.add_argument(
        "--with", dest="more", default="", metavar="OPTIONS", help="more options of pytest, in one text"
    )
    onboard.set_defaults(run=_onboard)


def _onboard(options: argparse.Namespace) -> int:
    from sevdrill.aftermath import HISTORY
    from sevdrill.clock import SystemClock
    from sevdrill.escaping import block
    from sevdrill.history import History, Lesson
    from sevdrill.onboarding import JOINED, track_lines, track_of
    from sevdrill.severity import load_policy

    if not options.who.strip() or not options.who.isprintable():
        raise UsageError("a name is one line of text")
    policy, history, now = load_policy(options.policy), History(options.state / HISTORY), SystemClock().wall()
    if not history.lessons(options.who) and options.step != "export":
        history.learnt(options.who, Lesson(JOINED, now, "began"))
    if options.step:
        taught: dict[str, Callable[[argparse.Namespace, Policy, History], Lesson | None]] = {
            "read": _read,
            "shadow": _shadow,
            "participate": _participate,
            "lead": _lead,
            "export": _export,
        }
        lesson = taught[options.step](options, policy, history)
        if lesson is None:
            return 0
        history.learnt(options.who, lesson)
        print()
    lessons = history.lessons(options.who)
    print(block("\n".join(track_lines(track_of(policy), options.who, lessons, now.date()))))
    return 0


def _now() -> Any:
    from sevdrill.clock import SystemClock

    return SystemClock().wall()


def _read(options: argparse.Namespace, policy: Policy, history: History) -> Lesson:
    from sevdrill.history import Lesson
    from sevdrill.questions import questions

    asked = questions(policy, max(1, options.questions))
    if not asked:
        raise UsageError(f"{policy.cite} says too little to ask about")
    print(f"{len(asked)} questions about {policy.document.title} ({policy.cite}). Answer with a number.\n")
    right = 0
    for number, question in enumerate(asked, start=1):
        print(f"{number}. [{question.about}] {question.text}")
        for place, choice in enumerate(question.choices, start=1):
            print(f"   {place}) {choice}")
        first = True
        while _answer(len(question.choices)) != question.right + 1:
            first = False
            print("   no. Once more:")
        right += first
        print(f"   right: {question.why}\n")
    print(f"{right} of {len(asked)} right at the first try")
    return Lesson("read", _now(), f"{policy.cite}: {right} of {len(asked)} questions right at the first try")


def _answer(most: int) -> int:
    while True:
        print("   > ", end="", flush=True)
        said = sys.stdin.readline()
        if not said:
            raise UsageError("the answers ended before the questions did; nothing was kept")
        if said.strip().isdecimal() and 1 <= int(said) <= most:
            return int(said)
        print(f"   a number from 1 to {most}")


def _shadow(options: argparse.Namespace, policy: Policy, history: History) -> Lesson:
    from sevdrill.escaping import line
    from sevdrill.history import Lesson
    from sevdrill.onboarding import explained
    from sevdrill.rejudging import case_of

    try:
        speed = 0.0 if options.speed == "max" else float(options.speed.removesuffix("x"))
        if not 0 <= speed < 1e6:
            raise ValueError
    except ValueError:
        raise UsageError(f"--speed {options.speed}: expected a number such as 10, or max") from None
    folder = Path(options.what) if options.what else _latest(options.runs)
    if not (folder / "timeline.jsonl").exists():
        found = sorted(path.parent for path in folder.glob("*/timeline.jsonl"))
        if not found:
            raise RunError(f"{folder}: no timeline.jsonl here or one level below; give a folder under {options.runs}/")
        folder = found[0]
    case = case_of(folder)
    for text in explained(case, speed, time.sleep):
        print(line(text), flush=True)
    return Lesson("shadow", _now(), f"{case.scenario.drill} ({folder.parent.name}), {case.verdict.outcome}")


def _latest(runs: Path) -> Path:
    found = sorted(path.parent for path in runs.glob("*/*/timeline.jsonl"))
    if not found:
        raise UsageError(f"{runs}: no run to shadow yet; `pytest drills` makes one, or name one from elsewhere")
    return found[-1]


def _participate(options: argparse.Namespace, policy: Policy, history: History) -> Lesson:
    from sevdrill.training import read_drills

    drills = read_drills(options.drills)
    if options.what:
        file = options.what
    else:
        fitting = [drill for drill in drills if "onboarding" in drill.tags]
        if not fitting:
            raise UsageError(f"no drill in {options.drills} has the tag onboarding; name one")
        file = fitting[0].file
    print(f"pytest {file} --drill-mode live. In other terminals: sevdrill console, or sevdrill ack, hint, mitigated.\n")
    sys.stdout.flush()
    timeline = _run(options, file, hidden=None)
    return _lesson("participate", options.who, timeline)


def _lead(options: argparse.Namespace, policy: Policy, history: History) -> Lesson:
    from sevdrill.onboarding import joined_on, track_of
    from sevdrill.training import read_drills

    track, lessons, today = track_of(policy), history.lessons(options.who), _now().date()
    step = next((step for step in track.steps if step.does == "lead"), None)
    if step is not None and track.open_from(step, joined_on(lessons, today)) > today and not options.anyway:
        opens = track.open_from(step, joined_on(lessons, today))
        raise UsageError(f"{options.who} leads from {opens} on: {step.step} ({track.cite}); --anyway does not wait")
    drills = [drill for drill in read_drills(options.drills) if options.what in ("", drill.file)]
    drills = [drill for drill in drills if drill.breaks]
    if not drills:
        raise UsageError(f"no drill in {options.drills} can be led")
    drill = random.SystemRandom().choice(drills)
    print("A drill is chosen; its name comes when it is over. In other terminals: sevdrill console.\n", flush=True)
    timeline = _run(options, drill.file, hidden=drill)
    print(f"it was: {timeline.run.drill}")
    history.led(timeline.run.drill, options.who, timeline.run.wall)
    return _lesson("lead", options.who, timeline)


def _run(options: argparse.Namespace, file: str, hidden: Scheduled | None) -> Timeline:
    """Run one drill with people, and give its timeline; what is hidden stands in nothing that is shown meanwhile."""
    from sevdrill.timeline import Timeline

    before = set(options.runs.glob("*/*/timeline.jsonl"))
    command = [sys.executable, "-m", "pytest", file, "--drill-mode", "live"]
    if hidden is not None:
        # Consoles and `sevdrill status` name no drill that comes by surprise.
        command += ["--drill-surprise", SURPRISE]
    command += shlex.split(options.more)
    environment = {**os.environ, "SEVDRILL_NAME": options.who}
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE if hidden else None,
        stderr=subprocess.STDOUT if hidden else None,
        text=True,
    ) as process:
        if hidden is not None:
            assert process.stdout is not None
            for text in _hiding(process.stdout, hidden):
                print(text, end="", flush=True)
    new = sorted(set(options.runs.glob("*/*/timeline.jsonl")) - before)
    if not new:
        raise RunError(f"the drill left no timeline in {options.runs}, so it did not begin; pytest says why, above")
    return Timeline.load(new[-1])


def _hiding(lines: Any, drill: Scheduled) -> Iterator[str]:
    names = (drill.name, drill.file, Path(drill.file).name, Path(drill.file).stem)
    for text in lines:
        for name in names:
            text = text.replace(name, "(hidden)")
        yield text


def _lesson(step: str, who: str, timeline: Timeline) -> Lesson:
    from sevdrill.history import Lesson
    from sevdrill.lines import PersonLine
    from sevdrill.rejudging import judged

    said = list(timeline.of(PersonLine))
    did = [line for line in said if line.by == who and line.does != "hint"]
    # A hint that somebody else asked for was heard all the same.
    hints = sum(line.does == "hint" for line in said)
    verdict = judged(timeline)
    mtta = verdict.times.get("mtta")
    parts = [f"{timeline.run.drill}: {verdict.outcome}"]
    if mtta is not None:
        parts.append(f"acknowledged {mtta.hi:.0f} s after detection")
    parts.append("without a hint" if not hints else f"with {hints} hint{'s' if hints > 1 else ''}")
    if not did:
        parts.append(f"{who} did nothing, so it does not count")
    counts = bool(did) and verdict.outcome in ("passed", "failed")
    return Lesson(step, _now(), ", ".join(parts), hints, counts)


def _export(options: argparse.Namespace, policy: Policy, history: History) -> None:
    from sevdrill.onboarding import exported, track_of

    lessons = history.lessons(options.who)
    if not lessons:
        raise UsageError(f"nothing is known of {options.who}; `sevdrill onboard {options.who}` begins")
    text = exported(track_of(policy), options.who, lessons, _now().date())
    if not options.output:
        print(text, end="")
        return
    try:
        Path(options.output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{options.output}: cannot be written: {error.strerror}") from None
    print(f"{options.output}: written")
