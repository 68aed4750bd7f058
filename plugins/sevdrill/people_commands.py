"""The commands of people in a drill: ``sevdrill ack``, ``note``, ``mitigated``, ``role``, ``announce`` and ``hint``."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["add_commands"]

STATUSES = ("declared", "investigating", "identified", "monitoring", "resolved")  # as in `following`, which costs time


def add_commands(commands: Any) -> None:
    """Add them to the command line."""
    ack = commands.add_parser("ack", help="acknowledge the incident of the drill that is under way")
    note = commands.add_parser("note", help="put a note on the drill's timeline")
    note.add_argument("text", nargs="+", metavar="TEXT", help="what is to be remembered")
    mitigated = commands.add_parser("mitigated", help="say that users no longer suffer")
    role = commands.add_parser("role", help="say who holds which role")
    role.add_argument("name", metavar="NAME", help="who")
    role.add_argument("role", nargs="+", metavar="ROLE", help="such as commander")
    announce = commands.add_parser("announce", help="tell people how things stand, in the words of the SOP")
    announce.add_argument("status", choices=STATUSES, metavar="STATUS", help=", ".join(STATUSES))
    announce.add_argument("--text", default="", metavar="TEXT", help="a sentence of your own, beside the template")
    announce.add_argument("--to", default="", metavar="WHO", help="such as status-page (default) or stakeholders")
    hint = commands.add_parser("hint", help="ask for the next hint of the drill; it is counted")
    speaking = (ack, note, mitigated, role, announce, hint)
    for command in speaking:
        command.add_argument("--as", dest="by", default="", metavar="NAME", help="who you are (default: your login)")
        command.set_defaults(run=_say, does=command.prog.split()[-1])
    status = commands.add_parser("status", help="show how the drill stands that is under way")
    status.add_argument("--json", action="store_true", help="as JSON")
    status.set_defaults(run=_status)
    service = commands.add_parser("service", help="list, restart, start or stop services of the stack under drill")
    service.add_argument("name", nargs="?", default="", metavar="SERVICE", help="default: list all")
    service.add_argument("what", nargs="?", default="status", choices=("status", "restart", "start", "stop"))
    service.set_defaults(run=_service)
    console = commands.add_parser("console", help="show the drill that is under way full-screen, and take part in it")
    console.add_argument("--as", dest="by", default="", metavar="NAME", help="who you are (default: your login)")
    console.add_argument("--web", action="store_true", help="as a page on this machine; prints its link")
    console.add_argument("--port", type=int, default=0, metavar="PORT", help="for --web (default: any free one)")
    console.set_defaults(run=_console)
    for command in (*speaking, status, service, console):
        command.add_argument("--run", dest="of", default="", metavar="RUN|STACK", help="which run, if several are")
        command.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")


def who(given: str) -> str:
    """Who speaks: as given, else by the environment, else by login."""
    if given or os.environ.get("SEVDRILL_NAME"):
        return given or os.environ["SEVDRILL_NAME"]
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def _say(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock
    from sevdrill.escaping import line as one_line
    from sevdrill.following import saying_of
    from sevdrill.speaking import drilling, say

    clock = SystemClock()
    sent = clock.now()
    by = who(options.by)
    what = getattr(options, "status", "")
    text = getattr(options, "text", "")
    text = text if isinstance(text, str) else " ".join(text)
    if options.does == "role":
        by, what, text = options.name, " ".join(options.role), f"said by {by}" if options.by else ""
    saying = saying_of(by=by, does=options.does, what=what, to=getattr(options, "to", ""), text=text, at=sent)
    found = say(drilling(options.state, options.of), saying, clock)
    told = " ".join(filter(None, (found["does"], found["what"], found["text"])))
    print(one_line(f"on the timeline: {found['by']}: {told}"))
    return 0


def _status(options: argparse.Namespace) -> int:
    import json

    from sevdrill.shown import status_lines
    from sevdrill.speaking import drilling
    from sevdrill.view import View

    found = View(drilling(options.state, options.of).timeline).snapshot()
    print(json.dumps(found, indent=2) if options.json else "\n".join(status_lines(found)))
    return 0


def _service(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock
    from sevdrill.errors import UsageError
    from sevdrill.escaping import line as one_line
    from sevdrill.healing import attach_to
    from sevdrill.ports import Lifecycle
    from sevdrill.speaking import the_run

    lifecycle = attach_to(the_run(options.state, options.of).path, SystemClock()).ports()[Lifecycle]
    services = lifecycle.services()
    if options.name and options.name not in services:
        raise UsageError(f"the stack has no service {options.name}; it has {', '.join(services)}")
    names = [replica.name for replica in lifecycle.replicas(options.name)] if options.name else []
    if options.what in ("stop", "restart"):
        running = [replica.name for replica in lifecycle.replicas(options.name) if replica.running]
        if running:
            lifecycle.stop(options.name, running)
    if options.what in ("start", "restart"):
        lifecycle.start(options.name, names)
    for service in [options.name] if options.name else services:
        for replica in lifecycle.replicas(service):
            health = {True: ", healthy", False: ", not healthy", None: ""}[replica.healthy]
            print(one_line(f"{replica.name:<24} {'runs' + health if replica.running else 'does not run'}"))
    return 0


def _console(options: argparse.Namespace) -> int:
    from sevdrill.clock import SystemClock
    from sevdrill.errors import UsageError
    from sevdrill.following import Following

    following = Following(options.state, options.of, SystemClock())
    try:
        if options.web:
            from sevdrill.webconsole import serve

            serve(following, options.port, lambda link: print(link, flush=True))
            return 0
        from sevdrill.console import Console
    except ImportError as error:
        raise UsageError(
            f"the console needs {error.name}, which is not installed: pip install 'pytest-sevdrill[console]'"
        ) from None
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the console needs a terminal; `sevdrill status` shows the drill in plain lines")
    Console(following, who(options.by)).run()
    return 0
