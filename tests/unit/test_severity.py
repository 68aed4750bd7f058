"""What a policy file may say, and which targets it binds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevdrill.errors import PolicyError
from sevdrill.severity import (
    LIMITS,
    SEVERITIES,
    TARGET_KEYS,
    Policy,
    load_policy,
    shipped_policies,
)
from sevdrill.units import Duration

DERIVED = ("detect", "rollback", "mitigate", "recover")


def policy(level: dict[str, Any], **others: Any) -> Policy:
    """A policy with one severity, which says ``level``."""
    return Policy.model_validate(raw(level, **others))


def raw(level: dict[str, Any], **others: Any) -> dict[str, Any]:
    whole = {
        "name": "Critical",
        "source": "Levels",
        "response": {"sop": "< 15 min", "limit": "15m", "source": "Levels"},
    }
    return {
        "policy": "ours",
        "document": {"file": "ours.md", "cite": "OURS", "title": "Ours"},
        "severities": {"SEV-1": whole | level},
        **others,
    }


def own(time: str, source: str = "Own") -> dict[str, str]:
    return {"sop": f"< {time}", "limit": time, "source": source}


class TestTargets:
    def test_response_time_binds_what_has_no_target_of_its_own(self) -> None:
        targets = policy({}).targets("SEV-1")
        assert list(targets) == ["detect", "respond", "rollback", "mitigate", "recover"]
        assert {target.limit for target in targets.values()} == {900}
        assert {target.source for target in targets.values()} == {'OURS, "Levels"'}
        assert [key for key, target in targets.items() if target.derived] == list(DERIVED)

    def test_the_response_time_is_respond_s_own_target(self) -> None:
        assert not policy({}).targets("SEV-1")["respond"].derived

    def test_an_own_target_binds_and_names_its_section(self) -> None:
        target = policy({"recover": own("4h", "Resolution")}).targets("SEV-1")["recover"]
        assert (target.limit, target.derived, target.source) == (4 * 3600, False, 'OURS, "Resolution"')

    @pytest.mark.parametrize("words", ["none", "Best effort", "Normal queue", "Next release"])
    def test_words_without_a_commitment_bind_nothing(self, words: str) -> None:
        nothing = {"sop": words, "binds": "nothing", "source": "Levels"}
        assert policy({"response": nothing}).targets("SEV-1") == {}
        assert "recover" not in policy({"recover": nothing}).targets("SEV-1")

    def test_immediate_is_shown_as_our_reading_wherever_it_binds(self) -> None:
        reading = {"sop": "immediate", "read_as": "5m", "because": "an hour is SEV-2", "source": "Levels"}
        for target in policy({"response": reading}).targets("SEV-1").values():
            assert target.limit == 300
            assert target.note == 'the SOP says "immediate"; read as 5m because an hour is SEV-2'

    def test_update_is_the_longest_pause_and_says_what_is_promised(self) -> None:
        every = {"sop": "Every 15-30 min", "promise": "15m", "limit": "30m", "source": "Update"}
        target = policy({"update_every": every}).targets("SEV-1")["update"]
        assert (target.limit, target.derived) == (1800, False)
        assert "every 15m" in target.note

    def test_a_derived_limit_waits_for_an_own_one_that_comes_before_it(self) -> None:
        target = policy({"mitigate": own("30m", "Phase 2")}).targets("SEV-1")["recover"]
        assert (target.limit, target.derived) == (1800, True)
        assert "mitigate" in target.note
        assert '"Phase 2"' in target.note

    def test_a_derived_limit_is_not_later_than_an_own_one_that_comes_after_it(self) -> None:
        targets = policy({"recover": own("10m")}).targets("SEV-1")
        assert {targets[key].limit for key in DERIVED} == {600}

    def test_a_severity_s_own_words_go_before_those_for_all(self) -> None:
        both = policy({"assess": own("1m")}, every_severity={"assess": own("5m"), "announce": own("10m")})
        assert both.targets("SEV-1")["assess"].limit == 60
        assert both.targets("SEV-1")["announce"].limit == 600
        assert both.severities["SEV-1"].announce is not None

    def test_every_key_that_has_a_mark_is_a_key(self) -> None:
        assert set(TARGET_KEYS) - set(LIMITS) == {"update", "root_cause"}
        assert set(LIMITS) <= set(TARGET_KEYS)
        assert LIMITS["detect"] == "detected"
        assert LIMITS["rollback"] == "rolled_back"

    def test_unknown_severity_says_which_there_are(self) -> None:
        with pytest.raises(PolicyError, match=r'no severity "SEV1"; it has SEV-1, did you mean "SEV-1"\?'):
            policy({}).targets("SEV1")

    @given(
        response=st.integers(1, 10**6),
        mine=st.dictionaries(st.sampled_from(DERIVED), st.integers(1, 10**6)),
    )
    def test_what_cannot_happen_in_another_order_has_limits_in_that_order(
        self, response: int, mine: dict[str, int]
    ) -> None:
        # An SOP may contradict itself; what is derived never adds to that.
        times = sorted(mine.values())
        mine = dict(zip((key for key in DERIVED if key in mine), times, strict=True))
        level = {"response": own(f"{response}s"), **{key: own(f"{time}s") for key, time in mine.items()}}
        targets = policy(level).targets("SEV-1")
        limits = [targets[key].limit for key in DERIVED]
        assert limits == sorted(limits)
        assert all(targets[key].limit == time and not targets[key].derived for key, time in mine.items())


class TestShipped:
    def test_the_default_is_first(self) -> None:
        assert shipped_policies() == ["sop-001", "playbook", "emergency-procedures", "sv-sdk", "gpt-platform"]

    @pytest.mark.parametrize("name", shipped_policies())
    def test_a_worse_severity_never_has_more_time(self, name: str) -> None:
        shipped = load_policy(name)
        for worse, milder in itertools.pairwise(SEVERITIES):
            there, here = shipped.targets(milder), shipped.targets(worse)
            assert set(here) >= set(there)
            assert all(here[key].limit <= there[key].limit for key in there)

    @pytest.mark.parametrize("name", shipped_policies())
    @pytest.mark.parametrize("severity", SEVERITIES)
    def test_limits_are_in_the_order_in_which_things_happen(self, name: str, severity: str) -> None:
        targets = load_policy(name).targets(severity)
        limits = [targets[key].limit for key in DERIVED if key in targets]
        assert limits == sorted(limits)

    @pytest.mark.parametrize("name", shipped_policies())
    def test_json_round_trip(self, name: str) -> None:
        shipped = load_policy(name)
        assert Policy.model_validate_json(shipped.model_dump_json()) == shipped


class TestLoading:
    def test_a_file_of_one_s_own(self, tmp_path: Path) -> None:
        path = tmp_path / "ours.yml"
        path.write_text(yaml.safe_dump(raw({})), encoding="utf-8")
        assert load_policy(str(path)).targets("SEV-1")["detect"].limit == 900

    def test_unknown_name(self) -> None:
        with pytest.raises(
            PolicyError, match=r'no policy "playbok", did you mean "playbook"\?(?s:.*)sop-001, playbook'
        ):
            load_policy("playbok")

    def test_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(PolicyError, match="cannot be read: No such file"):
            load_policy(str(tmp_path / "gone.yml"))

    def test_every_mistake_with_its_place(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.yml"
        path.write_text(
            "policy: bad\n"
            "document: {file: a.md, cite: A, title: A, titel: A}\n"
            "severities:\n"
            "  SEV1: {name: High, source: S, response: {sop: 1h, limit: 1h, source: S}}\n"
            "  SEV-2:\n"
            "    name: High\n"
            "    response: {sop: 5, limit: 5, source: S}\n"
            "    escalation:\n"
            "      - {level: 1, to: Lead, after: 1m, sop: x, source: S, wen: [major]}\n"
            "      - {level: 2, to: Lead, after: 1m, sop: x, source: S, when: [majr]}\n",
            encoding="utf-8",
        )
        with pytest.raises(PolicyError) as caught:
            load_policy(str(path))
        assert [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()[::3]] == [
            '2:43: unknown key "titel", did you mean "title"?',
            '4:3: unknown key "SEV1", did you mean "SEV-1"?',
            '5:3: missing key "source": title of the section that defines it',
            '7:21: expected text, not the number 5; put it in quotes: "5"',
            "7:31: expected a duration with a unit (ms, s, m, h, d, w), such as 30s, not the number 5",
            '9:60: unknown key "wen", did you mean "when"?',
            '10:67: unknown when "majr", did you mean "major"?',
        ]
        assert str(caught.value).splitlines()[1:3] == [
            "    document: {file: a.md, cite: A, title: A, titel: A}",
            "                                              ^",
        ]

    @pytest.mark.parametrize(
        ("text", "mistake"),
        [
            (b"", "1:1: the file is empty; a policy begins with `policy: its name`"),
            (b"- a\n", "1:1: this is no policy: expected keys such as policy, document and severities"),
            (b"a: 1\n", '1:1: missing key "severities"'),
            (b"severities: {SEV1: {}, high: {}}\n", '1:24: unknown key "high"; possible: SEV-1, SEV-2, SEV-3, SEV-4'),
            (b"document:\n", "1:10: expected keys and values, not nothing"),
            (b"a: [", "2:1: something is missing"),
            (b"a:\n\t- b\n", "2:1: a tab; YAML is indented with spaces"),
            (b"a: b\na: c\n", '2:1: the key "a" is here twice, first in line 1'),
            (b"a: &x {b: 1}\n<<: *x\n", "2:1: merge keys (<<) are not read here"),
            (b"a: \xff\n", "1:4: the file is not UTF-8"),
            (b"a: 1\n---\nb: 2\n", "2:1: a second document; a policy file holds one"),
            (b"a: " + b"[" * 400 + b"]" * 400, "1:53: nested deeper than 50 levels"),
            (b"a: " + b"b" * (1 << 20), "1:1: the file is larger than 1 MiB; that is no policy"),
            (b"? [a]\n: b\n", "1:3: a key must be text"),
        ],
    )
    def test_what_is_no_policy_at_all(self, tmp_path: Path, text: bytes, mistake: str) -> None:
        path = tmp_path / "bad.yml"
        path.write_bytes(text)
        with pytest.raises(PolicyError) as caught:
            load_policy(str(path))
        assert mistake in str(caught.value)

    @pytest.mark.parametrize(
        ("limit", "mistake"),
        [
            ({}, "exactly one of limit, read_as and binds, found none"),
            ({"limit": "1m", "binds": "nothing"}, "found limit and binds"),
            ({"read_as": "1m"}, "read_as needs because"),
            ({"limit": "0s"}, "longer than 0s"),
        ],
    )
    def test_a_limit_means_one_thing(self, tmp_path: Path, limit: dict[str, str], mistake: str) -> None:
        path = tmp_path / "bad.yml"
        path.write_text(yaml.safe_dump(raw({"response": {"sop": "x", "source": "S"} | limit})), encoding="utf-8")
        with pytest.raises(PolicyError, match=mistake):
            load_policy(str(path))

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
    @given(data=st.binary(max_size=200))
    def test_any_bytes_give_a_clear_error(self, tmp_path: Path, data: bytes) -> None:
        path = tmp_path / "any.yml"
        path.write_bytes(data)
        with pytest.raises(PolicyError):
            load_policy(str(path))

    @given(seconds=st.integers(1, 10**7))
    def test_limits_survive_a_round_trip(self, seconds: int) -> None:
        before = policy({"recover": own(str(Duration(seconds)))})
        assert Policy.model_validate_json(before.model_dump_json()) == before
        assert before.targets("SEV-1")["recover"].limit == seconds


class TestEscalation:
    LEVEL = policy(
        {
            "escalation": [
                {"level": 1, "to": "On-call", "after": "0s", "sop": "first", "source": "Path"},
                {"level": 2, "to": "Manager", "after": "30m", "sop": "30 min", "source": "Path"},
                {"level": 3, "to": "Legal", "after": "0s", "when": ["data_breach"], "sop": "breach", "source": "Path"},
            ]
        }
    ).level("SEV-1")

    @pytest.mark.parametrize(
        ("elapsed", "conditions", "to"),
        [
            (0, (), ["On-call"]),
            (1799, (), ["On-call"]),
            (1800, (), ["On-call", "Manager"]),
            (0, ("data_breach",), ["On-call", "Legal"]),
            (0, ("business",), ["On-call"]),
        ],
    )
    def test_who_must_have_been_brought_in(self, elapsed: float, conditions: tuple[str, ...], to: list[str]) -> None:
        assert [step.to for step in self.LEVEL.escalations_due(elapsed, conditions)] == to


class TestMessages:
    TEMPLATE: ClassVar[dict[str, Any]] = {
        "source": "Template",
        "to": ["status-page"],
        "statuses": ["investigating"],
        "subject": "{status} now",
        "text": "Status: {status}, ETA: {eta}, again {status}",
        "placeholders": {"status": "[STATUS]", "eta": "[IF KNOWN]"},
    }

    def test_filled_in_unfilled_and_as_written(self) -> None:
        template = policy({}, messages={"first": self.TEMPLATE}).messages["first"]
        assert template.fields == ("status", "eta")
        assert template.as_written() == "Status: [STATUS], ETA: [IF KNOWN], again [STATUS]"
        assert template.fill({"status": "{eta}"}) == "Status: {eta}, ETA: [IF KNOWN], again {eta}"
        assert template.fill_subject({"status": "down"}) == "down now"

    def test_fields_and_placeholders_must_agree(self, tmp_path: Path) -> None:
        path = tmp_path / "bad.yml"
        wrong = self.TEMPLATE | {"placeholders": {"status": "[STATUS]", "other": "x"}}
        path.write_text(yaml.safe_dump(raw({}, messages={"first": wrong})), encoding="utf-8")
        with pytest.raises(PolicyError, match='only one names "eta", "other"'):
            load_policy(str(path))

    def test_the_audience_s_own_template_goes_first(self) -> None:
        team = self.TEMPLATE | {"to": ["team"]}
        both = policy({}, messages={"first": self.TEMPLATE, "team": team})
        assert both.message("investigating", to="team") == both.messages["team"]
        assert both.message("investigating", to="legal") == both.messages["first"]
        assert both.message("resolved") is None

    def test_a_status_without_a_word_is_said_plainly(self) -> None:
        assert policy({}).status_word("monitoring") == "Monitoring"
