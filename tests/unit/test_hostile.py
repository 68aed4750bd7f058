"""Whatever a file holds: a clear refusal, and never a traceback, a hang, or the machine's memory."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import hostile_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sevdrill.diagnostics import load
from sevdrill.errors import SevdrillError, UsageError
from sevdrill.severity import load_policy
from sevdrill.stacks.files import load_printed, service_names
from sevdrill.stacks.rewrite import rewrite
from sevdrill.stacks.settings import read_settings

ROOT = Path(__file__).parents[2]
quick = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], float]:
    folder = tmp_path_factory.mktemp("hostile") / "files"
    command = [sys.executable, hostile_files.__file__, str(folder)]
    # Who hangs does so until the end of the job: the time is generous, for a machine that is busy.
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    *files, last = [json.loads(line) for line in done.stdout.splitlines()]
    return files, last["megabytes"]


def test_a_hostile_file_is_refused_in_words_and_never_with_a_traceback(found: Any) -> None:
    files, _ = found
    assert len(files) > 120
    assert [(each["file"], each["trouble"]) for each in files if each["trouble"]] == []
    for each in files:
        assert each["code"] in (1, 2), each
        assert each["said"].strip(), each
        assert "Traceback" not in each["said"]
        # It names the file, and brings nothing into the terminal.
        stem = Path(each["file"]).stem.encode().decode("unicode_escape", "replace").split("-\\")[0]
        assert stem[:4] in each["said"] or each["file"].startswith(("compose", "drills")), each
        assert all(char.isprintable() or char == "\n" for char in each["said"]), each


def test_a_hostile_file_takes_neither_time_nor_memory(found: Any) -> None:
    files, megabytes = found
    assert megabytes < 200
    # Time of the processor, not of the wall; the slowest takes two seconds.
    assert [each["file"] for each in files if each["took"] > 20] == []


# -- the project's own files, with something wrong -------------------------------------------------------------------

BITS = [
    "\0",
    "\xff",
    "\ud800",
    "\u202e",
    "9" * 400,
    "x" * 3000,
    "<<: *a\n",
    "|\n",
    "\n",
    "\n\n",
    "---\n",
    "...",
    "- ",
    ": ",
]
BITS += [
    "\t",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!!x ",
    "~",
    ".nan",
    "1e999",
    '"',
    "'",
    ">",
    "#",
    "%",
    "? ",
    "true",
]
PIECES = st.sampled_from(BITS)
MISPUT = st.lists(st.tuples(st.floats(0, 0.999), PIECES, st.integers(0, 12)), min_size=1, max_size=4)


def _misput(raw: bytes, changes: list[tuple[float, str, int]]) -> bytes:
    for where, piece, gone in changes:
        at = int(where * len(raw))
        raw = raw[:at] + piece.encode("utf-8", "surrogatepass") + raw[at + gone :]
    return raw


@given(file=st.sampled_from(sorted((ROOT / "drills").glob("*.yml"))), changes=MISPUT)
@quick
def test_any_change_of_a_drill_is_read_or_refused(
    tmp_path: Path, file: Path, changes: list[tuple[float, str, int]]
) -> None:
    (tmp_path / "x.yml").write_bytes(_misput(file.read_bytes(), changes))
    with contextlib.suppress(SevdrillError):
        load(tmp_path / "x.yml", services=["app", "db"])


@given(changes=MISPUT)
@settings(quick, max_examples=25)
def test_any_change_of_a_policy_is_read_or_refused(tmp_path: Path, changes: list[tuple[float, str, int]]) -> None:
    raw = (ROOT / "plugins" / "sevdrill" / "policies" / "sop-001.yml").read_bytes()
    (tmp_path / "x.yml").write_bytes(_misput(raw, changes))
    with contextlib.suppress(SevdrillError):
        load_policy(str(tmp_path / "x.yml")).targets("SEV-1")


@given(changes=MISPUT)
@quick
def test_any_change_of_compose_files_is_read_or_refused(tmp_path: Path, changes: list[tuple[float, str, int]]) -> None:
    raw = _misput((ROOT / "docker-compose.drill.yml").read_bytes(), changes)
    (tmp_path / "x.yml").write_bytes(raw)
    with contextlib.suppress(SevdrillError):
        service_names([tmp_path / "x.yml"])
    with contextlib.suppress(SevdrillError):
        _rewritten(load_printed(raw.decode("utf-8", "replace")))


ATOMS = [0, -1, 70_000, 10**30, 0.5, float("nan"), float("inf"), "", "x", "db", "5432", "http://db:1/", "\0"]
KEYS = st.sampled_from(["db", "app", "target", "read", "service", "aliases", "", "x"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.sampled_from(ATOMS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=5,
)
SETTINGS = ["entry", "proxies", "direct", "monitoring", "ledgers", "admin", "releases", "healthy_within", "allow", "x"]
SERVICE = ["image", "build", "ports", "expose", "networks", "depends_on", "links", "volumes", "volumes_from", "labels"]
SERVICE += ["environment", "network_mode", "deploy", "scale", "container_name", "profiles", "configs", "command", "pid"]
PARTS = ["networks", "volumes", "configs", "secrets"]


@given(
    settings_=st.dictionaries(st.sampled_from(SETTINGS), VALUES, max_size=4),
    services=st.dictionaries(
        st.sampled_from(["db", "app"]), st.dictionaries(st.sampled_from(SERVICE), VALUES, max_size=5) | VALUES
    ),
    more=st.dictionaries(st.sampled_from(PARTS), VALUES, max_size=2),
)
@settings(quick, max_examples=200)
def test_any_shape_of_a_compose_model_is_rewritten_or_refused(
    settings_: dict[str, Any], services: dict[str, Any], more: dict[str, Any]
) -> None:
    with contextlib.suppress(SevdrillError):
        _rewritten({"x-sevdrill": {"target": "staging", **settings_}, "services": services, **more})


def _rewritten(model: dict[str, Any]) -> None:
    from sevdrill.masking import Masker

    Masker().learn_compose(model)
    settings_ = read_settings(model.get("x-sevdrill"), model.get("services") or {}, "x.yml")
    rewrite(model, settings_, "x", lambda _, port: port, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("proxies: {db: [70000]}", r"x-sevdrill\.proxies\.db\.0: .*less than or equal to 65535"),
        ("monitorng: {}", 'x-sevdrill.monitorng: unknown key, did you mean "monitoring"?'),
        ("ledgers: {a: {servce: db, read: [x]}}", 'x-sevdrill.ledgers.a.servce: unknown key, did you mean "service"?'),
        (
            "monitoring: {alertmanger: x}",
            'x-sevdrill.monitoring.alertmanger: unknown key, did you mean "alertmanager"?',
        ),
        ("proxies: {dv: []}", 'x-sevdrill.proxies.dv: there is no service "dv", did you mean "db"?'),
    ],
)
def test_mistakes_in_what_a_stack_says_of_itself_name_the_right_word(text: str, says: str) -> None:
    model = load_printed(
        f"x-sevdrill: {{target: staging, {text}}}\nservices: {{db: {{image: x}}, app: {{image: x}}}}\n"
    )
    with pytest.raises(UsageError) as caught:
        _rewritten(model)
    assert says in str(caught.value) or re.search(says, str(caught.value))


def test_a_message_about_a_file_brings_no_escapes_into_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_text('drill: "\\e[2J"\n"\\e]0;x\\a\\u202e": "\\u009b1m"\n', encoding="utf-8")
    with pytest.raises(SevdrillError) as caught:
        load(tmp_path / "x.yml")
    assert all(char.isprintable() or char == "\n" for char in str(caught.value))
