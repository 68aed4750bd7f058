"""What of the SOPs is drilled: the project's own mappings are whole, and a gap in one is always said."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sevdrill.cli import main
from sevdrill.coverage import coverage_of, drill_names, load_map, parts_of
from sevdrill.errors import UsageError
from sevdrill.history import History
from sevdrill.severity import load_policy, shipped_policies

ROOT = Path(__file__).parents[2]
MAPS = ROOT / "docs" / "coverage"
SOPS = ROOT.parent / "shared" / "sops"


@pytest.mark.parametrize("name", shipped_policies())
def test_every_section_of_the_sop_has_drills_or_a_reason(name: str) -> None:
    drills = drill_names(ROOT / "drills")
    policy, found = load_map(MAPS / f"{name}.yml", drills)
    lines = coverage_of(found, policy, drills)
    assert policy.policy == name
    assert {line.section for line in lines} == set(policy.document.sections)


@pytest.mark.parametrize("name", shipped_policies())
def test_every_source_of_the_policy_is_a_section(name: str) -> None:
    """The headings are data of the project: without the SOP at hand nothing can be cited that is none of them."""
    policy = load_policy(name)
    assert set(parts_of(policy)) == set(policy.document.sections)
    assert len(set(policy.document.sections)) == len(policy.document.sections)

    def sources(data: Any) -> set[str]:
        if isinstance(data, dict):
            own = {str(data[key]) for key in ("source", "actions_source", "watch_source") if data.get(key)}
            return own.union(*map(sources, data.values())) if data else own
        return set().union(*map(sources, data)) if isinstance(data, list | tuple) else set()

    assert sources(policy.model_dump()) <= {*policy.document.sections}


@pytest.mark.skipif(not SOPS.exists(), reason="the SOPs are not beside this checkout")
@pytest.mark.parametrize("name", shipped_policies())
def test_the_sections_are_the_headings_of_the_sop(name: str) -> None:
    policy = load_policy(name)
    text = (SOPS / policy.document.file).read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    assert list(policy.document.sections) == [heading.strip() for heading in headings[1:]]


def test_no_drill_of_the_project_is_without_a_section() -> None:
    drills = drill_names(ROOT / "drills")
    maps = [load_map(MAPS / f"{name}.yml", drills) for name in shipped_policies()]
    used = {drill for policy, found in maps for line in coverage_of(found, policy, drills) for drill in line.drills}
    assert sorted(set(drills) - used) == []


class Project:
    """A folder with a drill and a mapping of the project's own, to be broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in drill_names(ROOT / "drills"):
            self.drill(f"{name}.yml")
        self.data: dict[str, Any] = yaml.safe_load((MAPS / "sop-001.yml").read_text(encoding="utf-8"))

    def drill(self, name: str, text: str = "drill: x\n") -> None:
        path = self.folder / "drills" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @property
    def sections(self) -> dict[str, Any]:
        return self.data["sections"]  # type: ignore[no-any-return]

    def run(self, *options: str) -> int:
        text = yaml.safe_dump(self.data, sort_keys=False, allow_unicode=True, width=1000)
        (self.folder / "docs" / "coverage").mkdir(parents=True, exist_ok=True)
        (self.folder / "docs" / "coverage" / "sop-001.yml").write_text(text, encoding="utf-8")
        return main(["coverage", *options])


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("Git Revert",), None, 'the section "Git Revert" of the SOP is not mapped'),
        (("Git Reverts",), {"reason": "x"}, 'unknown section "Git Reverts"'),
        (("Git Revert",), {}, "no drill and no reason; give drills, planned or reason"),
        (("Git Revert",), {"reason": "  "}, "no drill and no reason"),
        (("Git Revert",), {"drills": ["databse-down"]}, 'unknown drill "databse-down", did you mean "database-down"?'),
        (("Git Revert",), {"drill": ["database-down"]}, 'unknown key "drill", did you mean "drills"?'),
        (("Common Alerts", "parts", "Build failures"), None, 'the part "Build failures" of this section is not mapped'),
        (("Common Alerts", "parts", "Build failure"), {"reason": "x"}, 'did you mean "Build failures"?'),
        (("Common Alerts", "parts", "Build failures"), {"drills": ["nope"]}, 'unknown drill "nope"'),
        (("Common Alerts",), {"drills": ["database-down"]}, 'the part "500 errors spike" of this section'),
    ],
)
def test_a_gap_is_said_with_its_place(
    project: Project, capsys: pytest.CaptureFixture[str], place: tuple[str, ...], value: Any, message: str
) -> None:
    inside = project.sections
    for key in place[:-1]:
        inside = inside[key]
    if value is None:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    assert project.run() == 2
    error = capsys.readouterr().err
    assert message in error
    assert re.search(r"^docs/coverage/sop-001\.yml:\d+:\d+: ", error, re.MULTILINE)


def test_all_gaps_are_said_at_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    del project.sections["Git Revert"]
    project.sections["Docker Rollback"] = {"drills": ["nope"]}
    assert project.run() == 2
    error = capsys.readouterr().err
    assert "Git Revert" in error
    assert "nope" in error


def test_it_says_when_each_drill_last_passed(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    common = {"drill": "Down", "severity": "SEV-1", "policy": "sop-001", "stack": "s", "targets": [], "times": {}}
    runs = [("one", "2026-01-01", "passed"), ("two", "2026-01-03", "passed"), ("three", "2026-01-05", "failed")]
    for run, day, outcome in runs:
        drill = {**common, "file": "drills/database-down.yml", "began": f"{day}T00:00:00+00:00", "outcome": outcome}
        History(project.folder / ".sevdrill" / "history.db").record(run, [drill])
    assert project.run() == 0
    shown = capsys.readouterr().out
    assert "database-down (passed 2026-01-03)" in shown
    assert "bad-release-rollback (never passed here)" in shown
    assert "database-down" not in shown.partition("never passed here: ")[2]
    assert project.run("--missing") == 0
    shown = capsys.readouterr().out
    assert "  Incident Response Flow" not in shown
    assert "  Docker Rollback: bad-release-rollback (never passed here)" in shown


def test_a_drill_in_python_is_known_by_its_function(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    text = "@pytest.mark.drill(severity='SEV-2')\ndef test_key_rejected(drill): ...\n\ndef test_no(): ...\n"
    project.drill("test_more.py", text)
    assert sorted(set(drill_names(project.folder / "drills")) & {"key-rejected", "no"}) == ["key-rejected"]
    project.sections["Git Revert"] = {"drills": ["key-rejected"]}
    common = {"severity": "SEV-2", "policy": "sop-001", "stack": "s", "targets": [], "times": {}}
    done = {**common, "outcome": "passed", "began": "2026-02-01T00:00:00+00:00"}
    file = "/a/drills/test_more.py"
    other = {**done, "began": "2026-02-09T00:00:00+00:00", "file": file, "drill": "Other"}
    mine = {**done, "file": file, "drill": "Key rejected"}
    History(project.folder / ".sevdrill" / "history.db").record("one", [mine, other])
    assert project.run() == 0
    assert "Git Revert: key-rejected (passed 2026-02-01)" in capsys.readouterr().out


def test_a_planned_drill_counts_as_soon_as_it_exists(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.sections["Git Revert"] = {"planned": ["git-revert"]}
    assert project.run("--json") == 0
    assert _section(capsys, "Git Revert")["state"] == "planned"
    project.drill("deeper/git-revert.yml")
    assert project.run("--json") == 0
    found = _section(capsys, "Git Revert")
    assert (found["state"], found["planned"]) == ("drilled", [])
    assert found["drills"] == [{"drill": "git-revert", "last_passed": None}]


def _section(capsys: pytest.CaptureFixture[str], section: str) -> dict[str, Any]:
    (sop,) = json.loads(capsys.readouterr().out)
    return next(line for line in sop["sections"] if line["section"] == section)  # type: ignore[no-any-return]


def test_two_drills_of_one_name_are_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.drill("deeper/database-down.yml")
    assert project.run() == 2
    assert "are both called database-down" in capsys.readouterr().err


def test_what_is_no_mapping_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["coverage", "nowhere.yml"]) == 2
    assert "nowhere.yml: there is no mapping of an SOP to drills" in capsys.readouterr().err
    assert main(["coverage", "drills/database-down.yml"]) == 2
    assert "unknown key" in capsys.readouterr().err
    project.data["sop"] = "sop-002"
    assert project.run() == 2
    assert 'unknown sop "sop-002", did you mean "sop-001"?' in capsys.readouterr().err


def test_a_mapping_of_an_unknown_folder_of_drills(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such folder; --drills names"):
        drill_names(tmp_path / "none")
