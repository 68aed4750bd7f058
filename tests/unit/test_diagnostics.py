"""Every mistake of a drill file: told once, at its place, in words that say what to do."""

from __future__ import annotations

import json
import re
import unittest.mock
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevdrill import diagnostics
from sevdrill.checks import Check, Finding, Result
from sevdrill.diagnostics import LoadedDrill, check_targets, load, schema
from sevdrill.errors import DrillFileError
from sevdrill.kinds import Kinds
from sevdrill.model import Record
from sevdrill.ports import Load, Ports
from sevdrill.reading import is_drill
from sevdrill.scenario import scenario_model
from sevdrill.shape import suggest
from sevdrill.timeline import Timeline
from sevdrill.units import Duration
from sevdrill.wording import MOST_SHOWN

ROOT = Path(__file__).parents[2]

DATABASE = """\
# yaml-language-server: $schema=./drill.schema.json
drill: Production database down
severity: SEV-1
tags: [database, onboarding]
about: The primary database process dies. Orders fail until it is restarted.
runbook: playbook, "Production Database Down"
hints:                                  # onboarding reveals these one at a time
  - Which dependency does /health name as failing?

targets: {detect: 30s, mitigate: 60s, recover: 90s}

load: {locustfile: ../fixtures/load/orders.py, users: 10, spawn_rate: 10, ledger: orders}

steady_state:
  hold: 3s
  every: 200ms
  probes:
    - {probe: http, name: health, url: http://app:3000/health, status: "200", timeout: 1s}
    - {probe: load, error_rate: {below: 1%}, p95: {below: 500ms}, over: 5s}

inject:
  - {fault: container.kill, service: db}

effect:
  - {probe: http, url: http://app:3000/orders, status: "5xx"}

detect:
  - {alert: DatabaseDown, labels: {severity: page}}

respond:
  - {action: announce, status: investigating}
  - {action: restart, service: db}
  - {action: announce, status: monitoring}

close:
  - {action: announce, status: resolved}

verify:
  - {check: no_lost_writes, ledger: orders}
"""

RELEASE = """\
drill: Bad release
severity: SEV-2
tags:
  - release
targets:
  rollback: 5m
  respond: 2m
waive:
  - target: rollback
    because: the image is large
load:
  locustfile: ../fixtures/load/orders.py
steady_state:
  throughout: false
  probes:
    - probe: tcp
      service: db
      port: 5432
inject:
  - fault: change.deploy
    service: app
    release: v2-bad
    max: 20m
  - fault: network.latency
    service: db
    latency: 250ms
    jitter: 50ms
    toxicity: 50%
    stream: upstream
    after: 2s
    for: 20s
detect:
  - alert: HighErrorRate
investigate:
  - action: start
    service: app
respond:
  - action: declare
  - action: rollback
    service: app
    answers: http://app:3000/version
    timeout: 90s
close:
  - action: announce
    status: resolved
    to: stakeholders
    text: The old release is back.
verify:
  - check: alert_resolved
    alert: HighErrorRate
    within: 2m
  - check: paged_once
limit: 15m
"""

QUIET = """\
drill: A quiet minute
severity: SEV-4
steady_state: {probes: [{probe: http, url: "http://app:3000/health", body: ok}]}
quiet: {for: 60s}
verify:
  - {check: not_paged}
"""

SERVICES = ("app", "db", "provider", "worker")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    locustfile = tmp_path / "fixtures" / "load" / "orders.py"
    locustfile.parent.mkdir(parents=True)
    locustfile.touch()
    (tmp_path / "drills").mkdir()
    return tmp_path


Loader = Callable[..., LoadedDrill]


@pytest.fixture
def load_text(folder: Path) -> Loader:
    def loader(text: str | bytes, **more: Any) -> LoadedDrill:
        path = folder / "drills" / "x.yml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return both_ways(path, **{"services": SERVICES, "root": folder, **more})

    return loader


def both_ways(path: Path, *, services: Sequence[str] | None, **more: Any) -> LoadedDrill:
    """Load a drill; whatever is loaded in these tests is loaded the quick way too, and nothing may differ."""
    with unittest.mock.patch.object(diagnostics, "_good", return_value=None):
        try:
            slowly = load(path, services=services, **more)
        except DrillFileError:
            model = scenario_model(more.get("kinds") or Kinds.default())
            assert GOOD(path.read_bytes(), model, path.parent, services) is None
            raise
    loaded = load(path, services=services, **more)
    assert loaded == slowly
    assert loaded.scenario.dump() == slowly.scenario.dump()
    assert loaded.line == slowly.line
    return loaded


GOOD = diagnostics._good


@pytest.fixture
def mistakes(load_text: Loader) -> Callable[..., list[str]]:
    def collect(text: str | bytes, **more: Any) -> list[str]:
        try:
            load_text(text, **more)
        except DrillFileError as error:
            return [line.removeprefix("drills/x.yml:") for line in str(error).splitlines() if not line.startswith(" ")]
        return []

    return collect


Mistakes = Callable[..., list[str]]


# -- good drills


@pytest.mark.parametrize(("text", "line"), [(DATABASE, 2), (RELEASE, 1), (QUIET, 1)])
def test_a_good_drill_is_loaded(load_text: Loader, folder: Path, text: str, line: int) -> None:
    loaded = load_text(text)
    assert loaded.path == folder / "drills" / "x.yml"
    assert loaded.line == line
    assert loaded.shown == "drills/x.yml"
    model = type(loaded.scenario)
    assert model.model_validate(json.loads(json.dumps(loaded.scenario.dump()))) == loaded.scenario


def test_everything_that_the_file_says_arrives(load_text: Loader) -> None:
    drill = load_text(RELEASE).scenario
    assert drill.targets == {"rollback": Duration(300), "respond": Duration(120)}
    assert drill.inject[1].for_ == Duration(20)
    assert [step.action for step in drill.respond] == ["declare", "rollback"]
    assert drill.limit == Duration(900)


def test_the_kinds_of_the_drill_name_their_classes(load_text: Loader) -> None:
    drill = load_text(DATABASE).scenario
    assert [type(fault).__name__ for fault in drill.inject] == ["ContainerKill"]
    assert [type(probe).__name__ for probe in drill.steady_state.probes] == ["HttpProbe", "LoadProbe"]
    assert [type(check).__name__ for check in drill.verify] == ["NoLostWrites"]


def test_the_projects_own_drills_need_no_second_look() -> None:
    drills = sorted((ROOT / "drills").glob("*.yml"))
    assert len(drills) >= 7
    for path in drills:
        both_ways(path, services=None)
        assert GOOD(path.read_bytes(), scenario_model(Kinds.default()), path.parent, None) is not None


# -- the form of the report


def test_the_report_names_every_mistake_with_its_line_and_a_caret(load_text: Loader) -> None:
    text = DATABASE.replace("{fault: container.kill, service: db}", "{fault: container.kil, servcie: dbb}")
    text = text.replace("severity: SEV-1", "severity: SEV-11").replace("over: 5s", "over: 5")
    with pytest.raises(DrillFileError) as error:
        load_text(text)
    assert (
        str(error.value)
        == """\
drills/x.yml:3:11: unknown severity "SEV-11", did you mean "SEV-1"?
    severity: SEV-11
              ^
drills/x.yml:19:73: expected a duration with a unit (ms, s, m, h, d, w), such as 30s, not the number 5
        - {probe: load, error_rate: {below: 1%}, p95: {below: 500ms}, over: 5}
                                                                            ^
drills/x.yml:22:13: unknown fault "container.kil", did you mean "container.kill"?
      - {fault: container.kil, servcie: dbb}
                ^
drills/x.yml:22:28: unknown key "servcie", did you mean "service"?
      - {fault: container.kil, servcie: dbb}
                               ^
drills/x.yml:22:37: unknown service "dbb", did you mean "db"?
      - {fault: container.kil, servcie: dbb}
                                        ^"""
    )
    assert error.value.__cause__ is None


def test_a_long_line_is_cut_around_the_mistake(load_text: Loader) -> None:
    with pytest.raises(DrillFileError) as error:
        load_text(f"drill: x\nabout: {'y' * 300}\n{'z' * 30}: {{a: [{'b, ' * 80}], c: *d}}\n")
    first, line, caret = str(error.value).splitlines()
    assert first == 'drills/x.yml:3:284: the alias "*d" has no anchor above it'
    assert line.startswith("    ...")
    assert len(line) <= 130
    assert line[caret.index("^") :].startswith("*d}")


def test_the_caret_stands_below_wide_characters_and_controls_are_not_printed(load_text: Loader) -> None:
    with pytest.raises(DrillFileError) as error:
        load_text('drill: "数据库"\nabout: "数据库" x\n')
    assert str(error.value).splitlines()[-1] == "    " + " " * 16 + "^"
    with pytest.raises(DrillFileError) as error:
        load_text("drill: 数\x1b[2J\n".encode())
    assert str(error.value).splitlines()[1:] == ["    drill: 数 [2J", "    " + " " * 9 + "^"]


def test_a_file_outside_the_root_is_named_as_it_was_given(folder: Path) -> None:
    path = folder / "x.yml"
    path.write_text("a: 1\n")
    with pytest.raises(DrillFileError, match=re.escape(f"{path}:1:1: this is no drill")):
        load(path, root=folder / "drills")


def test_many_mistakes_are_cut(mistakes: Mistakes) -> None:
    found = mistakes("drill: x\n" + "".join(f"key{n}: {n}\n" for n in range(3000)))
    assert len(found) == MOST_SHOWN + 1
    assert any(line.startswith('2:1: unknown key "key0"; possible: ') for line in found)
    assert re.fullmatch(r" and \d+ more mistakes", found[-1])


def test_a_file_that_is_not_there(folder: Path) -> None:
    with pytest.raises(DrillFileError) as error:
        load(folder / "none.yml", root=folder)
    assert str(error.value) == "none.yml: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: the file is empty; a drill begins with `drill: its name`"),
        ("services:\n  app: {image: x}\n", '1:1: this is no drill: its top level has no key "drill"'),
        ("- drill: x\n", '1:1: this is no drill: its top level has no key "drill"'),
        ("just text\n", '1:1: this is no drill: its top level has no key "drill"'),
        ("drill: x\n\tseverity: SEV-1\n", "2:1: a tab; YAML is indented with spaces"),
    ],
)
def test_what_is_no_drill_gets_one_message(mistakes: Mistakes, text: str, expected: str) -> None:
    assert mistakes(text) == [expected]


def test_duplicate_keys_do_not_hide_other_mistakes(mistakes: Mistakes) -> None:
    text = QUIET.replace("severity: SEV-4", "severity: SEV-5\ndrill: again")
    assert mistakes(text) == [
        '2:11: unknown severity "SEV-5", did you mean "SEV-1"?',
        '3:1: the key "drill" is here twice, first in line 1',
    ]


def test_a_mistake_in_what_an_alias_stands_for_is_told_once_where_it_is(mistakes: Mistakes) -> None:
    text = RELEASE.replace("  - alert: HighErrorRate\ninv", "  - &a {alert: X, lables: {a: b}}\n  - *a\ninv")
    assert mistakes(text) == ['33:19: unknown key "lables", did you mean "labels"?']


# -- every kind of mistake


def edited(old: str, new: str, text: str = DATABASE) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


D, R, Q = DATABASE, RELEASE, QUIET


CASES: list[tuple[str, list[str]]] = [
    # keys
    (edited("users: 10", "user: 10"), ['12:48: unknown key "user", did you mean "users"?']),
    (edited("hold: 3s", "colour: red"), ['15:3: unknown key "colour"; possible: hold, throughout']),
    (
        edited("severity: SEV-1\n", ""),
        ['2:1: missing key "severity": how bad the incident would be; it chooses the targets of the policy'],
    ),
    (
        edited("service: db}\n\neffect", "replicas: 1}\n\neffect"),
        ['22:5: missing key "service": the service whose replicas are hit'],
    ),
    (
        edited("  locustfile: ../fixtures/load/orders.py\n", "  users: 3\n", R),
        ['11:1: missing key "locustfile": the Locust file, relative to the drill file'],
    ),
    (
        edited("{fault: container.kill, service: db}", "{service: db}"),
        ['22:5: missing key "fault", such as fault: {fault}'],
    ),
    (
        edited("{fault: container.kill, service: db}", "{falt: container.kill, service: db}"),
        ['22:6: unknown key "falt", did you mean "fault"?'],
    ),
    (edited("for: 60s", "for_: 60s", Q), ['4:9: unknown key "for_", did you mean "for"?']),
    (edited("detect: 30s", "detct: 30s"), ['10:11: unknown target "detct", did you mean "detect"?']),
    (
        edited("detect: 30s", "sleep: 30s"),
        ['10:11: unknown target "sleep"; possible: detect, respond, assess, announce, rollback, mitigate, recover'],
    ),
    (edited("target: rollback", "target: rolback", R), ['9:13: unknown target "rolback", did you mean "rollback"?']),
    # kinds and words
    (edited("container.kill", "kill"), ['22:13: unknown fault "kill", did you mean "container.kill"?']),
    (edited("action: restart", "action: reboot"), ['32:14: unknown action "reboot"; possible: ' + "{actions}"]),
    (edited("fault: container.kill", "fault: 5"), ['22:13: unknown fault "5"; possible: ' + "{faults}"]),
    (edited("SEV-1", "high"), ['3:11: unknown severity "high"; possible: SEV-1, SEV-2, SEV-3, SEV-4']),
    (edited("SEV-1", "1"), ["3:11: expected one of SEV-1, SEV-2, SEV-3, SEV-4, not the number 1"]),
    (edited("stream: upstream", "stream: up", R), ['29:13: unknown stream "up"; possible: downstream, upstream']),
    # types
    (edited("Production database down", "2024"), ['2:8: expected text, not the number 2024; put it in quotes: "2024"']),
    (edited("v2-bad", "1.10", R), ['22:14: expected text, not the number 1.10; put it in quotes: "1.10"']),
    (edited('status: "200"', "status: 200"), ['18:72: expected text, not the number 200; put it in quotes: "200"']),
    (edited("alert: DatabaseDown", "alert: true"), ['28:13: expected text, not true; put it in quotes: "true"']),
    (edited("alert: DatabaseDown", "alert: [a]"), ["28:6: expected text, not a list"]),
    (
        edited("[database, onboarding]", "database"),
        ['4:7: expected a list, not the text "database"; put "- " before each item'],
    ),
    (
        edited("  - {fault: container.kill", "  {fault: container.kill"),
        ['21:1: expected a list, not keys and values; put "- " before each item'],
    ),
    (
        edited("{action: restart, service: db}", "restart"),
        ["32:5: expected {action: " + "{action}" + ', ...}, not the text "restart"'],
    ),
    (edited("labels: {severity: page}", "labels: [page]"), ["28:27: expected keys and values, not a list"]),
    (edited("{for: 60s}", "60s", Q), ['4:8: expected keys and values, not the text "60s"']),
    (edited("users: 10", 'users: "10"'), ['12:55: expected a whole number, not the text "10"']),
    (edited("users: 10", "users: 1.5"), ["12:55: expected a whole number, not the number 1.5"]),
    (edited("users: 10", "users: true"), ["12:55: expected a whole number, not true"]),
    (edited("spawn_rate: 10", "spawn_rate: fast"), ['12:71: expected a number, not the text "fast"']),
    (edited("throughout: false", "throughout: no", R), ['14:15: expected true or false, not the text "no"']),
    # quantities
    (
        edited("hold: 3s", "hold: 3"),
        ["15:9: expected a duration with a unit (ms, s, m, h, d, w), such as 30s, not the number 3"],
    ),
    (
        edited("hold: 3s", "hold: 3sec"),
        ['15:9: expected a duration with a unit (ms, s, m, h, d, w), such as 30s, not the text "3sec"'],
    ),
    (
        edited("toxicity: 50%", "toxicity: 0.5", R),
        ["28:15: expected a percentage with a unit (%), such as 10%, not the number 0.5"],
    ),
    # values
    (edited("users: 10", "users: 0"), ["12:55: expected at least 1, not 0"]),
    (edited("spawn_rate: 10", "spawn_rate: -1"), ["12:71: expected more than 0, not -1"]),
    (edited("port: 5432", "port: 70000", R), ["18:13: expected at most 65535, not 70000"]),
    (
        edited('[{probe: http, url: "http://app:3000/health", body: ok}]', "[]", Q),
        ["3:16: expected at least one item, not none"],
    ),
    (edited("alert: DatabaseDown", 'alert: ""'), ["28:13: must not be empty"]),
    (edited("Production database down", '" "'), ["2:8: must not be empty"]),
    (edited("Production database down", '"a\\nb"'), ["2:8: must be one line of text"]),
    (
        edited("[database, onboarding]", "[On Boarding]"),
        ['4:8: expected small letters, digits and "-", such as "on-boarding"'],
    ),
    (
        edited('status: "200"', 'status: "20x"'),
        ['18:72: "20x" does not fit; expected the status that is wanted: one code, or a class such as 5xx'],
    ),
    (
        edited("{probe: load, error_rate: {below: 1%}, p95: {below: 500ms}, over: 5s}", "{probe: load}"),
        ["19:7: a load probe limits nothing; give error_rate: {below: 1%} or p95: {below: 500ms}"],
    ),
    # without a value
    (
        edited("respond:\n  - action: declare", "respond:\n  - action:", R),
        ['38:5: "action" has no value; give it one, or take the key out'],
    ),
    (
        edited("about: The primary database process dies. Orders fail until it is restarted.", "about:"),
        ['5:1: "about" has no value; give it one, or take the key out'],
    ),
    (edited("    for: 20s", "    for:", R), ['31:5: "for" has no value; give it one, or take the key out']),
    (
        edited("  - Which dependency does /health name as failing?", "  -"),
        ["8:4: an empty item; fill it in, or take it out"],
    ),
    (
        edited("inject:\n  - {fault: container.kill, service: db}", "inject:"),
        ['21:1: "inject" has no value; give it one, or take the key out'],
    ),
    (edited("hold: 3s", "hodl:"), ['15:3: unknown key "hodl", did you mean "hold"?']),
    # between keys
    (
        edited("quiet: {for: 60s}\n", "", Q),
        ['1:1: a drill needs "inject" (at least one fault), or "quiet" when nothing is to break'],
    ),
    (
        D + "quiet: {for: 1m}\n",
        ['40:1: a drill has either "inject" or "quiet", not both (noise of a quiet one: "expect: no_page")'],
    ),
    (
        edited("detect:\n  - {alert: DatabaseDown, labels: {severity: page}}\n", ""),
        ['21:1: "inject" needs "detect": say which alert must fire'],
    ),
    (
        edited("load: {locustfile: ../fixtures/load/orders.py, users: 10, spawn_rate: 10, ledger: orders}\n", ""),
        [
            '18:15: the probe load needs "load": without users there is nothing to look at',
            '38:13: the check no_lost_writes needs "load": without users there is nothing to look at',
        ],
    ),
    (
        edited("no_lost_writes, ledger: orders", "no_lost_writes, ledger: orers"),
        ['39:37: unknown ledger "orers"; "load" notes "orders"'],
    ),
    (
        edited("fixtures/load/orders.py", "fixtures/load/order.py"),
        ['12:20: no such file, seen from the drill file, did you mean "../fixtures/load/orders.py"?'],
    ),
    (edited("../fixtures/load/orders.py", "/nowhere/at/all.py"), ["12:20: no such file, seen from the drill file"]),
    (edited("../fixtures/load/orders.py", '"a\\0b"'), ["12:20: no such file, seen from the drill file"]),
    (edited("../fixtures/load/orders.py", "x" * 5000), ["12:20: no such file, seen from the drill file"]),
    (
        edited("recover: 90s", "recover: 1h"),
        ['10:48: the target (1h) is longer than the drill may take (10m); raise "limit"'],
    ),
    (
        edited("url: http://app:3000/orders,", "name: health, url: http://app:3000/orders,"),
        ['25:25: another probe is called "health" already'],
    ),
    # what detects
    (
        edited("alert: DatabaseDown, labels", "alret: DatabaseDown, labels"),
        ['28:6: unknown key "alret", did you mean "alert"?'],
    ),
    (
        edited("alert: DatabaseDown, labels: {severity: page}", "fires: DatabaseDown"),
        ['28:5: missing key "alert" or "page" or "probe", such as alert: NAME'],
    ),
    (
        edited("alert: DatabaseDown, labels: {severity: page}", "page: DatabaseDown, as: tickett"),
        ['28:30: unknown as "tickett", did you mean "ticket"?'],
    ),
    (
        edited("alert: DatabaseDown, labels: {severity: page}", "probe: lgo, service: db, match: x"),
        ['28:13: unknown probe "lgo", did you mean "log"?'],
    ),
    (
        edited("alert: DatabaseDown, labels: {severity: page}", "probe: log, service: bd, match: x, ovr: 2s"),
        ['28:27: unknown service "bd", did you mean "db"?', '28:41: unknown key "ovr", did you mean "over"?'],
    ),
    (
        edited("alert: DatabaseDown, labels: {severity: page}", 'probe: log, service: db, match: "("'),
        ["28:38: no regular expression: missing ), unterminated subpattern at position 0"],
    ),
    (
        edited("{alert: DatabaseDown, labels: {severity: page}}", "DatabaseDown"),
        ['28:5: expected {alert: NAME, ...}, not the text "DatabaseDown"'],
    ),
    # services
    (
        edited("kill, service: db", "kill, service: bd"),
        ['22:38: unknown service "bd", did you mean "db"?'],
    ),
    (edited("kill, service: db", "kill, service: wroker"), ['22:38: unknown service "wroker", did you mean "worker"?']),
    (edited("http://app:3000/orders", "http://ap:3000/orders"), ['25:24: unknown service "ap", did you mean "app"?']),
    (
        edited("http://app:3000/orders", "http://u:p@localhost/orders"),
        ['25:24: unknown service "localhost"; possible: app, db, provider, worker'],
    ),
    (
        edited("http://app:3000/orders", "http:///orders"),
        ['25:24: "http:///orders" names no service, such as http://app/'],
    ),
    (
        edited("http://app:3000/version", "http://web:3000/version", R),
        ['41:14: unknown service "web"; possible: app, db, provider, worker'],
    ),
    (edited("The old release is back.", "http://status.example.com", R), []),
]


@pytest.mark.parametrize(("text", "expected"), CASES, ids=[f"{n}" for n in range(len(CASES))])
def test_a_mistake_is_told_like_this(mistakes: Mistakes, text: str, expected: list[str]) -> None:
    known = schema()["properties"]
    actions = list(known["respond"]["items"]["discriminator"]["mapping"])
    faults = list(known["inject"]["items"]["discriminator"]["mapping"])
    fill = {"actions": ", ".join(actions), "faults": ", ".join(faults), "action": actions[0], "fault": faults[0]}
    filled = [re.sub(r"\{(\w+)\}", lambda match: fill[match[1]], line) for line in expected]
    assert mistakes(text) == filled


def test_services_are_not_checked_without_a_stack(load_text: Loader) -> None:
    assert load_text(DATABASE.replace("service: db", "service: anything"), services=None)


def test_one_typo_does_not_hide_the_mistakes_below_it(mistakes: Mistakes) -> None:
    text = edited(
        "- {probe: load, error_rate: {below: 1%}, p95: {below: 500ms}, over: 5s}",
        "- {prob: laod, error_rat: {belw: 1}, over: 5}",
    ).replace("steady_state:", "steady-state:")
    assert mistakes(text) == [
        '14:1: unknown key "steady-state", did you mean "steady_state"?',
        '19:8: unknown key "prob", did you mean "probe"?',
        '19:14: unknown probe "laod", did you mean "load"?',
        '19:20: unknown key "error_rat", did you mean "error_rate"?',
        '19:32: unknown key "belw", did you mean "below"?',
        "19:38: expected a percentage with a unit (%), such as 10%, not the number 1",
        "19:48: expected a duration with a unit (ms, s, m, h, d, w), such as 30s, not the number 5",
    ]


# -- targets against a policy


def test_a_target_may_not_be_looser_than_the_policys(load_text: Loader) -> None:
    loaded = load_text(DATABASE)
    check_targets(loaded, {"detect": 30, "mitigate": 900, "recover": 900}, "sop-001")
    check_targets(loaded, {}, "sop-001")
    with pytest.raises(DrillFileError) as error:
        check_targets(loaded, {"detect": 15, "recover": Duration(60)}, "sop-001")
    assert (
        str(error.value)
        == """\
drills/x.yml:10:19: target detect (30s) is looser than SEV-1 of sop-001 allows (15s); give 15s or less, \
or say why not: waive: [{target: detect, because: "..."}]
    targets: {detect: 30s, mitigate: 60s, recover: 90s}
                      ^
drills/x.yml:10:48: target recover (1m30s) is looser than SEV-1 of sop-001 allows (1m); give 1m or less, \
or say why not: waive: [{target: recover, because: "..."}]
    targets: {detect: 30s, mitigate: 60s, recover: 90s}
                                                   ^"""
    )


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        ({"rollback": 299}, None),
        ({"rollback": 300}, "5m is no looser than SEV-2 of sop-001 allows (5m)"),
        ({"rollback": 3600}, "5m is no looser than SEV-2 of sop-001 allows (1h)"),
        ({}, "sop-001 has no rollback target for SEV-2"),
    ],
)
def test_a_waiver_must_waive_something(load_text: Loader, limits: dict[str, float], why: str | None) -> None:
    loaded = load_text(RELEASE)
    if why is None:
        check_targets(loaded, limits, "sop-001")
        return
    with pytest.raises(DrillFileError) as error:
        check_targets(loaded, limits, "sop-001")
    first = str(error.value).splitlines()[0]
    assert first == f"drills/x.yml:9:13: the waiver waives nothing: {why}; take it out"


def test_a_waiver_needs_its_target(load_text: Loader) -> None:
    loaded = load_text(RELEASE.replace("  rollback: 5m\n", ""))
    with pytest.raises(DrillFileError, match='the waiver waives nothing: "targets" has no "rollback"; take it out'):
        check_targets(loaded, {"rollback": 60}, "sop-001")


# -- typos


def typos(word: str) -> Iterator[str]:
    """The word with one letter left out, doubled, or swapped with the next; never the word itself."""
    for i in range(len(word)):
        yield word[:i] + word[i + 1 :]
        yield word[:i] + word[i] * 2 + word[i + 1 :]
        if i + 1 < len(word) and word[i] != word[i + 1]:
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def places_of_words(text: str) -> Iterator[tuple[int, str]]:
    """Where each key and each name of a kind begins; keys of labels are free, so they are left out."""
    for event, is_key in _scalars(text):
        word, line = event.value, text.splitlines()[event.start_mark.line]
        free = "labels: {" in line and event.start_mark.column > line.index("labels: {") + 8
        if not free and (is_key or re.search(r"(fault|action|probe|check): $", line[: event.start_mark.column])):
            yield event.start_mark.index, word


def _scalars(text: str) -> Iterator[tuple[Any, bool]]:
    stack: list[list[Any]] = []
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionEndEvent):
            stack.pop()
        elif isinstance(event, yaml.NodeEvent):
            in_mapping = bool(stack) and stack[-1][0] == "mapping"
            if in_mapping:
                stack[-1][1] += 1
            if isinstance(event, yaml.ScalarEvent):
                yield event, in_mapping and stack[-1][1] % 2 == 1
            else:
                stack.append(["mapping" if isinstance(event, yaml.MappingStartEvent) else "list", 0])


def test_every_typo_in_a_key_or_a_kind_is_refused_and_nearly_every_one_explained(mistakes: Mistakes) -> None:
    tried, right, wrong = 0, 0, []
    for text in (DATABASE, RELEASE, QUIET):
        assert mistakes(text) == []
        # Each word once a file: the files use the words with different kinds around them.
        found = {word: index for index, word in places_of_words(text)}
        assert len(found) >= 10
        for word, index in found.items():
            line, column = text.count("\n", 0, index) + 1, index - (text.rfind("\n", 0, index) + 1) + 1
            assert text.startswith(word, index)
            for typo in set(typos(word)) - {word, ""}:
                report = mistakes(text[:index] + typo + text[index + len(word) :])
                assert report, f"{typo} for {word} in line {line} was accepted"
                tried += 1
                expected = [f'{line}:{column}: unknown {what} "{typo}", did you mean "{word}"?' for what in WHAT]
                if len(report) == 1 and report[0] in expected:
                    right += 1
                else:
                    wrong.append((word, typo, report))
    assert tried > 900
    assert right / tried >= 0.95, wrong


WHAT = ("key", "target", "fault", "action", "probe", "check")


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("servcie", ["service", "services_x", "severity"], "service"),
        ("kill", ["container.kill", "container.stop"], "container.kill"),
        ("cpu_limit", ["cpu-limit", "memory-limit"], "cpu-limit"),
        ("Severity", ["severity"], "severity"),
        ("deploy", ["change.deploy", "container.kill"], "change.deploy"),
        ("x", ["y"], ""),
        ("", ["y"], ""),
        ("a" * 41, ["a" * 40], ""),
        ("nothing", ["alike"], ""),
    ],
)
def test_suggest(word: str, known: list[str], meant: str) -> None:
    assert suggest(word, known) == meant


def test_suggest_prefers_what_is_not_taken() -> None:
    assert suggest("hol", ["holt", "hold"], taken=["holt"]) == "hold"


# -- anything at all

WORDS = st.sampled_from(
    sorted({word for text in (DATABASE, RELEASE, QUIET) for _, word in places_of_words(text)} | {"SEV-1", "x", "5s"})
)
TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=25,
)
ANY = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def clean_or_refused(load_text: Loader, raw: bytes) -> None:
    """Loads, or reports mistakes in lines that can be printed, sorted, none twice."""
    try:
        loaded = load_text(raw)
    except DrillFileError as error:
        lines = str(error).splitlines()
        heads = [
            re.fullmatch(r"drills/x\.yml:(\d+):(\d+): (.+)", line) for line in lines if not line.startswith("    ")
        ]
        places = [(int(head[1]), int(head[2])) for head in heads if head]
        assert places == sorted(places)
        assert len({head[0] for head in heads if head}) == len(places) > 0
        assert all(line.isprintable() for line in lines)
    else:
        assert type(loaded.scenario).model_validate(loaded.scenario.dump()) == loaded.scenario


@ANY
@given(data=st.dictionaries(WORDS, TREES))
def test_any_data_is_loaded_or_refused(load_text: Loader, data: dict[str, Any]) -> None:
    clean_or_refused(load_text, json.dumps({"drill": "x", **data}, ensure_ascii=False).encode("utf-8", "replace"))


@ANY
@given(text=st.text(max_size=200))
def test_any_text_is_loaded_or_refused(load_text: Loader, text: str) -> None:
    clean_or_refused(load_text, f"drill: x\n{text}".encode("utf-8", "replace"))


@ANY
@given(raw=st.binary(max_size=200))
def test_any_bytes_are_loaded_or_refused(load_text: Loader, raw: bytes) -> None:
    clean_or_refused(load_text, raw)


@ANY
@given(data=st.data())
def test_any_damage_to_a_good_drill_is_loaded_or_refused(load_text: Loader, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([DATABASE, RELEASE, QUIET]))
    lines = text.splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        what = data.draw(st.sampled_from(["drop", "double", "indent", "cut", "swap"]))
        line = lines[at]
        cut = data.draw(st.integers(0, len(line)))
        lines[at] = {"drop": "", "double": line * 2, "indent": "  " + line, "cut": line[:cut] + "\n"}.get(what, line)
        if what == "swap":
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    clean_or_refused(load_text, "".join(lines).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"drill: x\n" + b"a: [" * 100_000,
        b"drill: x\n" + b"".join(b"k%d: {a: b}\n" % n for n in range(9_000)),
        b"drill: x\ninject:\n" + b"- {fault: container.kil, servcie: db}\n" * 3_000,
        b"drill: x\ntags: [" + b"A b, " * 15_000 + b"]\n",
        b"drill: x\nlimit: " + b"1s" * 400_000 + b"\n",
        b"drill: x\n" + b"a" * 900_000 + b": b\n",
        b"drill: " + b"9" * 1_000_000 + b"\n",
        b"drill: x\ntargets: {" + b", ".join(b"d%d: 5" % n for n in range(9_000)) + b"}\n",
    ],
    ids=["deep", "keys", "kinds", "items", "duration", "key", "number", "targets"],
)
def test_hostile_files_are_refused_quickly(load_text: Loader, raw: bytes) -> None:
    with pytest.raises(DrillFileError) as error:
        load_text(raw)
    assert len(str(error.value)) < 60_000


# -- the schema for editors


def test_the_schema_file_is_current() -> None:
    current = json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert (ROOT / "drills" / "drill.schema.json").read_text(encoding="utf-8") == current, (
        "drills/drill.schema.json is old; write it anew: "
        "python -c 'import json; from sevdrill.diagnostics import schema; "
        "print(json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False))' > drills/drill.schema.json"
    )


def test_the_schema_helps_the_editor() -> None:
    made = schema()
    assert made["additionalProperties"] is False
    assert set(made["required"]) == {"drill", "severity", "steady_state"}
    assert made["properties"]["targets"]["properties"]["detect"]["description"] == (
        "At most this long from `injected` to `detected`."
    )
    assert made["$defs"]["Quiet"]["required"] == ["for"]
    without = [
        f"{name}.{key}"
        for name, part in {"drill": made, **made["$defs"]}.items()
        for key, value in part.get("properties", {}).items()
        if not value.get("description") and "const" not in value
    ]
    assert without == []
    assert '"null"' not in json.dumps(made)


def test_changing_a_schema_changes_no_other() -> None:
    schema()["properties"].clear()
    assert schema()["properties"]


def test_a_typo_in_the_word_drill_is_found_when_the_file_is_named(mistakes: Mistakes, folder: Path) -> None:
    assert mistakes(QUIET.replace("drill:", "dril:")) == ['1:1: unknown key "dril", did you mean "drill"?']
    assert not is_drill(folder / "drills" / "x.yml")


class Balanced(Check):
    """Needs a ledger and does not say so."""

    needs: ClassVar[tuple[type, ...]] = (Load,)
    check: Literal["balanced"]
    ledger: str = ""

    @property
    def title(self) -> str:
        return "balanced"

    def read(self, ports: Ports) -> Record:
        return {}

    def judge(self, data: Record, timeline: Timeline) -> Finding:
        return Finding(Result.UNKNOWN, "")


def test_a_rule_that_objects_to_what_was_left_out_is_told(folder: Path) -> None:
    file = folder / "drills" / "balanced.yml"
    file.write_text(f"{DATABASE}  - {{check: balanced}}\n", encoding="utf-8")
    with pytest.raises(DrillFileError, match=r'balanced.yml:.*unknown ledger ""'):
        load(file, kinds=Kinds.default().with_([Balanced]), root=folder)
