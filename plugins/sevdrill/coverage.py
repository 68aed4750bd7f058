"""What of an SOP is drilled: a mapping from every section of the SOP to drills, or to the reason why there are none.

The sections and their parts come from the policy (`parts_of`); the mapping is a YAML file, one for each SOP. `load_map`
refuses a mapping with a gap: a section or part that it does not know, a drill that does not exist, an entry that says
nothing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from sevdrill.errors import UsageError
from sevdrill.model import Model
from sevdrill.modelfile import read_model
from sevdrill.reading import is_drill
from sevdrill.severity import Policy, load_policy, shipped_policies
from sevdrill.sop import Scenario, Text
from sevdrill.source import Place, Problem, Source
from sevdrill.wording import did_you_mean, report

__all__ = ["Covered", "DrillName", "SopMap", "coverage_of", "drill_names", "load_map", "parts_of"]


class Entry(Model):
    """What is said of one section or part."""

    drills: tuple[Text, ...] = ()
    """Names of the drills that exercise it: file names without their ending, `cache-down` for `test_cache_down`."""
    planned: tuple[Text, ...] = ()
    """Names of drills that will; one counts as soon as it exists."""
    reason: str = ""
    """Why no drill exercises it, or what else proves it."""


class Section(Entry):
    """One section of the SOP; one that has parts needs no words of its own."""

    parts: dict[str, Entry] = Field(default={})
    """Its procedures, rows and rules, each by its title in the SOP."""


class SopMap(Model):
    """Which drills exercise which section of an SOP."""

    sop: Text
    """The policy that was made of the SOP, such as `sop-001`."""
    sections: dict[str, Section]
    """Every section of the SOP, by its heading, word for word."""


@dataclass(frozen=True)
class DrillName:
    """A drill as a mapping names it."""

    name: str
    file: Path
    function: str = ""
    """The test's function, for a drill in Python."""

    def is_of(self, recorded: str, title: str) -> bool:
        """Whether a run's record of its file and title means this drill; of a test the title is made from its name."""
        same = Path(recorded.partition("::")[0]).parts[-1:] == self.file.parts[-1:]
        return same and (not self.function or re.sub(r"[^a-z0-9]+", "-", title.lower()).startswith(self.name))


@dataclass(frozen=True)
class Covered:
    """One section, or one part of it, and what drills it."""

    section: str
    part: str
    """Empty for the section itself."""
    drills: tuple[str, ...]
    planned: tuple[str, ...]
    """Those that do not exist yet."""
    reason: str

    @property
    def state(self) -> str:
        """`drilled`, `planned` or `reason`."""
        return "drilled" if self.drills else "planned" if self.planned else "reason"


# -- what there is in an SOP ------------------------------------------------------------------------------------------


def parts_of(policy: Policy) -> dict[str, tuple[str, ...]]:
    """The parts of each section that a mapping must speak of; a section without any is mapped as a whole.

    Parts are the rows of tables, the rules, the steps of scenarios, and procedures and lists that share a section.
    """
    found: dict[str, list[str]] = {section: [] for section in policy.document.sections}
    for section, part in _parts(policy):
        known = found.setdefault(section, [])
        if part != section and part not in known:
            known.append(part)
    return {section: tuple(parts) for section, parts in found.items()}


def _steps_of(policy: Policy, section: str) -> list[str]:
    """Steps of the section's procedures: a mapping may speak of each, where they are choices, and need not."""
    return [step.do for each in policy.procedures if each.source == section for step in each.steps]


def _parts(policy: Policy) -> Iterator[tuple[str, str]]:
    for scenario in policy.scenarios:
        yield from ((scenario.source, step) for step in _steps(scenario))
    for named in (*policy.procedures, *policy.checklists, *policy.guidance):
        if named.name not in policy.document.sections:
            yield named.source, named.name
    if policy.quick_fixes is not None:
        yield from ((policy.quick_fixes.source, row.symptom) for row in policy.quick_fixes.fixes)
    if policy.alerts is not None:
        yield from ((policy.alerts.source, row.alert) for row in policy.alerts.alerts)
    if policy.matrix is not None:
        for line in policy.matrix.rows:
            yield policy.matrix.source, f"{line.impact}, {line.users}, {line.downtime}"
    if policy.schedule is not None:
        yield from ((policy.schedule.source, week.drill) for week in policy.schedule.weeks)
    if policy.declare is not None:
        yield from ((rule.source, rule.do) for rule in policy.declare.rules)
    if policy.remedy is not None:
        for choice in (*policy.remedy.rules, *policy.remedy.consider):
            # A rule that was read out of a table or a checklist is mapped there.
            if choice.source not in {
                block.source for block in (policy.quick_fixes, policy.alerts) if block is not None
            }:
                yield choice.source, choice.sop


def _steps(scenario: Scenario) -> Iterator[str]:
    yield from (step.do for step in scenario.steps)
    yield from scenario.otherwise
    yield from scenario.escalation


# -- which drills there are -------------------------------------------------------------------------------------------


def drill_names(folder: Path) -> dict[str, DrillName]:
    """The drills in a folder by name: of a YAML file its name, of a test its function's.

    Raises:
        UsageError: there is no such folder, a Python file cannot be read, or two drills have the same name.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder; --drills names the folder with the drills")
    found: dict[str, DrillName] = {}
    for drill in (each for path in sorted(folder.rglob("*")) for each in _drills_in(path)):
        if drill.name in found:
            raise UsageError(
                f"{drill.file} and {found[drill.name].file} are both called {drill.name}, so nobody knows which one a "
                "mapping means; rename one of them"
            )
        found[drill.name] = drill
    return found


def _drills_in(path: Path) -> Iterator[DrillName]:
    if path.suffix in (".yml", ".yaml"):
        if is_drill(path):
            yield DrillName(path.stem, path)
    elif path.suffix == ".py" and path.name.startswith("test_"):
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            raise UsageError(f"{path}: cannot be read as Python: {error}") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and any("mark.drill" in ast.unparse(d) for d in node.decorator_list):
                yield DrillName(node.name.removeprefix("test_").replace("_", "-"), path, node.name)


# -- the mapping ------------------------------------------------------------------------------------------------------


def load_map(path: Path, drills: Mapping[str, DrillName]) -> tuple[Policy, SopMap]:
    """The mapping in a file, and the policy of its SOP.

    Raises:
        UsageError: the file cannot be read or has mistakes; the message has every one, with its place.
        PolicyError: there is no such policy.
    """
    try:
        source, problems, found = read_model(path, SopMap, "sop")
    except OSError as error:
        raise UsageError(f"{path}: the mapping cannot be read: {error.strerror or error}; check the path") from None
    if found is None:
        raise UsageError(report(str(path), source, problems))
    if found.sop not in shipped_policies() and Path(found.sop).suffix not in (".yml", ".yaml"):
        text, _ = did_you_mean("sop", found.sop, shipped_policies())
        raise UsageError(report(str(path), source, [Problem(source.span(("sop",)), text)]))
    policy = load_policy(found.sop)
    problems = list(_gaps(found, policy, sorted(drills), source))
    if problems:
        raise UsageError(report(str(path), source, problems))
    return policy, found


def _gaps(found: SopMap, policy: Policy, drills: list[str], source: Source) -> Iterator[Problem]:
    parts = parts_of(policy)
    for title, section in found.sections.items():
        place: Place = ("sections", title)
        if title not in parts:
            yield Problem(source.span(place), did_you_mean("section", title, [*parts], found.sections)[0])
            continue
        yield from _unknown(section, place, drills, source)
        for name, part in section.parts.items():
            here = (*place, "parts", name)
            known = [*parts[title], *_steps_of(policy, title)]
            if name not in known:
                yield Problem(source.span(here), did_you_mean("part", name, known, section.parts)[0])
            else:
                yield from _unknown(part, here, drills, source)
                yield from _empty(part, here, source)
        for name in parts[title]:
            if name not in section.parts:
                yield Problem(source.span(place), f'the part "{name}" of this section is not mapped')
        if not section.parts and not parts[title]:
            yield from _empty(section, place, source)
    for title in parts:
        if title not in found.sections:
            yield Problem(source.span(("sections",)), f'the section "{title}" of the SOP is not mapped')


def _empty(entry: Entry, place: Place, source: Source) -> Iterator[Problem]:
    if not (entry.drills or entry.planned or entry.reason.strip()):
        yield Problem(source.span(place), "no drill and no reason; give drills, planned or reason")


def _unknown(entry: Entry, place: Place, drills: list[str], source: Source) -> Iterator[Problem]:
    for index, name in enumerate(entry.drills):
        if name not in drills:
            yield Problem(source.span((*place, "drills", index)), did_you_mean("drill", name, drills, entry.drills)[0])


def coverage_of(found: SopMap, policy: Policy, drills: Mapping[str, DrillName]) -> list[Covered]:
    """Every section and part in the SOP's order; a planned drill that exists counts."""
    lines = []
    for title in parts_of(policy):
        section = found.sections[title]
        if not section.parts or section.drills or section.planned or section.reason:
            lines.append(_covered(title, "", section, drills))
        lines += [_covered(title, part, entry, drills) for part, entry in section.parts.items()]
    return lines


def _covered(section: str, part: str, entry: Entry, drills: Mapping[str, DrillName]) -> Covered:
    there = dict.fromkeys([*entry.drills, *(name for name in entry.planned if name in drills)])
    missing = tuple(name for name in entry.planned if name not in drills)
    return Covered(section, part, tuple(there), missing, entry.reason.strip())
