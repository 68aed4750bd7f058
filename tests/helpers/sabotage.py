"""What tests of single drills share: a stack of their own for each module, and ways to break one part of a drill."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drill_root import PROJECT, DrillRoot, Result, docker

from sevdrill.clock import SystemClock
from sevdrill.stacks.compose import ComposeConfig, ComposeStack


class SabotagedRoot(DrillRoot):
    """A folder with drills, and the timelines of their runs."""

    def timeline(self, result: Result) -> list[dict[str, Any]]:
        """The lines of the run's only timeline."""
        (path,) = result.folder.glob("*/timeline.jsonl")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def own_stack(folder: Path) -> Iterator[SabotagedRoot]:
    """One stack for all the runs of a module; nothing is left of it afterwards."""
    root = SabotagedRoot(folder)
    files = (PROJECT / "docker-compose.drill.yml",)
    try:
        # Here already, so that each test can be run alone; the drills' runs find it up.
        ComposeStack(ComposeConfig(files, root.project, folder / ".sevdrill"), SystemClock()).up()
        yield root
    finally:
        root.down()
    left = docker("ps", "-aq", "--filter", f"label=sevdrill.project={root.project}")
    for kind in ("volume", "network"):
        left += docker(kind, "ls", "-q", "--filter", f"label=com.docker.compose.project={root.project}")
    assert left == ""
    assert root.journals() == []


@contextmanager
def without_alert(root: DrillRoot, alert: str) -> Iterator[None]:
    """The rule is there, but its alert has another name: the one that the drill waits for never fires."""
    prometheus, rules = f"{root.project}-prometheus-1", "/etc/prometheus/rules.yml"

    def rename(old: str, new: str) -> None:
        docker("exec", "-u", "0", prometheus, "sed", "-i", f"s/alert: {old}$/alert: {new}/", rules)
        docker("kill", "--signal", "HUP", prometheus)

    rename(alert, "Renamed")
    try:
        yield
    finally:
        rename("Renamed", alert)
