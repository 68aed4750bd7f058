"""A drill file as pytest collects it, and a drill as pytest runs it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from sevdrill.diagnostics import LoadedDrill, load
from sevdrill.errors import SevdrillError
from sevdrill.state import STATE

__all__ = ["Drill", "DrillFile"]


class DrillFile(pytest.File):
    """A YAML file that holds one drill."""

    def collect(self) -> Iterable[Drill]:
        """The drill, or every mistake of its file at once."""
        state = self.config.stash[STATE]
        try:
            kinds = state.kinds(self)
            loaded = load(self.path, kinds=kinds, services=state.service_names or None, root=self.config.rootpath)
            state.hold_to_policy(loaded)
            loaded = state.with_stop(loaded)
        except SevdrillError as error:
            raise self.CollectError(str(error)) from None
        yield Drill.from_parent(self, name=loaded.scenario.drill, callobj=_runner(loaded), loaded=loaded)


def _runner(loaded: LoadedDrill) -> Any:
    def drill_of_a_file(request: pytest.FixtureRequest) -> None:
        # What runs drills is not needed to collect them.
        from sevdrill.subtests import run_drill

        known = request.config.pluginmanager.hasplugin("subtests")
        run_drill(request.node, loaded, request.getfixturevalue("subtests") if known else None)

    return drill_of_a_file


class Drill(pytest.Function):
    """One drill: one pytest item."""

    def __init__(self, *, loaded: LoadedDrill, **more: Any) -> None:
        super().__init__(**more)
        self.loaded = loaded
        scenario = loaded.scenario
        self.add_marker(pytest.mark.drill)
        self.config.stash[STATE].mark(self, scenario.severity, scenario.tags)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the drill begins."""
        return self.path, self.loaded.line - 1, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A page for people; a traceback only for what sevdrill did not expect."""
        from sevdrill.subtests import DrillNotPassed

        if isinstance(excinfo.value, (DrillNotPassed, SevdrillError)):
            return str(excinfo.value)
        return super().repr_failure(excinfo)
