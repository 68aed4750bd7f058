"""The pytest plugin: `pytest drills/` runs incident drills.

Imports nothing but pytest and the standard library at its top: a project without drills must not notice it.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sevdrill.state import KIND, STATE, SUMMARY, State

if TYPE_CHECKING:
    from sevdrill.fixtures import PythonDrill, RunningStack
    from sevdrill.item import DrillFile

MAYBE = re.compile(rb"""(?:^|[{,])\s*["']?drill["']?\s*:""", re.MULTILINE)
_OURS = "_sevdrill_drill"
"""The fixture under `drill`: a project may have a fixture or an argument `drill` of its own, which is none of ours."""


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """The hook by which users add kinds."""
    from sevdrill import hooks

    pluginmanager.add_hookspecs(hooks)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini keys, all beginning with ``drill``."""
    group = parser.getgroup("sevdrill", "incident drills")
    group.addoption("--drill-policy", default="", metavar="NAME|FILE", help="severity policy (default: sop-001)")
    group.addoption(
        "--drill-stack",
        dest="drill_stack_kind",
        default="",
        metavar="auto|compose|embedded",
        help="containers, or child processes; auto (default): Compose where an engine answers, else embedded",
    )
    group.addoption(
        "--drill-keep", action="store_true", help="leave the stack up after the run, and use it again the next time"
    )
    group.addoption(
        "--drill-project", default="", metavar="NAME", help="use the stack of this name, and leave it up after the run"
    )
    group.addoption(
        "--drill-allow-remote",
        default="",
        metavar="HOST",
        help="allow the container engine of another machine, by name",
    )
    group.addoption("--drill-runs", default="", metavar="DIR", help="where reports go (default: drill-runs)")
    group.addoption(
        "--drill-dry-run", action="store_true", help="show what each drill would do; starts nothing, touches nothing"
    )
    group.addoption(
        "--drill-blast-radius",
        default="",
        metavar="services=N,replicas=P%",
        help="the most that a drill may hit (default: services=1,replicas=50%%)",
    )
    group.addoption(
        "--drill-notify",
        action="append",
        default=[],
        metavar="[READERS=]URL",
        help="send messages to this Apprise URL, too (default: they are only recorded); may be given several times",
    )
    group.addoption("--drill-contacts", default="", metavar="FILE", help="who is who, for the SOP's escalation path")
    group.addoption(
        "--drill-approval",
        default="",
        metavar="author|person",
        help="whose yes a step with `approve: true` needs: its author gave it beforehand (default), or a person now",
    )
    group.addoption(
        "--drill-week",
        default="",
        metavar="auto|1..5",
        help="only the drills of this week of the month, by the SOP's schedule (auto: the week that today is in)",
    )
    group.addoption(
        "--drill-mode",
        default="auto",
        choices=("auto", "live", "observe"),
        help="who responds: the tool by the runbook (auto, the default), people (live), or nobody (observe)",
    )
    group.addoption(
        "--drill-surprise",
        default="",
        metavar="TIME",
        help="with --drill-mode live: break things at a random moment within this time, such as 10m",
    )
    group.addoption(
        "--drill-limit", default="", metavar="TIME", help="overall limit of each drill of this run, such as 20m"
    )
    parser.addini("drill_contacts", "file that says who is who, for the SOP's escalation path", default="")
    parser.addini("drill_approval", "whose yes a step with `approve: true` needs: author or person", default="author")
    parser.addini("drill_notify", "Apprise URLs that messages are sent to, one a line", type="linelist", default=[])
    parser.addini("drill_policy", "severity policy: a shipped name or a file", default="sop-001")
    parser.addini(
        "drill_stack", "Compose files of the stack under drill", type="args", default=["docker-compose.drill.yml"]
    )
    parser.addini("drill_stack_kind", "kind of stack: auto, compose or embedded", default="auto")
    parser.addini("drill_runs", "where reports go, relative to the root", default="drill-runs")
    parser.addini("drill_blast_radius", "the most that a drill may hit, such as services=2,replicas=100%", default="")
    parser.addini("drill_max_limit", "the longest that a drill may take", default="30m")
    parser.addini("drill_stop", "file with stop conditions for every drill, relative to the root", default="")
    parser.addini("drill_patience", "how long the stack may take to be steady before the fault", default="60s")


def pytest_configure(config: pytest.Config) -> None:
    """Make the plugin's state, and have drills reported."""
    from sevdrill import reporting

    config.stash[STATE] = state = State(config)
    if config.getoption("drill_surprise") or config.getoption("drill_limit"):
        _check_times(state)
    config.pluginmanager.register(reporting, "sevdrill-reporting")
    config.pluginmanager.register(reporting.Collector(state), "sevdrill-collector")
    for severity in (1, 2, 3, 4):
        config.addinivalue_line("markers", f"sev{severity}: a drill of severity SEV-{severity}")
    config.addinivalue_line(
        "markers", "drill(**keys): an incident drill in Python; keys as in a drill file, such as severity and tags"
    )


def _check_times(state: State) -> None:
    from sevdrill.errors import UsageError

    try:
        surprise, _ = state.asked_time("surprise"), state.asked_time("limit")
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if surprise and state.mode != "live":
        raise pytest.UsageError("--drill-surprise is for people: use it with --drill-mode live")


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that uses the fixture `drill` is a drill; its mark says of which severity and with which tags."""
    if _OURS not in getattr(item, "fixturenames", ()):
        return
    if item.get_closest_marker("drill") is None:
        item.add_marker("drill")
    keys: dict[str, Any] = {}
    for mark in reversed(list(item.iter_markers("drill"))):
        keys |= mark.kwargs
    tags = keys.get("tags")
    item.config.stash[STATE].mark(item, keys.get("severity", ""), tags if isinstance(tags, list | tuple) else ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With ``--drill-week``, leave only the drills of that week; tests that are no drills stay."""
    if not config.getoption("drill_week"):
        return
    from sevdrill.errors import SevdrillError

    try:
        week, title = config.stash[STATE].week
    except SevdrillError as error:
        raise pytest.UsageError(str(error)) from None
    if week is None:
        return
    wanted = {tag.replace("-", "_") for tag in week.tags}
    left: list[pytest.Item] = []
    out: list[pytest.Item] = []
    for item in items:
        is_drill = item.get_closest_marker("drill") is not None
        fits = any(mark.name in wanted for mark in item.iter_markers())
        (left if fits or not is_drill else out).append(item)
    if not any(item.get_closest_marker("drill") for item in left):
        config.stash[STATE].said.append(f"no drill here is for {title}: none has the tag {' or '.join(week.tags)}")
    config.hook.pytest_deselected(items=out)
    items[:] = left


@pytest.fixture(name=_OURS)
def _python_drill(request: pytest.FixtureRequest) -> Iterator[PythonDrill]:
    from sevdrill.fixtures import PythonDrill

    made = PythonDrill(request)
    yield made
    made.end()


@pytest.fixture
def drill(_sevdrill_drill: PythonDrill) -> PythonDrill:
    """Declares and runs an incident drill in Python; judged and reported like one in YAML."""
    return _sevdrill_drill


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> RunningStack:
    """The running stack under drill: its URLs, replicas and capabilities."""
    from sevdrill.fixtures import RunningStack

    return RunningStack(request)


def _headline(state: State) -> str:
    files = ", ".join(os.path.relpath(file, state.config.rootpath) for file in state.stack_files)
    try:
        policy = state.policy.policy
    except Exception as error:  # said again, in full, where it matters
        policy = str(error).partition("\n")[0]
    mode = f"; mode {state.mode}" if state.mode != "auto" else ""
    week = ""
    if state.config.getoption("drill_week"):
        with contextlib.suppress(Exception):  # said again, in full, where it matters
            week = f"; {state.week[1]}"
    more = f"{mode}{week}{'; dry run' if state.dry_run else ''}"
    return f"sevdrill: policy {policy}; stack {files} ({state.stack_kind}){more}"


def pytest_report_header(config: pytest.Config) -> str | None:
    """Stack and policy, when drills are asked for; else `pytest_report_collectionfinish` says it if there are some."""
    state = config.stash[STATE]
    asked = any(str(name).startswith("--drill") for name in config.invocation_params.args)
    asked = asked or any(argument.partition("::")[0].endswith((".yml", ".yaml")) for argument in config.args)
    if not asked:
        return None
    state.announced = True
    return _headline(state)


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> str | None:
    """Stack and policy, when drills were found."""
    state = config.stash[STATE]
    if state.announced or not any(item.get_closest_marker("drill") for item in items):
        return None
    return _headline(state)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go of the terminal."""
    state = config.stash.get(STATE, None)
    if state is not None and state.terminal_fd is not None:
        os.close(state.terminal_fd)
        state.terminal_fd = None


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> DrillFile | None:
    """A YAML file with the top-level key `drill` is a drill; every other one is left alone."""
    if file_path.suffix not in (".yml", ".yaml"):
        return None
    named = parent.session.isinitpath(file_path)
    if not named and not _may_be_drill(file_path):
        return None
    from sevdrill.reading import is_drill

    if not named and not is_drill(file_path):
        return None
    from sevdrill.item import DrillFile

    collected: DrillFile = DrillFile.from_parent(parent, path=file_path)
    return collected


def _may_be_drill(path: Path) -> bool:
    from sevdrill.opening import open_file

    try:
        with open_file(path) as file:
            return MAYBE.search(file.read(2_000_000)) is not None
    except OSError:
        return False


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """SIGTERM ends a run with drills as Ctrl-C does, and neither tears an undo apart."""
    state = session.config.stash[STATE]
    drills = any(item.get_closest_marker("drill") for item in session.items)
    if not drills or session.config.option.collectonly:
        return (yield)
    from sevdrill.errors import UsageError
    from sevdrill.shield import Shield

    if not state.dry_run:
        try:
            # A run that must not choose by itself, or could not send what it is to send, ends before anything starts.
            state.choice, state.addresses, state.approval  # noqa: B018
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None
    state.shield = Shield()
    state.terminal_fd = _terminal(session.config)
    with state.shield.installed():
        try:
            return (yield)
        finally:
            if state.session is not None:
                _close(state)


def _close(state: State) -> None:
    from sevdrill.errors import SevdrillError

    assert state.session is not None
    try:
        state.session.close()
    except SevdrillError as error:
        state.said.append(f"{error}\nrun `sevdrill heal` to try again")
        state.unhealed = True


def _terminal(config: pytest.Config) -> int | None:
    """A descriptor of the real terminal, if there is one: output is captured while drills run."""
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")
    if reporter is None or not reporter.isatty:
        return None
    try:
        if capture is None:
            return os.dup(sys.__stdout__.fileno()) if sys.__stdout__ is not None else None
        with capture.global_and_fixture_disabled():
            return os.dup(1)
    except OSError:
        return None


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Every xdist worker writes into the one folder of the run."""
    state = node.config.stash[STATE]
    node.workerinput[SUMMARY] = str(state.run_folder)
    if state.announced:
        from sevdrill.errors import UsageError

        try:
            node.workerinput[KIND] = state.choice.kind
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What an xdist worker has to say when it is done."""
    state = node.config.stash[STATE]
    found = getattr(node, "workeroutput", {}).get(SUMMARY, {})
    state.said += found.get("said", [])
    state.summaries += found.get("summaries", [])
    state.spent += found.get("spent", [])
    state.unhealed |= found.get("unhealed", False)
