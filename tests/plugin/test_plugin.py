"""The plugin as pytest's users meet it; no stack is started here."""

from __future__ import annotations

import pytest

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
tags: [database, on-call]
steady_state:
  probes: [{probe: http, url: "http://app:3000/health"}]
inject: [{fault: container.kill, service: db}]
detect: [{alert: DatabaseDown}]
respond: [{action: restart, service: db}]
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    (pytester.path / "docker-compose.drill.yml").write_text(COMPOSE, encoding="utf-8")
    pytester.makepyprojecttoml('[tool.pytest]\nstrict = true\naddopts = ["-p", "no:cacheprovider"]\n')
    return pytester


def test_a_yaml_file_with_the_key_drill_is_collected_and_every_other_is_left_alone(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=DRILL, other="services: {drill: 1}\n", broken="a: [b\ndrilling: x\n")
    result = project.runpytest_inprocess("--collect-only", "-q")
    result.stdout.fnmatch_lines(["down.yml::Database down", "1 test collected in *"])
    assert result.ret == 0


def test_a_named_file_that_is_no_drill_is_an_error_that_says_so(project: pytest.Pytester) -> None:
    project.makefile(".yml", other="services: {}\n")
    result = project.runpytest_inprocess("other.yml")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*other.yml*drill*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_every_mistake_is_reported_at_once_and_nothing_runs(project: pytest.Pytester) -> None:
    wrong = DRILL.replace("service: db}", "servcie: db}", 1).replace("SEV-1", "SEV-9").replace("url:", "ulr:")
    project.makefile(".yml", down=wrong)
    project.makepyfile(test_never="def test_never(): print('it ran')")
    result = project.runpytest_inprocess("-s")
    assert result.ret == 2
    result.stdout.fnmatch_lines(
        ["down.yml:2:11: *SEV-9*", 'down.yml:*"ulr"*did you mean "url"*', 'down.yml:*"servcie"*did you mean "service"*']
    )
    result.stdout.no_fnmatch_line("*it ran*")
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_service_that_the_stack_has_not_is_a_mistake(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=DRILL.replace("restart, service: db", "restart, service: bd"))
    result = project.runpytest_inprocess()
    assert result.ret == 2
    result.stdout.fnmatch_lines(['down.yml:*"bd"*did you mean "db"*'])


def test_a_target_looser_than_the_policy_is_a_mistake_unless_it_is_waived(project: pytest.Pytester) -> None:
    loose = DRILL + "targets: {recover: 20m}\nlimit: 1h\n"
    project.makefile(".yml", down=loose)
    result = project.runpytest_inprocess("--collect-only")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["down.yml:*20m*15m*"])
    project.makefile(".yml", down=loose + 'waive: [{target: recover, because: "the restore takes that long"}]\n')
    assert project.runpytest_inprocess("--collect-only").ret == 0


def test_an_unknown_policy_is_told_without_a_traceback(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=DRILL)
    result = project.runpytest_inprocess("--drill-policy", "sop-01")
    assert result.ret == 2
    result.stdout.fnmatch_lines(['*no policy "sop-01", did you mean "sop-001"*'])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_drills_are_chosen_by_severity_and_tag(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=DRILL, other=DRILL.replace("SEV-1", "SEV-2").replace("Database down", "Other"))
    result = project.runpytest_inprocess("--collect-only", "-q", "-m", "sev1 and on_call", "-W", "error")
    result.stdout.fnmatch_lines(["down.yml::Database down", "*1/2 tests collected*"])


def test_without_an_engine_the_drill_fails_with_a_short_message(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{project.path}/no.sock")
    project.makefile(".yml", down=DRILL)
    result = project.runpytest_subprocess()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*engine*"])
    result.stdout.no_fnmatch_line("*Traceback*")
    assert not list((project.path / ".sevdrill").glob("journal/*.jsonl"))


def test_a_project_without_drills_notices_nothing(project: pytest.Pytester) -> None:
    project.makefile(".yml", config="a: 1\n")
    project.makepyfile(
        """
        import sys

        def test_nothing_heavy_was_imported():
            heavy = {"docker", "httpx", "locust", "toxiproxy", "pydantic", "yaml"} & set(sys.modules)
            assert not heavy

        def test_no_signal_handler_is_installed():
            import signal
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        """
    )
    result = project.runpytest_subprocess("-p", "no:locust")
    result.assert_outcomes(passed=2)
    result.stdout.no_fnmatch_line("*drill*passed*")
    assert not (project.path / "drill-runs").exists()
    assert not (project.path / ".sevdrill").exists()


def test_what_a_project_calls_drill_itself_is_no_drill_of_ours(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def drill():
            return 8

        def test_a_fixture(drill):
            assert drill == 8

        @pytest.mark.parametrize("drill", [10, 12])
        def test_an_argument(drill):
            assert drill > 8
        """
    )
    result = project.runpytest_subprocess()
    result.assert_outcomes(passed=3)
    assert result.ret == 0, "in CI, drills that were not run fail a run; these are none"
    result.stdout.no_fnmatch_line("sevdrill: *")


def test_what_a_project_builds_on_the_fixture_drill_is_a_drill(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        import pytest

        @pytest.fixture
        def drill(drill):
            return drill

        def test_mine(drill): ...

        def test_other(): ...
        """
    )
    result = project.runpytest_inprocess("-m", "drill", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*::test_mine", "*1/2 tests collected (1 deselected)*"])


def test_it_can_be_switched_off(project: pytest.Pytester) -> None:
    project.makefile(".yml", down=DRILL)
    result = project.runpytest_inprocess("-p", "no:sevdrill")
    assert result.ret == 5


def test_stop_conditions_for_every_drill_are_checked_like_drills_and_shown_in_the_plan(
    project: pytest.Pytester,
) -> None:
    project.makepyprojecttoml(
        '[tool.pytest]\nstrict = true\ndrill_stop = "stop.yml"\naddopts = ["-p", "no:cacheprovider"]\n'
    )
    project.makefile(".yml", down=DRILL, stop='stop: [{probe: http, url: "http://ap:3000/", status: "5xx"}]\n')
    result = project.runpytest_inprocess("down.yml")
    assert result.ret == 2
    result.stdout.fnmatch_lines(['*stop.yml:1:*unknown service "ap", did you mean "app"?'])
    result.stdout.no_fnmatch_line("*Traceback*")
    project.makefile(".yml", stop='stop: [{probe: http, url: "http://app:3000/", status: "5xx"}]\n')
    own = DRILL + "stop: [{probe: tcp, service: db, port: 5432}]\n"
    project.makefile(
        ".yml",
        down=own.replace("detect: [{alert: DatabaseDown}]\n", "").replace(
            "steady_state:", "steady_state:\n  throughout: true"
        ),
    )
    result = project.runpytest_inprocess("down.yml", "--drill-dry-run")
    result.stdout.fnmatch_lines(
        ["  stop: db accepts connections on 5432", "  stop: GET http://app:3000/ is 5xx"], consecutive=True
    )


def test_only_the_drills_of_a_week_are_run(project: pytest.Pytester) -> None:
    project.makefile(
        ".yml",
        one=DRILL.replace("on-call", "rollback").replace("Database down", "Rolled back"),
        two=DRILL.replace("Database down", "Something else"),
    )
    project.makepyfile(test_other="def test_other(): pass")
    result = project.runpytest_inprocess("--collect-only", "-q", "--drill-week", "1")
    result.stdout.fnmatch_lines(["one.yml::Rolled back", "test_other.py::test_other", "2/3 tests collected (1 desel*"])
    result = project.runpytest_inprocess("--collect-only", "--drill-week", "5")
    result.stdout.fnmatch_lines(
        ["sevdrill: *week 5 of the month, Free choice (gpt-platform, *SOP-001 has no drill sch*"]
    )
    result.stdout.fnmatch_lines(["*3 tests collected*"])
    result = project.runpytest_inprocess("one.yml", "two.yml", "--drill-week", "2", "--drill-dry-run")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["*no drill here is for week 2 of the month, Database failover*the tag failover"])
    result = project.runpytest_inprocess("--drill-week", "often")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(['*--drill-week is "often", but expected auto*'])
