"""What the fixtures `drill` and `stack` give to a test: a drill written in Python, and the running stack."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import pytest

from sevdrill.calls import CALLS, Calls
from sevdrill.diagnostics import load_data
from sevdrill.errors import SevdrillError, Unsupported, UsageError
from sevdrill.model import Model
from sevdrill.ports import Address, Endpoints, Lifecycle
from sevdrill.rejudging import RunResult
from sevdrill.state import STATE
from sevdrill.subtests import DrillNotPassed, run_drill

__all__ = ["PythonDrill", "RunningStack"]

P = TypeVar("P")
Function = Callable[[], object]


class PythonDrill:
    """Declares and runs the one drill of a test.

    ::

        @pytest.mark.drill(severity="SEV-2", tags=["cache"])
        def test_cache_down(drill):
            '''The cache dies; orders go on.'''
            drill.run(steady_state=..., inject=[...], detect=[...], respond=[...], verify=[...])

    The keys are those of a drill file. The mark may hold any of them; the drill's name is made from the test's, and
    ``about`` is its docstring, unless they are given.
    """

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._calls = Calls()
        self._ran = False

    def probe(self, look: Function, *, name: str = "", timeout: str = "2s") -> dict[str, Any]:
        """A probe that calls a function, for `steady_state` and `effect`.

        It is good when the function returns None or something true, and bad when it returns something false or an
        ``assert`` in it fails. It is called on a thread of its own, again and again, until the drill ends.
        """
        return {"probe": "python", "name": name or _name(look), "timeout": timeout, "call": self._calls.add(look)}

    def action(self, act: Function, *, proof: Function, name: str = "", timeout: str = "60s") -> dict[str, Any]:
        """A runbook step that calls ``act`` once; it is done when ``proof`` says so, as a probe would."""
        return {
            "action": "python",
            "name": name or _name(act),
            "timeout": timeout,
            "call": self._calls.add(act),
            "proof_call": self._calls.add(proof),
        }

    def check(self, look: Function, *, name: str = "", within: str = "0s") -> dict[str, Any]:
        """A check for `verify` that calls a function, as a probe would, until it holds or ``within`` is over."""
        return {"check": "python", "name": name or _name(look), "within": within, "call": self._calls.add(look)}

    def run(self, data: Mapping[str, Any] | None = None, /, **keys: Any) -> RunResult:
        """Run the drill, report it like one in YAML, and return what it came to when it passed.

        Raises:
            DrillNotPassed: it has mistakes, could not be run, or did not pass.
        """
        item = self._request.node
        if self._ran:
            raise DrillNotPassed(
                f"{item.nodeid}: a test runs one drill, and this one ran its own already; "
                "write another test, or parametrize this one"
            )
        self._ran = True
        state = item.config.stash[STATE]
        stated = {**self._defaults(), **(data or {}), **keys}
        location = item.reportinfo()
        try:
            loaded = load_data(
                {key: _plain(value) for key, value in stated.items()},
                item.path,
                (location[1] or 0) + 1,
                shown=item.nodeid,
                name=item.name.removeprefix("test_"),
                kinds=state.kinds(item).with_(CALLS),
                services=state.service_names or None,
            )
            state.hold_to_policy(loaded)
            loaded = state.with_stop(loaded)
        except SevdrillError as error:
            raise DrillNotPassed(str(error)) from None
        known = item.config.pluginmanager.hasplugin("subtests")
        return run_drill(item, loaded, self._request.getfixturevalue("subtests") if known else None)

    def _defaults(self) -> dict[str, Any]:
        item = self._request.node
        found: dict[str, Any] = {"drill": _title(item)}
        about = inspect.getdoc(getattr(item, "function", None))
        if about:
            found["about"] = " ".join(about.split())
        for mark in reversed(list(item.iter_markers("drill"))):
            found |= mark.kwargs
        return found

    def end(self) -> None:
        """The test is over: its functions are not called any more."""
        self._calls.forget()


class RunningStack:
    """The stack under drill, for a test's own code. It is started when it is first asked for something."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._state = request.config.stash[STATE]

    def url(self, url: str) -> str:
        """Where a URL of the stack, such as ``http://app:3000/health``, is reached from here, as its clients do."""
        return self[Endpoints].url(url)

    def direct(self, service: str, port: int) -> dict[str, Address]:
        """Where each running replica itself is reached, past any proxy, by the replica's name."""
        return self[Endpoints].direct(service, port)

    @property
    def services(self) -> list[str]:
        """Names of the stack's services."""
        return self[Lifecycle].services()

    @property
    def name(self) -> str:
        """The Compose project's name."""
        return str(self._stack().project)

    def __getitem__(self, port: type[P]) -> P:
        """A capability of the stack by its Protocol, such as ``stack[Exec]``; `sevdrill.ports` has them all."""
        try:
            found: P = self._stack().ports()[port]
        except Unsupported as error:
            pytest.skip(str(error))
        return found

    def _stack(self) -> Any:
        if self._state.dry_run:
            pytest.skip("dry run: the stack is not started")
        try:
            return self._state.open_session().stack
        except SevdrillError as error:
            raise DrillNotPassed(str(error)) from None


def _name(function: Function) -> str:
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise UsageError("a function without a name of its own needs one: name=...")
    return name.strip("_").replace("_", " ")


def _title(item: pytest.Item) -> str:
    base, bracket, rest = item.name.partition("[")
    words = base.removeprefix("test_").replace("_", " ").strip() or base
    return f"{words[:1].upper()}{words[1:]}{' [' + rest if bracket else ''}"


def _plain(value: Any) -> Any:
    """Kinds may be given as objects: ``inject=[ContainerStop(fault="container.stop", service="redis")]``."""
    if isinstance(value, Model):
        return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value
