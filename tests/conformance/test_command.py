"""``sevdrill toxiproxy``: its options, what it prints, and how it ends."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from toxiproxies import LIMIT, built_in, free_port, listening

COMMAND = [sys.executable, "-m", "sevdrill", "toxiproxy"]


def _fails(*options: str) -> str:
    """What it says when it does not even begin."""
    done = subprocess.run([*COMMAND, *options], capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_told(number: signal.Signals) -> None:
    command = [*COMMAND, "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert re.fullmatch(r"127\.0\.0\.1:\d+\n", process.stdout.readline())
        process.send_signal(number)
        assert process.communicate(timeout=LIMIT) == ("", "")
    assert process.returncode == 0


def test_it_ends_with_open_connections() -> None:
    with built_in() as server, socket.create_connection(("127.0.0.1", server.port)) as half:
        half.sendall(b"GET ")
        proxy = {"name": "p", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{server.port}"}
        port = int(server.ok("POST", "/proxies", proxy)["listen"].rpartition(":")[2])
        through = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        through.sendall(b"GET ")
    assert through.recv(1) == b""
    through.close()


def test_it_begins_with_the_proxies_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "proxies.json"
    proxies = [{"name": name, "listen": f"127.0.0.1:{free_port()}", "upstream": "127.0.0.1:9"} for name in "ab"]
    file.write_text(json.dumps([*proxies, {"name": "off", "upstream": "u:1", "enabled": False}]))
    with built_in("--config", str(file)) as server:
        shown = server.ok("GET", "/proxies")
        assert [(name, proxy["enabled"]) for name, proxy in shown.items()] == [("a", True), ("b", True), ("off", False)]
        assert shown["a"]["listen"] == proxies[0]["listen"]


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "proxies.json"
    assert str(file) in _fails("--config", str(file))
    file.write_text('{"proxies": []}')
    assert re.search(r"proxies.json: .*expected a JSON array", _fails("--listen", "127.0.0.1:0", "--config", str(file)))
    assert "expected HOST:PORT" in _fails("--listen", "nonsense")
    with listening() as taken:
        assert "address already in use" in _fails("--listen", f"127.0.0.1:{taken.getsockname()[1]}")


def test_it_ends_with_the_process_that_it_belongs_to() -> None:
    with subprocess.Popen(["sleep", "60"]) as parent:
        command = [*COMMAND, "--listen", "127.0.0.1:0", "--parent-pid", str(parent.pid)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            assert process.poll() is None
            parent.kill()
            parent.wait(LIMIT)
            assert process.wait(LIMIT) == 0


def test_it_does_not_stay_where_that_process_is_gone_already() -> None:
    with subprocess.Popen(["true"]) as gone:
        gone.wait(LIMIT)
    command = [*COMMAND, "--listen", "127.0.0.1:0", "--parent-pid", str(gone.pid)]
    assert subprocess.run(command, capture_output=True, timeout=LIMIT).returncode == 0
