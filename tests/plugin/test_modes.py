"""The options that say who responds; no stack is started here."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

COMPOSE = """
x-sevdrill: {target: staging, monitoring: {alertmanager: "http://app:9093"}}
services:
  app: {image: app}
  db: {image: db}
"""
DRILL = """
drill: Database down
severity: SEV-1
targets: {mitigate: 60s}
steady_state:
  probes: [{probe: http, url: "http://app:3000/health"}]
inject: [{fault: container.kill, service: db}]
detect: [{alert: DatabaseDown}]
respond: [{action: restart, service: db}]
limit: 3m
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    (pytester.path / "docker-compose.drill.yml").write_text(COMPOSE, encoding="utf-8")
    pytester.makepyprojecttoml('[tool.pytest]\nstrict = true\naddopts = ["-p", "no:cacheprovider"]\n')
    pytester.makefile(".yml", down=DRILL)
    return pytester


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--drill-mode", "manual"], "*invalid choice: 'manual'*"),
        (["--drill-surprise", "10m"], "*--drill-surprise is for people: use it with --drill-mode live*"),
        (["--drill-mode", "observe", "--drill-surprise", "10m"], "*use it with --drill-mode live*"),
        (["--drill-mode", "live", "--drill-surprise", "10"], '*--drill-surprise is "10", but expected *'),
        (["--drill-limit", "soon"], '*--drill-limit is "soon", but expected *'),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(project: pytest.Pytester, options: list[str], said: str) -> None:
    result = project.runpytest_inprocess(*options)
    assert result.ret == 4
    result.stderr.fnmatch_lines([said])
    result.stderr.no_fnmatch_line("*Traceback*")


def test_a_dry_run_shows_what_each_mode_would_do(project: pytest.Pytester) -> None:
    shown = {
        mode: project.runpytest_inprocess("--drill-dry-run", "--drill-mode", mode).stdout.str()
        for mode in ("auto", "live", "observe")
    }
    assert "restart db" in shown["auto"]
    assert "people" in shown["live"]
    for mode in ("live", "observe"):
        assert f"mode {mode}" in shown[mode]
        assert "restart db" not in shown[mode]
    # What waits for people is held against the SOP, and they are given its time.
    assert "at most 17m" in shown["live"]
    assert "at most 4m" in shown["observe"]


def test_a_limit_that_is_shorter_than_a_target_is_refused(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess("--drill-dry-run", "--drill-limit", "30s")
    assert result.ret == 1
    result.stdout.fnmatch_lines(['*the drill "Database down" limits mitigate (1m), which is longer than the 30s*'])
