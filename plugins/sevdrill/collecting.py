"""The evidence of a run, collected when everything is undone and before its stack goes."""

from __future__ import annotations

from pathlib import Path

from sevdrill.actions.evidence import ArchiveLogs
from sevdrill.errors import RunError, SevdrillError
from sevdrill.gathering import copy_archives, gather
from sevdrill.lines import Interval, StepLine
from sevdrill.masking import MASKER
from sevdrill.metering import Meter
from sevdrill.ports import Evidence, Ports
from sevdrill.reports.manifest import write_manifest
from sevdrill.scenario import Scenario
from sevdrill.timeline import TIMELINE, Timeline

__all__ = ["collect"]


def collect(
    ports: Ports, scenario: Scenario, run: Path, began: float, now: float, root: Path, meter: Meter | None
) -> None:
    """Collect evidence into the folder of a run, with a manifest of SHA-256 sums.

    ``began`` and ``now`` are monotonic seconds, ``root`` is the project under drill.
    """
    if Evidence not in ports:
        return
    folder = run / "evidence"
    try:
        files = ports[Evidence].collect(folder, Interval(began, began))
    except SevdrillError as error:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "errors.txt").write_text(f"{error}\n", encoding="utf-8")
        files = [folder / "errors.txt"]
    files += gather(ports, folder, now - began, root)
    files += copy_archives(ports, folder, _archived(scenario, run))
    if meter is not None:
        files.append(meter.write(folder))
    for file in files:
        # Whatever stack it comes from: evidence is passed around.
        file.write_bytes(MASKER.raw(file.read_bytes()))
    write_manifest(folder, files)


def _archived(scenario: Scenario, run: Path) -> list[str]:
    """Where the log archives are that steps of this run made: an older one is no evidence of it."""
    parts = {"investigate": scenario.investigate, "respond": scenario.respond, "close": scenario.close}
    urls = {
        (part, index): step.url
        for part, steps in parts.items()
        for index, step in enumerate(steps)
        if isinstance(step, ArchiveLogs)
    }
    try:
        lines = Timeline.load(run / TIMELINE).of(StepLine) if urls else ()
    except RunError:
        return []
    # One that was not made would give an older one.
    made = ((line.part, line.index) for line in lines if line.event == "ended" and line.ok)
    return [urls[step] for step in made if step in urls]
