"""The command line: ``sevdrill judge``, ``validate``, ``kinds``, ``schema``, ``stop``, ``heal``, ``report``, and more.

Exit codes: 0 all is well; 1 a drill is not passed, or something could not be healed; 2 the command or a file is wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sevdrill.errors import SevdrillError, UsageError

if TYPE_CHECKING:
    from sevdrill.kinds import Kinds
    from sevdrill.rejudging import RunResult

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A file may have a name that is no UTF-8.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read along has seen enough, as `head` has; what is still unwritten has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    except SevdrillError as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sevdrill", description="Incident drills: judge, validate, heal.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    judge = commands.add_parser("judge", help="judge a recorded run again, under its own policy or another")
    judge.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, or one drill's folder in it")
    judge.add_argument("--policy", metavar="NAME|FILE", help="default: the policy that the run was judged by")
    judge.set_defaults(run=_judge)
    report = commands.add_parser("report", help="write the reports of a recorded run again, from its timeline")
    report.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, or one drill's folder in it")
    report.add_argument(
        "--record", action="store_true", help="also put the run into the history, where a killed run is not"
    )
    report.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    report.set_defaults(run=_report)
    validate = commands.add_parser("validate", help="look for mistakes in drill files; touches no stack")
    validate.add_argument("files", nargs="+", type=Path, metavar="FILE", help="drill files or folders of them")
    validate.add_argument("--policy", default="sop-001", metavar="NAME|FILE", help="hold targets against this policy")
    validate.add_argument(
        "--stack", action="append", type=Path, default=[], metavar="FILE", help="Compose file, to check service names"
    )
    validate.set_defaults(run=_validate)
    kinds = commands.add_parser("kinds", help="show every fault, action, detector, probe and check, with its settings")
    form = kinds.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="as JSON")
    form.add_argument("--markdown", action="store_true", help="as a page of Markdown, such as docs/kinds.md")
    kinds.set_defaults(run=_kinds)
    schema = commands.add_parser("schema", help="write the JSON Schema of drill files, for editors")
    schema.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: standard output")
    schema.set_defaults(run=_schema)
    for command in (judge, report, validate, kinds, schema):
        command.add_argument(
            "--conftest",
            action="append",
            type=Path,
            default=[],
            metavar="FILE",
            help="a conftest.py that adds kinds (default: those that pytest finds here and in drills/)",
        )
    stop = commands.add_parser("stop", help="stop a run that is under way, and wait until everything is undone")
    stop.add_argument("name", nargs="?", default="", metavar="RUN|STACK", help="default: every run of this folder")
    stop.add_argument("--within", default="3m", metavar="TIME", help="how long to wait for it (default: 3m)")
    stop.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    stop.add_argument("--real-incident", action="store_true", help="say so, and tell everybody that the drill is over")
    stop.add_argument("--runs", type=Path, default=Path("drill-runs"), metavar="DIR", help="default: drill-runs")
    stop.set_defaults(run=_stop)
    heal = commands.add_parser("heal", help="undo what killed runs left broken, and take down their stacks")
    heal.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    heal.set_defaults(run=_heal)
    down = commands.add_parser("down", help="take down a stack that was left up")
    down.add_argument("project", metavar="NAME", help="the stack's name, as the run printed it")
    down.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    down.set_defaults(run=_down)
    toxiproxy = commands.add_parser("toxiproxy", help="run the built-in Toxiproxy by itself; ends on Ctrl-C or SIGTERM")
    toxiproxy.add_argument(
        "--listen",
        default="127.0.0.1:8474",
        metavar="HOST:PORT",
        help="where its HTTP API listens (default: %(default)s); with port 0 the line that it prints says where",
    )
    toxiproxy.add_argument("--config", type=Path, metavar="FILE", help="proxies to begin with, a JSON array of them")
    toxiproxy.add_argument("--parent-pid", type=int, metavar="PID", help="end when this process does")
    toxiproxy.set_defaults(run=_toxiproxy)
    from sevdrill import commands as looking_back
    from sevdrill import people_commands, teaching, training
    from sevdrill.lookups import add_lookups

    looking_back.add_commands(commands)
    people_commands.add_commands(commands)
    training.add_commands(commands)
    teaching.add_commands(commands)
    add_lookups(commands)
    return parser


def _drill_folders(folder: Path) -> list[Path]:
    from sevdrill.errors import RunError

    if (folder / "timeline.jsonl").exists():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/timeline.jsonl"))
    if not found:
        raise RunError(f"{folder}: no timeline.jsonl here or one level below; give a folder under drill-runs/")
    return found


def _user_kinds(options: argparse.Namespace) -> Kinds:
    from sevdrill.conftests import user_kinds

    return user_kinds(options.conftest)


def _with_kinds(
    options: argparse.Namespace, kinds: Kinds | None, work: Callable[[Kinds | None], RunResult]
) -> RunResult:
    """Work with sevdrill's kinds, and only where they do not do with those of users: pytest takes its time."""
    from sevdrill.errors import RunError

    try:
        return work(kinds)
    except RunError:
        if kinds is not None:
            raise
        more = _user_kinds(options)
        return work(more)


def _kinds(options: argparse.Namespace) -> int:
    from sevdrill.reports.catalogue import catalogue, markdown, pages

    found = catalogue(_user_kinds(options))
    shown = markdown(found) if options.markdown else pages(found)
    print(json.dumps(found, indent=2) if options.json else "\n".join(shown))
    return 0


def _schema(options: argparse.Namespace) -> int:
    from sevdrill.diagnostics import schema

    text = json.dumps(schema(_user_kinds(options)), indent=2, sort_keys=True) + "\n"
    if options.output is None:
        print(text, end="")
    else:
        try:
            options.output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{options.output}: cannot be written: {error.strerror}") from None
    return 0


def _judge(options: argparse.Namespace) -> int:
    from sevdrill.rejudging import rejudge
    from sevdrill.reports.terminal import page, table

    kinds = _user_kinds(options) if options.conftest else None
    results = [
        _with_kinds(options, kinds, partial(rejudge, folder, options.policy))
        for folder in _drill_folders(options.folder)
    ]
    for result in results:
        print("\n".join(page(result.summary)))
    print("\n".join(table([result.summary for result in results])))
    return 0 if all(result.verdict.outcome == "passed" for result in results) else 1


def _report(options: argparse.Namespace) -> int:
    from sevdrill.rejudging import review

    folders, summaries = _drill_folders(options.folder), []
    for folder in folders:
        result = _with_kinds(options, None, partial(review, folder))
        summaries.append(result.summary)
        print(f"{folder}: {result.verdict.outcome}")
    if folders != [options.folder]:
        from sevdrill.aftermath import finish_run
        from sevdrill.clock import SystemClock

        summaries.sort(key=lambda drill: str(drill["began"]))
        now = SystemClock().wall()
        for line in finish_run(options.folder.resolve(), summaries, options.state, now, record=options.record):
            print(line)
    return 0


def _validate(options: argparse.Namespace) -> int:
    from sevdrill.diagnostics import load
    from sevdrill.errors import DrillFileError
    from sevdrill.reading import is_drill
    from sevdrill.session import load_and_check
    from sevdrill.severity import load_policy
    from sevdrill.stacks.files import service_names

    policy = load_policy(options.policy)
    services = service_names(options.stack) if options.stack else None
    files: list[Path] = []
    for path in options.files:
        files += sorted(p for p in path.rglob("*.y*ml") if is_drill(p)) if path.is_dir() else [path]
    kinds = _user_kinds(options)
    wrong = []
    for file in files:
        try:
            load_and_check(load(file, kinds=kinds, services=services, root=Path.cwd()), policy)
        except DrillFileError as error:
            wrong.append(str(error))
    if wrong:
        raise UsageError("\n".join(wrong))
    print(f"{len(files)} drill(s), no mistakes")
    return 0 if files else 2


def _heal(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock
    from sevdrill.healing import heal_all

    lines = 0
    for line in heal_all(options.state, SystemClock()):
        print(line)
        lines += 1
    if not lines:
        print("nothing to heal")
    return 0


def _stop(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock
    from sevdrill.escaping import block
    from sevdrill.stopping import stop
    from sevdrill.units import Duration

    try:
        within = Duration.parse(options.within)
    except ValueError as error:
        raise UsageError(f"--within {options.within}: expected {error}") from None
    name, runs = Path(options.name).name, options.runs
    for line in stop(options.state, name, SystemClock(), within, real_incident=options.real_incident, runs_dir=runs):
        print(block(line), flush=True)
    return 0


def _down(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock
    from sevdrill.stacks.choice import named

    named(options.project, options.state, SystemClock()).down()
    print(f"stack {options.project}: taken down")
    return 0


def _toxiproxy(options: argparse.Namespace) -> int:
    from sevdrill.toxiproxy.server.serve import serve

    serve(options.listen, options.config, options.parent_pid)
    return 0
