"""The habits of pytest's users, with the drills' session stubbed: no stack is started here."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET

import made_up
import pytest

from sevdrill.reports.terminal import waited

pytest_plugins = ["pytester"]

COMPOSE = """
x-sevdrill: {target: staging, entry: "http://app:3000"}
services:
  app: {image: app}
  db: {image: db}
"""
DRILL = """
drill: Database down
severity: SEV-1
tags: [database]
steady_state:
  probes: [{probe: http, url: "http://app:3000/health"}]
inject: [{fault: container.kill, service: db}]
detect: [{alert: DatabaseDown}]
respond: [{action: restart, service: db}]
"""
# Stands in for the stack: writes what a run of the drill would have recorded, and judges it for real.
STUB = """
import datetime as dt
import sys

import pytest

from sevdrill import session
from sevdrill.errors import Unsupported
from sevdrill.lines import RunLine

sys.path.insert(0, {helpers!r})


@pytest.fixture(autouse=True)
def stubbed(monkeypatch):
    import made_up

    def run(self, loaded, listener=None):
        scenario = loaded.scenario
        if "unsupported" in scenario.tags:
            raise Unsupported("this stack lacks Proxies")
        changes = {{"alert": False}} if "silent" in scenario.tags else {{}}
        lines = made_up.incident(scenario, **({{"detected": None}} if changes else {{}}))
        if "sick" in scenario.tags:
            from sevdrill.lines import Stopped
            why = "the stack was not healthy before the fault"
            lines.insert(-1, Stopped(kind="invalid", reason=why, t=lines[-1].t))
        wall = dt.datetime.now(dt.UTC).isoformat()
        lines[0] = lines[0].model_copy(update={{"policy": self.options.policy, "wall": wall}})
        folder = self._folder(loaded)
        made_up.recorded(folder, lines)
        self.last = session.review(folder, scenario.kinds)
        return self.last

    monkeypatch.setattr(session.DrillSession, "run", run)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    (pytester.path / "docker-compose.drill.yml").write_text(COMPOSE, encoding="utf-8")
    pytester.makepyprojecttoml('[tool.pytest]\nstrict = true\nfilterwarnings = ["error"]\n')
    pytester.makeconftest(STUB.format(helpers=str(made_up.__file__).rpartition("/")[0]))
    return pytester


def drill(name: str, *tags: str, severity: str = "SEV-1") -> str:
    text = DRILL.replace("Database down", name).replace("SEV-1", severity)
    return text.replace("[database]", f"[{', '.join(('database', *tags))}]")


def summary(project: pytest.Pytester) -> dict[str, str]:
    (found,) = (project.path / "drill-runs").glob("*/summary.json")
    return {each["drill"]: each["outcome"] for each in json.loads(found.read_text(encoding="utf-8"))["drills"]}


def test_a_drill_that_passes_has_a_subtest_for_each_of_its_parts(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=DRILL)
    result = project.runpytest_subprocess("-v", "-o", "verbosity_subtests=1")
    result.stdout.fnmatch_lines(
        [
            "*SUBPASSED?detect: alert DatabaseDown fires?*",
            "*SUBPASSED?recover: recover within *",
            "*SUBPASSED?respond: restart db?*",
            "*SUBPASSED?verify: alert DatabaseDown is resolved?*",
            "down.yml::Database down PASSED*",
        ]
    )
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 1


def test_a_drill_that_fails_counts_once_and_names_the_phase_of_each_failing_part(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=drill("Silent", "silent"))
    result = project.runpytest_inprocess("-v", "--junit-xml=junit.xml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*= 1 failed, * subtests passed, * subtests failed in *"])
    result.stdout.fnmatch_lines(["*SUBFAILED?detect: alert DatabaseDown fires?*", "*FAILED: Silent*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    (case,) = ET.parse(project.path / "junit.xml").iter("testcase")
    messages = [failure.get("message", "") for failure in case.iter("failure")]
    assert any("detect: alert DatabaseDown fires: " in message for message in messages)
    names = {each.get("name") for each in case.iter("property")}
    assert {"drill_outcome", "target_recover_seconds"} <= names


def test_a_run_leaves_its_pages_and_its_history_and_tells_what_failed(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "step.md"))
    project.makefile(".yml", a=drill("Silent", "silent"), b=drill("Heard"))
    result = project.runpytest_inprocess("--color=yes")
    (folder,) = (project.path / "drill-runs").glob("*")
    assert {"index.html", "summary.json", "a", "b"} == {path.name for path in folder.iterdir()}
    left = {"timeline.jsonl", "summary.json", "postmortem.md", "report.html"}
    assert left == {path.name for path in (folder / "a").iterdir()}
    assert (project.path / ".sevdrill" / "history.db").exists()
    assert "FAILED" in (project.path / "step.md").read_text(encoding="utf-8")
    told = result.stdout.str()
    assert "what happened (from injected):" in told
    assert "injected: container.kill on db" in told
    assert "checks:" not in told
    (row,) = (line for line in told.splitlines() if "Silent" in line and "SEV-1" in line and "never/" in line)
    assert row.startswith("\x1b[31m")


def test_no_color_is_respected(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    # Colours are asked for, and pytester's own refusal of them is taken away: what is left is NO_COLOR.
    monkeypatch.delenv("PY_COLORS")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    project.makefile(".yml", a=drill("Silent", "silent"))
    result = project.runpytest_inprocess()
    assert "Silent" in result.stdout.str()
    assert "\x1b[" not in result.stdout.str()


def test_x_stops_after_the_first_drill_and_its_report_is_whole(project: pytest.Pytester) -> None:
    project.makefile(".yml", a=drill("First", "silent"), b=drill("Second"))
    result = project.runpytest_inprocess("-x", "-v")
    assert summary(project) == {"First": "failed"}
    text = result.stdout.str()
    assert "FAILED: First" in text
    # The parts after the first failing one are told too.
    assert text.count("SUBFAILED") >= 2
    assert "stopping after" in text


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        (["-k", "Second"], "Second"),
        (["-m", "sev1 and database"], "First"),
        (["-m", "sev2 or sev1", "-W", "error"], "First Second"),
        (["-q"], "First Second"),
        (["-p", "no:terminal"], "First Second"),
        (["-p", "no:cacheprovider"], "First Second"),
        (["-p", "no:subtests"], "First Second"),
        (["-n", "2"], "First Second"),
    ],
    ids=" ".join,
)
def test_options_that_everybody_uses(project: pytest.Pytester, options: list[str], chosen: str) -> None:
    project.makefile(".yml", a=drill("First"), b=drill("Second", severity="SEV-2"))
    # The workers of xdist are processes that must find everything anew.
    run = project.runpytest_subprocess if "-n" in options else project.runpytest_inprocess
    result = run(*options)
    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    assert " ".join(sorted(summary(project))) == chosen
    assert "Warning" not in result.stdout.str()
    if " " in chosen and "no:terminal" not in options:
        result.stdout.fnmatch_lines(["2 drills took * s; *% of it was waiting for the stack"])


def test_what_was_no_work_of_our_own_was_waiting() -> None:
    assert waited([(60.0, 1.0), (40.0, 4.0)]) == "2 drills took 100 s; 95% of it was waiting for the stack"
    assert waited([(240.0, 24.0)] * 3) == "3 drills took 12 min; 90% of it was waiting for the stack"


def test_collect_only_runs_nothing(project: pytest.Pytester) -> None:
    project.makefile(".yml", a=drill("First"))
    result = project.runpytest_inprocess("--co", "-q")
    result.stdout.fnmatch_lines(["a.yml::First"])
    assert not (project.path / "drill-runs").exists()


def test_lf_runs_again_what_failed(project: pytest.Pytester) -> None:
    project.makefile(".yml", a=drill("First"), b=drill("Second", "silent"))
    project.runpytest_inprocess()
    result = project.runpytest_inprocess("--lf", "-v")
    result.stdout.fnmatch_lines(["*b.yml::Second FAILED*"])
    result.stdout.no_fnmatch_line("*a.yml::First*PASSED*")


def test_invalid_is_shown_as_what_it_is_and_has_no_subtests(project: pytest.Pytester) -> None:
    project.makefile(".yml", a=drill("First", "sick"))
    result = project.runpytest_inprocess("-v")
    result.stdout.fnmatch_lines(["*a.yml::First INVALID*", "*not healthy before*"])
    result.stdout.no_fnmatch_line("*SUBFAILED*")
    assert result.ret == 1


@pytest.mark.parametrize(("ci", "code"), [("true", 1), ("", 0)])
def test_with_ci_a_run_that_executed_no_drill_fails(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str, code: int
) -> None:
    monkeypatch.setenv("CI", ci)
    project.makefile(".yml", a=drill("First", "unsupported"))
    result = project.runpytest_inprocess()
    assert result.ret == code
    assert ("1 drill was selected and none was run" in result.stdout.str()) is bool(ci)


def test_with_ci_one_drill_that_ran_is_enough(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    project.makefile(".yml", a=drill("First", "unsupported"), b=drill("Second"))
    assert project.runpytest_inprocess().ret == 0


def test_the_header_is_there_only_when_there_are_drills(project: pytest.Pytester) -> None:
    project.makepyfile("def test_it(): pass")
    assert "sevdrill: policy" not in project.runpytest_inprocess().stdout.str()
    project.makefile(".yml", a=drill("First"))
    for options in ([], ["a.yml"], ["--drill-policy", "playbook"]):
        text = project.runpytest_inprocess(*options).stdout.str()
        assert text.count("sevdrill: policy") == 1
        assert "docker-compose.drill.yml" in text


PYTHON = """
import pytest

@pytest.mark.drill(severity="SEV-2", tags=["cache", "on-call"])
def test_database_down(drill):
    '''The database dies.'''
    result = drill.run(
        steady_state={"probes": [{"probe": "http", "url": "http://app:3000/health"}]},
        inject=[{"fault": "container.kill", "service": "db"}],
        detect=[{"alert": "DatabaseDown"}],
        respond=[{"action": "restart", "service": "db"}],
    )
    assert result.verdict.outcome == "passed"
"""


def test_a_drill_in_python_is_judged_and_reported_like_one_in_yaml(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=PYTHON)
    result = project.runpytest_inprocess("-m", "sev2 and on_call", "-v", "--junit-xml=junit.xml")
    assert result.ret == 0, result.stdout.str()
    assert summary(project) == {"Database down": "passed"}
    (folder,) = (project.path / "drill-runs").glob("*/database-down")
    recorded = json.loads((folder / "timeline.jsonl").read_text(encoding="utf-8").partition("\n")[0])
    assert recorded["scenario"]["about"] == "The database dies."
    assert 'name="mttr_seconds"' in (project.path / "junit.xml").read_text(encoding="utf-8")


def test_mistakes_of_a_drill_in_python_are_told_with_their_path_of_keys(project: pytest.Pytester) -> None:
    wrong = PYTHON.replace('"service": "db"}],\n        detect', '"servcie": "db"}],\n        detect')
    project.makepyfile(test_it=wrong.replace('"url"', '"ulr"').replace("SEV-2", "SEV-9"))
    result = project.runpytest_inprocess()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            '*test_it.py::test_database_down: steady_state.probes?0?.ulr: unknown key "ulr", did you mean "url"*',
            '*inject?0?.servcie: unknown key "servcie", did you mean "service"*',
        ]
    )
    result.stdout.fnmatch_lines(["*: severity: *SEV-9*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*def test_database_down*")


def test_a_test_runs_one_drill(project: pytest.Pytester) -> None:
    project.makepyfile(test_it=PYTHON + "    drill.run()\n")
    result = project.runpytest_inprocess()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*a test runs one drill*"])


KIND = """
from typing import ClassVar, Literal

from sevdrill.faults import Fault, State
from sevdrill.ports import Lifecycle


class Gremlin(Fault):
    '''A gremlin sits on a service.'''

    needs: ClassVar[tuple[type, ...]] = (Lifecycle,)
    fault: Literal["gremlin"]
    service: str
    '''Where it sits.'''

    @property
    def services(self):
        return (self.service,)

    def prepare(self, ports):
        return {}

    def inject(self, ports, record):
        pass

    def undo(self, ports, record):
        '''It is shooed away.'''

    def state(self, ports, record):
        return State.OFF


def pytest_sevdrill_kinds():
    return [Gremlin]
"""


COMMANDS = """
import contextlib, io, json, sys
from sevdrill.cli import main
results = []
for command in sys.argv[1:]:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        results.append([main(command.split()), out, err])
print(json.dumps([[code, out.getvalue(), err.getvalue()] for code, out, err in results]))
"""


@pytest.fixture
def gremlin(project: pytest.Pytester) -> pytest.Pytester:
    stub = (project.path / "conftest.py").read_text(encoding="utf-8")
    (project.path / "conftest.py").write_text(stub + KIND, encoding="utf-8")
    project.makefile(".yml", a=DRILL.replace("container.kill", "gremlin"))
    return project


def sevdrill(project: pytest.Pytester, *commands: str) -> list[pytest.RunResult]:
    """Run commands one after another in one fresh process, which has its imports behind it but once."""
    shown = project.run(sys.executable, "-c", COMMANDS, *commands)
    assert shown.ret == 0, shown.stdout.str() + shown.stderr.str()
    return [
        pytest.RunResult(code, out.splitlines(), err.splitlines(), 0)
        for code, out, err in json.loads(shown.stdout.str())
    ]


def test_a_kind_of_ones_own_works_like_sevdrills(gremlin: pytest.Pytester) -> None:
    result = gremlin.runpytest_inprocess()
    assert result.ret == 0, result.stdout.str()
    (folder,) = (gremlin.path / "drill-runs").glob("*")
    commands = [f"judge {folder}", f"report {folder}", "validate a.yml", "schema -o schema.json"]
    *others, shown, as_json = sevdrill(gremlin, *commands, "kinds", "kinds --json --conftest conftest.py")
    assert [(each.ret, each.errlines) for each in others] == [(0, [])] * 4
    shown.stdout.fnmatch_lines(["  gremlin: *gremlin sits on a service", "*needs: Lifecycle", "*undo: *shooed away"])
    found = json.loads(as_json.stdout.str())
    (mine,) = [each for each in found if each["kind"] == "gremlin"]
    assert [each["name"] for each in mine["settings"] if each["required"]] == ["service"]
    schema = json.loads((gremlin.path / "schema.json").read_text(encoding="utf-8"))
    assert "Gremlin" in schema["$defs"]


def test_a_misspelt_setting_of_ones_own_kind_is_told(gremlin: pytest.Pytester) -> None:
    gremlin.makefile(".yml", a=DRILL.replace("container.kill, service", "gremlin, sevrice"))
    result = gremlin.runpytest_inprocess()
    assert result.ret == 2
    result.stdout.fnmatch_lines(['a.yml:*unknown key "sevrice", did you mean "service"*'])


def test_something_that_is_no_kind_is_told_without_a_traceback(gremlin: pytest.Pytester) -> None:
    file = gremlin.path / "conftest.py"
    file.write_text(file.read_text(encoding="utf-8").replace("[Gremlin]", "[int]"), encoding="utf-8")
    result = gremlin.runpytest_inprocess()
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*is no kind*"])
    (shown,) = sevdrill(gremlin, "kinds")
    assert "is no kind" in shown.stderr.str()


def test_a_journal_finds_the_kind_of_a_conftest_again_and_says_when_its_file_is_gone(gremlin: pytest.Pytester) -> None:
    script = f"""
import importlib.util, pathlib
spec = importlib.util.spec_from_file_location("conftest", {str(gremlin.path / "conftest.py")!r})
module = importlib.util.module_from_spec(spec)
import sys
sys.modules["conftest"] = module
spec.loader.exec_module(module)
from sevdrill.clock import SystemClock
from sevdrill.journal import Journal
journal = Journal(pathlib.Path("state"), "run", SystemClock(), {{"project": "x"}}, keep=True)
journal.owe("a:0", module.Gremlin(fault="gremlin", service="db"), {{}}, 60)
"""
    assert gremlin.run(sys.executable, "-c", script).ret == 0
    read = """
import pathlib
from sevdrill.journal import JournalFile
for _ in range(2):
    found = JournalFile.read(pathlib.Path("state/journal/run.jsonl"))
    print([debt.fault.title for debt in found.debts.values()], found.lost)
    pathlib.Path("conftest.py").unlink(missing_ok=True)
"""
    there, gone = gremlin.run(sys.executable, "-c", read).outlines
    assert there == "['gremlin on db'] {}"
    assert re.search(r"\[\] .*conftest.py, which is gone; put it back", gone)
