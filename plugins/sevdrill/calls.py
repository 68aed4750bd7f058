"""Probes, steps and checks that are Python functions, for drills that are Python tests.

A drill's data names a function by a token; the function itself lives in the process that runs the test, for as long as
the test does. A recorded run needs no function to be judged again: what the functions said is on its timeline.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import ClassVar, Literal

from sevdrill.actions import Action
from sevdrill.checks import Check, Finding, Result
from sevdrill.errors import ActionError
from sevdrill.model import Model, Record
from sevdrill.ports import Ports, Reading
from sevdrill.probes import Probe
from sevdrill.timeline import Timeline

__all__ = ["CALLS", "Calls", "PythonAction", "PythonCheck", "PythonProbe", "look"]

Function = Callable[[], object]

_known: dict[str, Function] = {}
_count = itertools.count(1)
_lock = threading.Lock()


class Calls:
    """The functions of one test; nobody can call them any more once they are forgotten."""

    def __init__(self) -> None:
        self._tokens: list[str] = []

    def add(self, function: Function) -> str:
        """The token by which a drill's data names this function."""
        name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', repr(function))}"
        with _lock:
            token = f"{name}#{next(_count)}"
            _known[token] = function
        self._tokens.append(token)
        return token

    def forget(self) -> None:
        """Let go of all of them."""
        for token in self._tokens:
            _known.pop(token, None)
        self._tokens.clear()


def look(token: str) -> Reading:
    """Call a function and take what it does for a reading.

    Good when it returns None or something true; bad when it returns something false, or fails an ``assert``. A
    `Reading` is taken as it is. Any other exception leaves it unknown, which is never good.
    """
    function = _known.get(token)
    if function is None:
        return Reading(ok=None, why=f"the function {token} is not in this process; only its own test can call it")
    try:
        said = function()
    except AssertionError as error:
        return Reading(ok=False, why=str(error).strip() or "its assert failed")
    except Exception as error:  # what a user's function raises says nothing about the stack
        return Reading(ok=None, why=f"{type(error).__name__}: {error}")
    if isinstance(said, Reading):
        return said
    ok = said is None or bool(said)
    return Reading(ok=ok, why="" if ok else f"it returned {said!r}")


class PythonProbe(Probe):
    """A look at the stack by a Python function."""

    needs: ClassVar[tuple[type, ...]] = ()

    probe: Literal["python"]
    call: str
    """The function's token."""

    @property
    def title(self) -> str:
        return self.name or self.call

    def read(self, ports: Ports) -> Reading:
        return look(self.call)


class PythonAction(Action):
    """A runbook step by a Python function, proved by another."""

    needs: ClassVar[tuple[type, ...]] = ()

    action: Literal["python"]
    name: str = ""
    """What reports call it."""
    call: str
    """The token of the function that acts."""
    proof_call: str
    """The token of the function that looks whether it had its effect."""

    @property
    def title(self) -> str:
        return self.name or self.call

    def run(self, ports: Ports, record: Record) -> None:
        function = _known.get(self.call)
        if function is None:
            raise ActionError(f"the function {self.call} is not in this process; only its own test can call it")
        try:
            function()
        except Exception as error:
            raise ActionError(f"{type(error).__name__}: {error}") from error

    def proof(self, ports: Ports, record: Record) -> Reading:
        return look(self.proof_call)


class PythonCheck(Check):
    """Something that must be true once the stack has recovered, as a Python function sees it."""

    needs: ClassVar[tuple[type, ...]] = ()

    check: Literal["python"]
    name: str = ""
    """What reports call it."""
    call: str
    """The function's token."""

    @property
    def title(self) -> str:
        return self.name or self.call

    def read(self, ports: Ports) -> Record:
        reading = look(self.call)
        return {"ok": reading.ok, "why": reading.why}

    def settled(self, data: Record) -> bool:
        return data["ok"] is True

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        result = {True: Result.HOLDS, False: Result.BROKEN}.get(data["ok"], Result.UNKNOWN)
        return Finding(result, data["why"] or "the function found nothing wrong")


CALLS: tuple[type[Model], ...] = (PythonProbe, PythonAction, PythonCheck)
