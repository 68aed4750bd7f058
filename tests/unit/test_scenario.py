"""The typed drill: its defaults, its kinds, the rules between keys, and that it survives the timeline."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sevdrill.checks import CHECKS
from sevdrill.errors import UsageError
from sevdrill.faults import FAULTS, Fault, State
from sevdrill.model import Record
from sevdrill.ports import Ports
from sevdrill.probes import PROBES
from sevdrill.rules import rules
from sevdrill.scenario import Kinds, Scenario, scenario_model
from sevdrill.severity import LIMITS
from sevdrill.sop import SEVERITIES
from sevdrill.units import Bytes, Duration, Percent

MODEL = scenario_model(Kinds.default())


def minimal(**more: Any) -> dict[str, Any]:
    whole = {
        "drill": "Database down",
        "severity": "SEV-1",
        "steady_state": {"probes": [{"probe": "tcp", "service": "db", "port": 5432}]},
        "inject": [{"fault": "container.kill", "service": "db"}],
        "detect": [{"alert": "DatabaseDown"}],
        **more,
    }
    return {key: value for key, value in whole.items() if value is not ...}


class TimeTravel(Fault):
    """The clock of a service jumps."""

    needs: ClassVar[tuple[type, ...]] = ()
    fault: Literal["time.travel"]
    service: str
    """The service."""
    by: Duration = Duration(60)
    share: Percent = Percent(0.5)
    memory: Bytes = Bytes(0)

    @property
    def services(self) -> tuple[str, ...]:
        return (self.service,)

    def prepare(self, ports: Ports) -> Record:
        return {}

    def inject(self, ports: Ports, record: Record) -> None: ...

    def undo(self, ports: Ports, record: Record) -> None: ...

    def state(self, ports: Ports, record: Record) -> State:
        return State.OFF


class TimeTravelAgain(TimeTravel):
    """Another of the same name."""


class Nameless(TimeTravel):
    """Says no name."""

    fault: str  # type: ignore[assignment]


WITH_TRAVEL = Kinds(faults=(*FAULTS, TimeTravel))


def test_a_small_drill_has_these_defaults() -> None:
    drill = MODEL.model_validate(minimal())
    assert drill.limit == Duration(600)
    assert (drill.steady_state.hold, drill.steady_state.every) == (3, 0.2)
    assert drill.steady_state.throughout is False
    assert (drill.tags, drill.hints, drill.waive, drill.effect) == ((), (), (), ())
    assert (drill.investigate, drill.respond, drill.close, drill.verify) == ((), (), (), ())
    assert (drill.load, drill.quiet, drill.targets) == (None, None, {})
    assert drill.detect[0].title == "alert DatabaseDown"


def test_is_frozen() -> None:
    drill = MODEL.model_validate(minimal())
    with pytest.raises(ValidationError, match="frozen"):
        drill.drill = "other"


def test_a_detector_names_its_labels() -> None:
    drill = MODEL.model_validate(minimal(detect=[{"alert": "Down", "labels": {"severity": "page", "team": "db"}}]))
    assert drill.detect[0].title == "alert Down (severity=page, team=db)"


def test_the_model_of_the_same_kinds_is_the_same() -> None:
    assert scenario_model(Kinds.default()) is scenario_model(Kinds())
    assert scenario_model(Kinds.default()) is not scenario_model(WITH_TRAVEL)
    assert issubclass(MODEL, Scenario)


def test_users_kinds_are_kinds() -> None:
    raw = minimal(inject=[{"fault": "time.travel", "service": "db", "by": "1h"}])
    with pytest.raises(ValidationError, match=r"time\.travel"):
        MODEL.model_validate(raw)
    drill = scenario_model(WITH_TRAVEL).model_validate(raw)
    assert drill.inject[0] == TimeTravel(fault="time.travel", service="db", by=Duration(3600))


def test_one_kind_of_a_family_is_enough() -> None:
    model = scenario_model(Kinds(faults=(TimeTravel,), probes=PROBES[:2], checks=CHECKS[:1]))
    drill = model.model_validate(minimal(inject=[{"fault": "time.travel", "service": "db"}]))
    assert drill.inject[0].services == ("db",)


def test_two_kinds_of_one_name_are_refused() -> None:
    with pytest.raises(UsageError) as error:
        Kinds(faults=(TimeTravel, TimeTravelAgain))
    name = __name__
    assert str(error.value) == (
        f"two kinds of fault are called time.travel: {name}.TimeTravel and {name}.TimeTravelAgain; "
        "give one of them another name"
    )


def test_a_kind_without_a_name_is_refused() -> None:
    with pytest.raises(UsageError) as error:
        Kinds(faults=(Nameless,))
    assert str(error.value) == f'{__name__}.Nameless must say its name: fault: Literal["its.name"]'


NOT_BOTH = 'a drill has either "inject" or "quiet", not both (noise of a quiet one: "expect: no_page")'
NOISE = {"fault": "container.kill", "service": "db", "expect": "no_page"}
QUIET = minimal(inject=..., detect=..., quiet={"for": "60s"})
LOAD = {"locustfile": "x.py", "users": 1, "ledger": "orders"}
LOAD_PROBE = {"probe": "load", "error_rate": {"below": "1%"}}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (minimal(), []),
        (QUIET, []),
        ({**QUIET, "verify": [{"check": "not_paged"}]}, []),
        (
            {**minimal(), "quiet": {"for": "1m"}},
            [(("quiet",), NOT_BOTH)],
        ),
        ({**QUIET, "inject": [NOISE]}, []),
        ({**QUIET, "inject": [NOISE, *minimal()["inject"]]}, [(("quiet",), NOT_BOTH)]),
        (
            minimal(inject=[*minimal()["inject"], NOISE]),
            [(("inject", 1, "expect"), '"expect: no_page" is for the noise of a quiet drill; give it "quiet"')],
        ),
        (
            minimal(inject=..., detect=...),
            [((), 'a drill needs "inject" (at least one fault), or "quiet" when nothing is to break')],
        ),
        (
            minimal(inject=[], detect=...),
            [(("inject",), 'a drill needs "inject" (at least one fault), or "quiet" when nothing is to break')],
        ),
        (minimal(detect=...), [(("inject",), '"inject" needs "detect": say which alert must fire')]),
        (minimal(detect=[]), [(("detect",), '"inject" needs "detect": say which alert must fire')]),
        (minimal(detect=..., steady_state={**minimal()["steady_state"], "throughout": True}), []),
        (
            {**QUIET, "respond": [{"action": "restart", "service": "db"}], "targets": {"detect": "5s"}},
            [
                (
                    ("respond",),
                    'a quiet drill has no "respond": nothing breaks, so there is nothing to respond to',
                ),
                (
                    ("targets",),
                    'a quiet drill has no "targets": nothing breaks, so there is nothing to count from',
                ),
            ],
        ),
        (
            minimal(steady_state={"hold": "1s", "every": "2s", "probes": [LOAD_PROBE]}, load=LOAD),
            [
                (
                    ("steady_state", "hold"),
                    '"hold" (1s) must not be shorter than "every" (2s): one look proves nothing',
                ),
            ],
        ),
        (
            minimal(steady_state={"every": "5ms", "probes": []}),
            [(("steady_state", "every"), "expected 10ms or more")],
        ),
        (
            minimal(
                inject=[{"fault": "change.deploy", "service": "worker", "release": "1.1.0"}],
                respond=[
                    {"action": "rollback", "service": "worker", "answers": "http://worker:3100/version"},
                    {"action": "deploy", "service": "app", "answers": "http://app:3000/version", "release": "1.1.1"},
                ],
                close=[{"action": "migrate-down", "service": "db"}, {"action": "config-rollback", "service": "worker"}],
            ),
            [
                ((*place, "service"), f"{step} would change the stack for good: {why}")
                for place, step, why in (
                    (
                        ("respond", 1),
                        "deploy",
                        '"inject" has no change.deploy of app, whose undo would bring back what ran before',
                    ),
                    (
                        ("close", 0),
                        "migrate-down",
                        '"inject" has no change.migration of db, whose undo would bring back what ran before',
                    ),
                    (
                        ("close", 1),
                        "config-rollback",
                        '"inject" has no change.config of worker, whose undo would bring back what ran before',
                    ),
                )
            ],
        ),
        ({**QUIET, "quiet": {"for": "0s"}}, [(("quiet", "for"), "expected more than 0s")]),
        (
            {**QUIET, "quiet": {"for": "10m"}},
            [(("quiet", "for"), '10m is no shorter than the drill may take (10m); raise "limit"')],
        ),
        (minimal(limit="0s"), [(("limit",), "expected more than 0s")]),
        (minimal(targets={"detect": "0s"}), [(("targets", "detect"), "expected more than 0s")]),
        (
            minimal(targets={"recover": "15m"}),
            [(("targets", "recover"), 'the target (15m) is longer than the drill may take (10m); raise "limit"')],
        ),
        (minimal(targets={"recover": "15m"}, limit="20m"), []),
        (
            minimal(effect=[LOAD_PROBE]),
            [(("effect", 0, "probe"), 'the probe load needs "load": without users there is nothing to look at')],
        ),
        (
            minimal(verify=[{"check": "no_lost_writes", "ledger": "orders"}]),
            [
                (
                    ("verify", 0, "check"),
                    'the check no_lost_writes needs "load": without users there is nothing to look at',
                )
            ],
        ),
        (minimal(load=LOAD, verify=[{"check": "no_lost_writes", "ledger": "orders"}]), []),
        (
            minimal(load=LOAD, verify=[{"check": "no_lost_writes", "ledger": "ordrs"}]),
            [(("verify", 0, "ledger"), 'unknown ledger "ordrs"; "load" notes "orders"')],
        ),
        (
            minimal(load={"locustfile": "x"}, verify=[{"check": "no_duplicate_writes", "ledger": "orders"}]),
            [(("verify", 0, "ledger"), 'unknown ledger "orders"; "load" names no ledger')],
        ),
        (
            minimal(
                load=LOAD,
                steady_state={"probes": [{**LOAD_PROBE, "name": "a"}, {**LOAD_PROBE, "name": "b"}]},
                effect=[{**LOAD_PROBE, "name": "b"}],
            ),
            [(("effect", 0, "name"), 'another probe is called "b" already')],
        ),
        (
            minimal(waive=[{"target": "detect", "because": "x"}, {"target": "detect", "because": "y"}]),
            [(("waive", 1, "target"), '"detect" is waived already')],
        ),
    ],
)
def test_rules_between_keys(raw: dict[str, Any], expected: list[Any]) -> None:
    assert list(rules(raw, Kinds.default())) == expected
    if expected and "probes" in raw["steady_state"] and raw["steady_state"]["probes"]:
        with pytest.raises(ValidationError) as error:
            MODEL.model_validate(raw)
        assert all(text in str(error.value) for _, text in expected)


KEYS = """
inject quiet detect steady_state probes probe hold every targets limit waive target verify check ledger load for effect
name respond
"""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(KEYS.split()),
                inner,
                max_size=6,
            )
        ),
    )
)
def test_rules_pass_over_what_has_another_shape(data: Any) -> None:
    list(rules(data, Kinds.default()))


# -- the round trip through the timeline

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Zl", "Zp")), min_size=1, max_size=12)
NAMES = st.sampled_from(["db", "app", "provider"])
NUMBERS = st.floats(0.0011, 9e6, allow_nan=False).map(lambda x: f"{x:.9f}".rstrip("0").rstrip("."))
TIMES = st.builds("{}{}".format, NUMBERS, st.sampled_from(["ms", "s", "m", "h"])) | st.just("1h30m")
SHARES = st.builds("{}%".format, NUMBERS)
SIZES = st.builds("{}{}".format, NUMBERS, st.sampled_from(["B", "kB", "MiB", "GB"]))


def some(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


# No limit is longer, so that no drill is refused for a watchdog that comes too early.
TIMED = {"after": TIMES, "for": TIMES, "max": st.just("9999w")}
FAULT = (
    some({"fault": st.just("container.kill"), "service": NAMES}, {"replicas": st.integers(1, 3), **TIMED})
    | some(
        {"fault": st.just("network.latency"), "service": NAMES, "latency": TIMES},
        {"jitter": TIMES, "toxicity": SHARES, **TIMED},
    )
    | some({"fault": st.just("change.deploy"), "service": NAMES, "release": WORDS}, TIMED)
    | some(
        {"fault": st.just("time.travel"), "service": NAMES}, {"by": TIMES, "share": SHARES, "memory": SIZES, **TIMED}
    )
)
PROBE = (
    some(
        {"probe": st.just("http"), "url": st.just("http://app:3000/health")},
        {"status": st.sampled_from(["200", "5xx"]), "timeout": TIMES, "body": WORDS},
    )
    | some({"probe": st.just("tcp"), "service": NAMES, "port": st.integers(1, 65535)}, {"timeout": TIMES})
    | some(
        {"probe": st.just("load"), "error_rate": st.fixed_dictionaries({"below": SHARES})},
        {"p95": st.fixed_dictionaries({"below": TIMES}), "over": TIMES},
    )
)
ACTION = (
    some({"action": st.just("restart"), "service": NAMES}, {"timeout": TIMES})
    | some(
        {"action": st.just("announce"), "status": st.sampled_from(["investigating", "resolved"])},
        {"text": WORDS, "to": st.just("team")},
    )
    | some({"action": st.just("wait-for"), "url": st.just("http://app:3000/health")}, {"why": WORDS})
)
CHECK = some({"check": st.just("no_lost_writes"), "ledger": st.just("orders")}, {"within": TIMES}) | some(
    {"check": st.just("alert_resolved"), "alert": WORDS}, {"labels": st.dictionaries(WORDS, WORDS, max_size=2)}
)
DRILL = some(
    {
        "drill": WORDS.filter(lambda name: bool(name.strip()) and name.isprintable()),
        "severity": st.sampled_from(SEVERITIES),
        "load": some({"locustfile": WORDS, "ledger": st.just("orders")}, {"users": st.integers(1, 9)}),
        "steady_state": st.fixed_dictionaries({"probes": st.lists(PROBE, min_size=1, max_size=3)}),
        "inject": st.lists(FAULT, min_size=1, max_size=3),
        "detect": st.lists(some({"alert": WORDS}, {"labels": st.dictionaries(WORDS, WORDS)}), min_size=1, max_size=2),
        "limit": st.just("200w"),
    },
    {
        "tags": st.lists(st.sampled_from(["database", "week-1"])),
        "about": WORDS,
        "targets": st.dictionaries(
            st.sampled_from(list(LIMITS)), st.sampled_from(["30s", "1.0005s", "90m", "0.25ms", "100000.125s"])
        ),
        "waive": st.just([{"target": "detect", "because": "slow scrape"}]),
        "effect": st.lists(PROBE, max_size=2),
        "investigate": st.lists(ACTION, max_size=2),
        "respond": st.lists(ACTION, max_size=3),
        "close": st.lists(ACTION, max_size=2),
        "verify": st.lists(CHECK, max_size=2),
    },
)


@settings(max_examples=100)
@given(DRILL)
def test_a_drill_survives_the_timeline(raw: dict[str, Any]) -> None:
    model = scenario_model(WITH_TRAVEL)
    drill = model.model_validate(raw)
    dumped = json.loads(json.dumps(drill.dump()))
    again = model.model_validate(dumped)
    assert again == drill
    assert again.dump() == dumped
    assert [type(fault) for fault in again.inject] == [type(fault) for fault in drill.inject]


def test_a_quiet_drill_survives_the_timeline_by_its_own_words() -> None:
    drill = MODEL.model_validate(QUIET)
    assert drill.dump()["quiet"] == {"for": "1m"}
    assert MODEL.model_validate(drill.dump()) == drill


@pytest.mark.parametrize("unit", [Duration, Bytes, Percent])
@given(value=st.floats(0, 1e12))
def test_quantities_are_written_so_that_they_are_read_back(unit: type[Duration], value: float) -> None:
    assert unit.parse(unit(value).exact()) == value


@pytest.mark.parametrize("text", ["1s" * 1001, "9" * 400 + "s"])
def test_no_quantity_is_endless(text: str) -> None:
    with pytest.raises(ValueError, match="a duration with a unit"):
        Duration.parse(text)
