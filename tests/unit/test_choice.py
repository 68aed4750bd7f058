"""Which kind of stack is chosen, and what is said of it; no engine is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from sevdrill.clock import SystemClock
from sevdrill.errors import EngineUnavailable, Refused, Unsupported, UsageError
from sevdrill.stacks import choice
from sevdrill.stacks.compose import ComposeStack
from sevdrill.stacks.embedded.stack import EmbeddedStack
from sevdrill.stacks.engine import Engine

PROCESS = "services: {web: {x-sevdrill: {process: {command: [python]}}}}\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("CI", raising=False)
    path = tmp_path / "compose.yml"
    path.write_text(PROCESS, encoding="utf-8")
    return path


def engine(monkeypatch: pytest.MonkeyPatch, answer: Exception | None) -> None:
    def check(self: Engine) -> None:
        if answer is not None:
            raise answer

    monkeypatch.setattr(Engine, "locate", classmethod(lambda cls, allow=None: cls("unix:///x")))
    monkeypatch.setattr(Engine, "check", check)


GONE = EngineUnavailable("no container engine answers at unix:///x: refused\nStart it")


def test_compose_where_an_engine_answers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(monkeypatch, None)
    assert choice.choose("auto", [file]) == choice.Choice("compose", "a container engine answers")


def test_embedded_where_none_answers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(monkeypatch, GONE)
    assert choice.choose("auto", [file]) == choice.Choice("embedded", "no container engine answers at unix:///x")


@pytest.mark.parametrize("ci", ["true", "1"])
def test_in_ci_nothing_is_taken_silently(file: Path, monkeypatch: pytest.MonkeyPatch, ci: str) -> None:
    engine(monkeypatch, GONE)
    monkeypatch.setenv("CI", ci)
    with pytest.raises(UsageError, match=r"refused\nWith CI set .* --drill-stack embedded .* --drill-stack compose"):
        choice.choose("auto", [file])
    assert choice.choose("embedded", [file]).kind == "embedded"
    monkeypatch.setenv("CI", "false")
    assert choice.choose("auto", [file]).kind == "embedded"


def test_compose_where_no_service_has_a_process(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine(monkeypatch, GONE)
    file.write_text("services: {web: {image: x}}\n", encoding="utf-8")
    assert choice.choose("auto", [file]).kind == "compose"


def test_an_engine_that_may_not_be_used_is_no_reason_for_another_stack(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine(monkeypatch, Refused("not on this machine"))
    assert choice.choose("auto", [file]).kind == "compose"


def test_an_unknown_kind_is_refused(file: Path) -> None:
    with pytest.raises(UsageError, match='there is no kind of stack "docker"; expected one of auto, compose, embedded'):
        choice.choose("docker", [file])


def test_a_stack_is_found_again_by_what_it_is(file: Path, tmp_path: Path) -> None:
    from sevdrill.clock import SystemClock

    clock = SystemClock()
    made = choice.make("embedded", (file,), "some", tmp_path, clock, keep=True, remote=None)
    assert isinstance(choice.attach(made.descriptor(), clock), EmbeddedStack)
    assert isinstance(choice.named("some", tmp_path, clock), ComposeStack)
    (tmp_path / "stacks" / "some").mkdir(parents=True)
    (tmp_path / "stacks" / "some" / "embedded.json").write_text("{}")
    assert isinstance(choice.named("some", tmp_path, clock), EmbeddedStack)


def test_a_profile_that_the_files_do_not_have_is_said(file: Path, tmp_path: Path) -> None:
    file.write_text(PROCESS.replace("{web: {", "{web: {profiles: [standby], "), encoding="utf-8")
    told = r'compose.yml: there is no profile "standbye", did you mean "standby"\? \(profiles: standby\)'
    with pytest.raises(Unsupported, match=told):
        choice.make("embedded", (file,), "x", tmp_path, SystemClock(), keep=False, remote=None, profiles=("standbye",))
