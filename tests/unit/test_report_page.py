"""`report.html` from made-up timelines: the story, the clock, the plot, the checklists, and that nothing is markup."""

from __future__ import annotations

import html
import json
import math
import re
import time
from pathlib import Path

import pytest
from looked_at import LOG, case, with_load
from made_up import DATABASE_DOWN, QUIET, ROLLBACK, incident, quiet, recorded, scenario

from sevdrill.lines import End, FaultLine, Line, Note, PhaseLine, Sample, StepLine, Stopped, Users
from sevdrill.reports.case import Case
from sevdrill.reports.checklists import ticked
from sevdrill.reports.deciding import decisions
from sevdrill.reports.html import report_page
from sevdrill.reports.logs import errors_in_logs
from sevdrill.reports.plotting import POINTS, figure, thinned
from sevdrill.reports.story import story
from sevdrill.reports.summary import summary
from sevdrill.reports.terminal import page, painted
from sevdrill.severity import load_policy

DRILL = scenario(DATABASE_DOWN)
GOLDEN = {
    "passed": (incident(DRILL), "Everything that had to be proved was proved, in time: the stack recovered in 8 s."),
    "failed": (
        incident(DRILL, detected=50.0, mitigated=None, recovered=None),
        "It failed because of this: recover: the steady state never came back and held (and 5 more).",
    ),
    "invalid": (
        incident(DRILL, fault_on=False),
        "It says nothing about the system: the fault had no effect: container.kill on db was never seen on the stack.",
    ),
    "aborted": (
        [
            *[line for line in incident(DRILL) if line.t < 13],
            Stopped(t=13, kind="aborted", reason="interrupted by Ctrl-C"),
            PhaseLine(t=13.1, name="restore"),
            FaultLine(t=13.5, index=0, fault="x", title="x", event="undone"),
            End(t=14),
        ],
        "It was ended before it could be judged: interrupted by Ctrl-C.",
    ),
    "killed": (
        [line for line in incident(DRILL) if line.t < 13],
        (
            "It was ended before it could be judged: the run was killed in its phase respond: its timeline has no end "
            "(and 1 more)."
        ),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_outcome_and_why_in_one_sentence(name: str) -> None:
    lines, sentence = GOLDEN[name]
    made = case(lines)
    assert made.sentence == sentence
    page = html.unescape(report_page(made))
    assert sentence in page
    assert {"killed": "ABORTED"}.get(name, name.upper()) in page


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_timelines_give_the_expected_story(name: str, tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "app.log").write_text(LOG, encoding="utf-8")
    made = case(with_load(GOLDEN[name][0], 0.8), tmp_path)
    told = [*page({**summary(made.verdict, made.timeline), "story": story(made)}, 0)]
    assert told == (Path(__file__).parent / "stories" / f"{name}.txt").read_text(encoding="utf-8").splitlines()


def test_the_clock_of_a_run_that_was_ended_says_not_reached_where_it_is_no_miss() -> None:
    for name, words in (("aborted", "recover the drill's own not reached 90 s not judged"), ("failed", "never 90 s")):
        page = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", report_page(case(GOLDEN[name][0])))))
        assert words in page
    assert "not reached" not in report_page(case(GOLDEN["passed"][0]))


def test_each_reason_names_the_lines_that_it_rests_on() -> None:
    made = case(GOLDEN["failed"][0])
    page = html.unescape(report_page(made))
    assert made.verdict.reasons
    for reason, lines in zip(made.verdict.reasons, made.verdict.rests_on, strict=True):
        assert f"{reason} <small>timeline.jsonl:{','.join(map(str, lines))}</small>" in page


def test_every_prefix_of_a_run_has_its_report() -> None:
    lines = incident(DRILL)
    for count in range(1, len(lines), 97):
        assert "What happened" in report_page(case(lines[:count]))


def test_the_clock_shows_each_time_with_its_width_its_limit_and_whose_limit_it_is() -> None:
    plain = scenario(DATABASE_DOWN, targets={"detect": "1s"})
    page = re.sub(r"<[^>]*>|\s+", " ", report_page(case(incident(plain), drill=plain)))
    page = html.unescape(re.sub(r"\s+", " ", page))
    assert "detect the drill's own 2 s (±110 ms) 1 s ✖ MISSED" in page
    assert 'recover SOP-001, "Severity Levels": derived from the response time 8 s (±110 ms) 15 min ✔ met' in page


@pytest.mark.parametrize(
    ("detected", "said"),
    [
        (15.0, "Users felt it before the monitoring saw it, by 4.2 s to 4.6 s."),
        (10.2, "The monitoring saw it before users felt it, by 180 ms to 620 ms."),
        (10.5, "Users and the monitoring noticed it at the same time (within 220 ms)."),
        (None, "the monitoring never saw it."),
    ],
)
def test_whether_users_felt_it_before_the_monitoring_saw_it(detected: float | None, said: str) -> None:
    made = case(incident(DRILL, detected=detected, mitigated=70.0, recovered=72.0))
    assert made.felt.endswith(said)


def test_the_plot_has_every_mark_target_and_event() -> None:
    made = case(with_load(incident(DRILL), 0.8))
    drawn = figure(made)
    names = {mark["text"] for mark in drawn["marks"]}
    assert {"Fault injected", "Users feel it", "Alert fires", "Page delivered", "First message"} <= names
    assert {"First response done", "Mitigated", "Recovered"} <= names
    assert {"detect within 30 s", "recover within 90 s", "respond within 15 min"} <= names
    missed = figure(case(incident(DRILL, detected=50.0, mitigated=70.0, recovered=72.0)))["marks"]
    assert {"detect within 30 s, MISSED", "recover within 90 s"} <= {mark["text"] for mark in missed}
    by_name = {trace["name"]: trace for trace in drawn["data"]}
    assert max(by_name["error rate of users, %"]["y"]) == 80
    assert max(by_name["p95 of users, ms"]["y"]) == 110
    assert {"marks", "targets", "fault", "alert", "pages", "messages", "steps"} <= by_name.keys()
    # On one axis: what is drawn at the alert's mark is where the alert's lane turns.
    assert {trace["xaxis"] for trace in drawn["data"]} == {"x"}
    alert = next(mark["x"] for mark in drawn["marks"] if mark["text"] == "Alert fires")
    assert by_name["alert"]["x"][0] == alert
    assert by_name["alert: DatabaseDown: is so"]["x"][0] == pytest.approx(alert, abs=0.2)


def test_where_no_request_ended_the_plot_has_a_gap_and_says_so() -> None:
    nothing = Users(requests=0, failures=0)
    lines = [
        line.model_copy(update={"users": nothing}) if isinstance(line, Sample) and line.users and not line.ok else line
        for line in with_load(incident(DRILL), 0.8)
    ]
    by_name = {trace["name"]: trace for trace in figure(case(lines))["data"]}
    waits = by_name["users wait: no request ended"]["x"]
    rates = by_name["error rate of users, %"]
    assert len(waits) > 10
    assert {x for x, y in zip(rates["x"], rates["y"], strict=True) if y is None} == set(waits)
    assert set(rates["y"]) == {0, None}
    assert "users wait: no request ended" not in {trace["name"] for trace in figure(case(incident(DRILL)))["data"]}


def test_what_differs_in_colour_differs_in_shape() -> None:
    drawn = figure(case(incident(DRILL)))
    symbols = [t["marker"]["symbol"] for t in drawn["data"] if t["mode"] == "markers"]
    assert len(symbols) == len(set(symbols))
    lanes = {t["name"].rpartition(": ")[2]: t["line"] for t in drawn["data"] if t.get("yaxis") == "y3"}
    assert lanes["good"]["width"] != lanes["not good"]["width"]


def test_thinning_loses_no_peak_and_makes_none_up() -> None:
    points = [(float(n), math.sin(n / 50)) for n in range(100_000)]
    points[77_777] = (77_777.0, 9.0)
    points[33_333] = (33_333.0, -9.0)
    few = thinned(points)
    assert len(few) <= POINTS + 4
    assert set(few) <= set(points)
    assert few == sorted(few)
    assert {points[0], points[-1], points[77_777], points[33_333]} <= set(few)


def test_four_hours_and_two_hundred_thousand_samples(tmp_path: Path) -> None:
    from sevdrill.rejudging import review

    drill = scenario(DATABASE_DOWN, targets={}, limit="5h")
    # Six series in four hours.
    lines = incident(drill, detected=300.0, mitigated=7000.0, recovered=14400.0, every=0.375)
    assert sum(isinstance(line, Sample) for line in lines) >= 200_000
    recorded(tmp_path, lines)
    began = time.process_time()
    review(tmp_path)
    # Time of the processor, not of the clock: this machine may be busy with other things.
    assert time.process_time() - began < 10
    assert (tmp_path / "report.html").stat().st_size < 5_000_000


def test_checklists_are_ticked_only_by_what_was_proved(tmp_path: Path) -> None:
    def proofs(made: Case) -> dict[str, bool | None]:
        return {item.text: item.done for each in ticked(made) for item in each.items}

    good = proofs(case(with_load(incident(DRILL), 0.8), tmp_path, "playbook"))
    assert good["Status page updated"] is True
    assert good["Service verified healthy"] is True
    assert good["Stakeholders notified"] is False
    assert good["Incident commander assigned"] is None
    assert good["Logs and metrics captured"] is False
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "app.log").write_text(LOG, encoding="utf-8")
    bad = proofs(case(with_load(incident(DRILL, mitigated=None, recovered=None), 0.8), tmp_path, "playbook"))
    assert bad["Logs and metrics captured"] is True
    assert bad["Service verified healthy"] is False
    assert bad["Resolution implemented"] is False


def test_every_policy_has_its_checklists_on_the_page(tmp_path: Path) -> None:
    for name in ("sop-001", "playbook", "emergency-procedures", "sv-sdk", "gpt-platform"):
        page = html.unescape(report_page(case(incident(DRILL), tmp_path, name)))
        for checklist in load_policy(name).checklists_for("SEV-1"):
            assert checklist.name in page
            assert all(item in page for item in checklist.items)


def test_decisions_show_the_sops_answer_and_the_numbers() -> None:
    severity, declared, cure = decisions(case(with_load(incident(DRILL), 1.0), policy="playbook"))
    assert (severity.answer, severity.agrees) == ("SEV-1", True)
    assert any("100.0% of 40 requests failed" in number for number in severity.numbers)
    assert declared.agrees is False
    assert cure.answer == "rollback"
    # Four of five requests fail and health fails with them: the window still holds requests of before.
    assert decisions(case(with_load(incident(DRILL), 0.8), policy="playbook"))[0].answer == "SEV-1"
    mild = decisions(case(with_load(incident(DRILL), 0.2), policy="playbook"))[0]
    assert (mild.answer, mild.agrees) == ("SEV-2", False)
    release = scenario(ROLLBACK)
    rolled = decisions(case(with_load(incident(release), 0.5), policy="sop-001", drill=release))[2]
    assert (rolled.answer, rolled.agrees) == ("rollback", True)
    assert decisions(case(quiet(scenario(QUIET)), drill=scenario(QUIET))) == []


def test_log_lines_that_say_why_are_those_after_the_injection(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "app.log").write_text(LOG, encoding="utf-8")
    lines = errors_in_logs(case(incident(DRILL), tmp_path))
    assert [(line.source, line.text, line.count) for line in lines] == [
        ("app", "connection to db:5432 refused, attempt 1", 2)
    ]
    assert lines[0].at == pytest.approx(11.0)


def test_log_lines_are_told_by_service_in_their_own_words_and_without_the_proxies(tmp_path: Path) -> None:
    folder = tmp_path / "evidence"
    folder.mkdir()
    states = [
        {"name": "sevdrill-1-app--real-2", "service": "app", "proxy": False},
        {"name": "sevdrill-1-app--proxy-1", "service": "app", "proxy": True},
    ]
    (folder / "containers.json").write_text(json.dumps(states), encoding="utf-8")
    said = json.dumps({"level": "error", "replica": "x", "message": "no\nconnection"})
    (folder / "sevdrill-1-app--real-2.log").write_text(f"2026-01-01T00:00:12Z {said}\n", encoding="utf-8")
    (folder / "sevdrill-1-app--proxy-1.log").write_text(LOG, encoding="utf-8")
    lines = errors_in_logs(case(incident(DRILL), tmp_path))
    assert [(line.source, line.text) for line in lines] == [("app-2", "error: no connection")]


def test_a_stack_that_scrapes_faster_than_production_says_so(tmp_path: Path) -> None:
    assert "scrapes" not in report_page(case(incident(DRILL), tmp_path))
    (tmp_path / "evidence").mkdir()
    known = {"scrape_interval": 1.0, "evaluation_interval": 1.0}
    (tmp_path / "evidence" / "prometheus.json").write_text(json.dumps(known), encoding="utf-8")
    assert "up to 28 s later" in report_page(case(incident(DRILL), tmp_path))


def test_text_from_services_cannot_become_markup_in_page_or_plot() -> None:
    evil = "<script>alert(1)</script><a href='http://evil'>x</a>"
    lines: list[Line] = [*incident(DRILL), Note(t=20, text=evil)]
    lines = [
        line.model_copy(update={"why": evil}) if isinstance(line, Sample) and not line.ok else line for line in lines
    ]
    drill = scenario(DATABASE_DOWN, about=evil)
    page = report_page(case(lines, drill=drill))
    assert "<script>alert" not in page
    assert "<a href='http://evil" not in page
    assert "</script>" not in re.search(r'id="figure">(.*?)</script>', page, re.DOTALL)[1]  # type: ignore[index]


def test_secrets_are_masked_in_page_and_plot_also_those_of_a_timeline_that_has_them() -> None:
    secret = "postgresql://shop:hunter2-hunter2@db/shop"
    lines: list[Line] = [*incident(DRILL), Note(t=20, text=secret)]
    lines = [line.model_copy(update={"why": secret}) if isinstance(line, StepLine) else line for line in lines]
    assert "hunter2" not in report_page(case(lines))


def test_without_plotly_the_page_says_how_to_get_the_plot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sevdrill.reports.html._plotly", lambda: "")
    page = report_page(case(incident(DRILL)))
    assert "pip install plotly" in page
    assert 'id="figure"' not in page


def test_the_story_of_what_failed_in_time_order(tmp_path: Path) -> None:
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "app.log").write_text(LOG, encoding="utf-8")
    told = story(case(incident(DRILL, detected=50.0, mitigated=52.0, recovered=54.0), tmp_path))
    logs = told.index("the logs say:")
    assert told[0] == "    +0.0 s  injected: container.kill on db"
    late = "   +30.0 s  !! expected by now: alert fires (detect within 30 s, the drill); it came after 40 s"
    assert told.index(late) < told.index("   +40.0 s  alert DatabaseDown fires")
    assert told[logs - 1].endswith("Recovered") or "Recovered" in "".join(told[logs - 4 : logs])
    assert told[logs + 1] == "    +1.0 s  app: connection to db:5432 refused, attempt 1 (2 times)"
    times = [float(line.split()[0]) for line in told[:logs]]
    assert times == sorted(times)
    assert story(case(incident(DRILL))) == []


def test_a_story_of_a_thousand_turns_is_short() -> None:
    made = case(
        [line for line in incident(DRILL, recovered=None) if not isinstance(line, Sample) or line.ok is not None]
    )
    flapping = [
        line.model_copy(update={"ok": int(line.start * 5) % 2 == 0})
        if isinstance(line, Sample) and line.series.startswith("steady:0")
        else line
        for line in made.timeline.lines
    ]
    told = story(case(flapping))
    assert len(told) <= 24
    assert any("more" in line for line in told)


@pytest.mark.parametrize(
    ("verbosity", "has", "lacks"), [(-1, "", "+0.0 s"), (0, "+0.0 s", "checks:"), (1, "checks:", "")]
)
def test_quiet_and_verbose_mean_what_they_mean_in_pytest(verbosity: int, has: str, lacks: str) -> None:
    made = case(incident(DRILL, detected=50.0, mitigated=52.0, recovered=54.0))
    shown = "\n".join(page({**summary(made.verdict, made.timeline), "story": story(made)}, verbosity))
    assert "FAILED: Database down" in shown
    assert "detect: the limit is 30s" in shown
    assert has in shown
    assert not lacks or lacks not in shown


def test_the_table_is_coloured_by_outcome_and_by_pytest_alone() -> None:
    made = [
        case(lines) for lines in (incident(DRILL), incident(DRILL, recovered=None), incident(DRILL, fault_on=False))
    ]
    lines = list(painted([summary(each.verdict, each.timeline) for each in made]))
    assert [colour for _, colour in lines[:4]] == [{"bold": True}, {}, {"red": True}, {"yellow": True}]
    assert not any("\x1b" in line for line, _ in lines)


STILL_NOT = '   +67.0 s  !! the end; still not: first response done (respond within 15 min, SOP-001, "Severity Levels")'
LOST_WRITE = (
    "   +12.5 s  !! checked: no acknowledged write of orders is lost: broken: 1 of 8 acknowledged writes are lost: k"
)
LOST = {"no_lost_writes": {"attempted": 9, "acknowledged": 8, "found": 7, "lost": ["k"], "duplicated": []}}


@pytest.mark.parametrize(
    ("lines", "ends"),
    [
        (incident(DRILL, fault_on=False), "    +0.4 s  !! x: without effect"),
        (incident(DRILL, healthy_before=False), "   -10.0 s  health is not good: bad"),
        (
            [line for line in incident(DRILL) if line.t < 13],
            "    +2.8 s  !! the timeline ends here: the run was killed",
        ),
        (
            incident(DRILL, reads=LOST),
            LOST_WRITE,
        ),
        (
            incident(DRILL, mitigated=None, recovered=None),
            STILL_NOT,
        ),
        (
            incident(DRILL, mitigated=None, recovered=None),
            "   +60.0 s  !! expected by now: mitigated (mitigate within 60 s, the drill); it never came",
        ),
    ],
    ids=["no effect", "not healthy", "killed", "lost data", "never answered", "never mitigated"],
)
def test_golden_stories(lines: list[Line], ends: str) -> None:
    assert ends in story(case(lines))
