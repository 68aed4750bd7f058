"""`sevdrill card`: what an SOP says about a severity or a symptom, on one screen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sevdrill.cli import main
from sevdrill.errors import UsageError
from sevdrill.reports.card import HEIGHT, WIDTH, card, topics
from sevdrill.severity import SEVERITIES, load_policy, shipped_policies


@pytest.mark.parametrize("name", shipped_policies())
def test_every_card_fits_on_a_screen_and_says_something(name: str) -> None:
    policy = load_policy(name)
    known = topics(policy)
    assert known[:4] == list(SEVERITIES)
    for topic in known:
        lines = card(policy, topic)
        assert 2 <= len(lines) <= HEIGHT < 24, topic
        assert max(map(len, lines)) <= WIDTH < 80, topic
        # Where something is left out, the card that has it is there.
        for hint in re.findall(r'sevdrill card "(.*)"', "\n".join(lines)):
            assert hint in known, topic


def test_the_card_of_a_severity_has_actions_contacts_fixes_and_checklist() -> None:
    text = "\n".join(card(load_policy("sop-001"), "SEV-1"))
    for action in load_policy("sop-001").level("SEV-1").actions:
        assert action in text
    for words in ("answer: < 15 min", "@dev-oncall", "@project-lead", "Switch to backup key", "[ ] What is affected?"):
        assert words in text
    assert "Mandatory post-mortem" in text


def test_the_playbooks_checklist_for_sev_1_is_whole() -> None:
    policy = load_policy("playbook")
    (checklist,) = (each for each in policy.checklists if each.name == "SEV-1 Response Checklist")
    text = "\n".join(card(policy, "SEV-1"))
    assert [item for item in checklist.items if f"[ ] {item}" not in text] == []


@pytest.mark.parametrize("words", ["429", "rate limited", "API 429 (Rate Limit)", "Too Many Requests", "limit 429"])
def test_a_symptom_is_found_by_its_words(words: str) -> None:
    text = "\n".join(card(load_policy("sop-001"), words))
    assert text.startswith("SOP-001 · API 429 (Rate Limit)")
    assert "FIX    Switch to backup key, reduce requests" in text
    assert "status.openai.com" in text
    assert "CALL   On-Call Dev @dev-oncall: First responder" in text


def test_another_sop_has_its_own_answer() -> None:
    text = "\n".join(card(load_policy("playbook"), "429"))
    assert "1. Disable non-critical features" in text
    assert "$API_GATEWAY set-rate-limit --rps=100" in text


def test_commands_are_shown_whole() -> None:
    text = " ".join(" ".join(card(load_policy("sop-001"), "docker rollback")).split())
    assert "docker run -d --name aichat-rollback -p 3000:3000 --env-file .env aichat:previous-tag" in text


def test_a_contact_that_nobody_filled_in_does_not_look_like_one() -> None:
    text = "\n".join(card(load_policy("sv-sdk"), "SEV-1"))
    assert "On-Call Engineer (not filled in)" in text
    assert "[Contact]" not in text


@pytest.mark.parametrize("words", ["SEV-1", "sev1", "1", "Sev 1", "sev_1"])
def test_a_severity_is_known_however_it_is_written(words: str) -> None:
    assert card(load_policy("sop-001"), words)[0].startswith("SOP-001 · SEV-1 Critical")


@pytest.mark.parametrize("words", ["SEV-5", "flux capacitor", "", "()"])
def test_what_it_does_not_know_lists_what_it_knows(words: str) -> None:
    with pytest.raises(UsageError) as error:
        card(load_policy("sop-001"), words)
    for known in ("SEV-1", "API 429 (Rate Limit)", "Certificate errors", "contacts"):
        assert known in " ".join(str(error.value).split())


def test_a_typo_is_answered_with_what_was_meant() -> None:
    with pytest.raises(UsageError, match='did you mean "Docker Rollback"'):
        card(load_policy("sop-001"), "Docker Rolback")


def test_from_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["card", "build", "failure", "--policy", "sop-001"]) == 0
    shown = capsys.readouterr().out
    assert "Check dependencies, rollback package.json" in shown
    assert "git diff HEAD~1 package.json" in shown
    assert main(["card", "nonsense"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "it knows:" in captured.err
    assert "Traceback" not in captured.err


def test_a_policy_of_ones_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "ours.yml"
    file.write_text(
        "policy: ours\n"
        "document: {file: ours.md, cite: OURS, title: Ours}\n"
        "severities:\n"
        "  SEV-1: {name: Bad, source: All, response: {sop: soon, limit: 5m, source: All}}\n"
        "quick_fixes: {source: All, fixes: [{symptom: 'Fire \\e[31m', fix: Water, also: [smoke]}]}\n".replace(
            "'Fire \\e[31m'", '"Fire \\e[31m"'
        )
    )
    assert main(["card", "smoke", "--policy", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "FIX    Water" in shown
    assert "CALL   the SOP names nobody" in shown
    assert "\x1b" not in shown
    assert main(["card", "sev-2", "--policy", str(file)]) == 2
