"""Evidence that is gathered alike from every stack, from a made-up Prometheus and made-up releases."""

from __future__ import annotations

import hashlib
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sevdrill.clock import SystemClock
from sevdrill.errors import StackError
from sevdrill.gathering import MOST, Surveys, copy_archives, gather
from sevdrill.ports import Endpoints, Environment, Lifecycle, Monitoring, Ports, Release
from sevdrill.stacks.metrics import POINTS, SERIES, survey
from sevdrill.stacks.monitoring import HttpMonitoring
from sevdrill.stacks.settings import MonitoringSettings

RULE = {
    "name": "DatabaseDown",
    "type": "alerting",
    "query": "up == 0",
    "duration": 20,
    "labels": {"severity": "page"},
    "state": "firing",
}
ANSWERS: dict[str, Any] = {
    "/api/v1/rules": {"groups": [{"name": "shop", "interval": 2, "rules": [RULE, {**RULE, "type": "recording"}]}]},
    "/api/v1/targets": {"activeTargets": [{"scrapeInterval": "1s"}, {"scrapeInterval": "5s"}, {"scrapeInterval": "?"}]},
    "/api/v1/query_range": {"result": [{"metric": {}, "values": [[1, "0"]]}] * 50},
}


class Prometheus:
    def __init__(self, **answers: Any) -> None:
        self.answers = {**ANSWERS, **answers}
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    def get(self, url: str) -> tuple[int, Any]:
        parts = urlsplit(url)
        self.asked.append((parts.path, parse_qs(parts.query)))
        data = self.answers.get(parts.path)
        return (404, "no") if data is None else (200, {"status": "success", "data": data})


class Stack:
    def services(self) -> list[str]:
        return ["app", "db"]

    def releases(self, service: str) -> dict[str, str]:
        return {"1.0": "app:1.0"} if service == "app" else {}

    def deployed(self, service: str) -> dict[str, str]:
        return {"app-1": "1.0"}

    def history(self, service: str) -> list[str]:
        return ["1.0", "1.1", "1.0"]


class Configured:
    def running(self, service: str) -> dict[str, int]:
        return {"app-1": 0}

    def history(self, service: str) -> list[int]:
        return [0, 1, 0] if service == "app" else [0]


class Told:
    def __init__(self, told: Any) -> None:
        self.told = told

    def survey(self, seconds: float) -> dict[str, Any]:
        if isinstance(self.told, Exception):
            raise self.told
        return {"prometheus.json": self.told}


def test_a_survey_has_intervals_rules_and_the_queries_behind_them() -> None:
    prometheus = Prometheus()
    found = survey(prometheus.get, "http://prometheus:9090", 1000.0, 4000.0)
    known, queries = found["prometheus.json"], found["queries.json"]
    assert (known["scrape_interval"], known["evaluation_interval"]) == (5.0, 2)
    assert [(rule["name"], rule["for"], rule["query"]) for rule in known["rules"]] == [("DatabaseDown", 20, "up == 0")]
    assert len(queries["DatabaseDown"]["series"]) == SERIES
    path, asked = prometheus.asked[-1]
    assert path == "/api/v1/query_range"
    assert asked["query"] == ["up == 0"]
    assert 3000.0 / float(asked["step"][0]) <= POINTS


def test_a_query_that_fails_is_told_and_a_prometheus_that_says_nothing_is_an_error() -> None:
    gone = Prometheus(**{"/api/v1/query_range": None})
    found = survey(gone.get, "http://prometheus:9090", 0, 10)
    assert "answered 404" in found["queries.json"]["DatabaseDown"]["error"]
    with pytest.raises(StackError, match="answered 404 when asked for /api/v1/rules"):
        survey(Prometheus(**{"/api/v1/rules": None}).get, "http://prometheus:9090", 0, 10)


def test_without_its_targets_a_prometheus_still_tells_its_rules() -> None:
    found = survey(Prometheus(**{"/api/v1/targets": None}).get, "http://prometheus:9090", 0, 10)
    assert found["prometheus.json"]["scrape_interval"] is None
    assert "answered 404 when asked for /api/v1/targets" in found["prometheus.json"]["scrape_interval_error"]
    assert found["prometheus.json"]["evaluation_interval"] == 2
    assert found["queries.json"]["DatabaseDown"]["series"]


def test_releases_configurations_commits_and_metrics_are_written(tmp_path: Path) -> None:
    stack = Stack()
    ports = Ports(
        {Monitoring: Told({"scrape_interval": 1}), Release: stack, Lifecycle: stack, Environment: Configured()}
    )
    root = tmp_path / "project"
    root.mkdir()
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "Break orders"], check=True)
    files = gather(ports, tmp_path / "evidence", 60, root)
    read = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in files}
    assert read["prometheus.json"] == {"scrape_interval": 1}
    assert read["changes.json"]["releases"]["app"]["history"] == ["1.0", "1.1", "1.0"]
    assert list(read["changes.json"]["releases"]) == ["app"]
    assert read["changes.json"]["configurations"] == {"app": {"running": {"app-1": 0}, "history": [0, 1, 0]}}
    assert read["changes.json"]["commits"][0].endswith("Break orders")


def test_what_cannot_be_read_is_said_where_it_should_be(tmp_path: Path) -> None:
    broken = Ports({Monitoring: Told(StackError("no answer"))})
    files = {file.name: file.read_text(encoding="utf-8") for file in gather(broken, tmp_path, 60, tmp_path)}
    assert "no answer" in files["prometheus.json"]
    assert json.loads(files["changes.json"]) == {"commits": []}


def test_evidence_is_bounded(tmp_path: Path) -> None:
    huge = Ports({Monitoring: Told({"x": "y" * (MOST + 1)})})
    (file,) = (f for f in gather(huge, tmp_path, 60, tmp_path) if f.name == "prometheus.json")
    assert "left out" in file.read_text(encoding="utf-8")
    assert file.stat().st_size < 1000


def test_the_monitoring_of_our_stacks_can_be_surveyed() -> None:
    settings = MonitoringSettings.model_validate({"alertmanager": "http://am:9093"})
    monitoring = HttpMonitoring(settings, None, SystemClock())  # type: ignore[arg-type]
    assert isinstance(monitoring, Surveys)
    assert monitoring.survey(10) == {}


class Archives:
    """A service that tells of an archive, and gives what it is told to."""

    def __init__(self) -> None:
        self.kept, self.given = b"one\ntwo\n", b"one\ntwo\n"
        archives = self

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                told = {"sha256": hashlib.sha256(archives.kept).hexdigest(), "lines": 2, "from": 1, "to": 2}
                answers = {"/archive": json.dumps(told).encode(), "/archive/copy": archives.given}
                body = answers.get(self.path, b"")
                self.send_response(200 if body else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, url: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{urlsplit(url).path}"


@pytest.fixture
def archives() -> Iterator[Archives]:
    archives = Archives()
    yield archives
    archives.server.shutdown()
    archives.server.server_close()


def test_archives_are_copied_out_of_the_stack(archives: Archives, tmp_path: Path) -> None:
    url = "http://edge:3300/archive"
    (file,) = copy_archives(Ports({Endpoints: archives}), tmp_path, [url, url])
    assert file.name == "archive-1-edge.jsonl"
    assert file.read_bytes() == archives.kept


@pytest.mark.parametrize(
    ("path", "given", "why"),
    [
        ("/archive", b"one\nTWO\n", "gave something else than what has the sha256"),
        ("/archive", b"", "answered 404"),
        ("/nothing", b"x", "answered 404: ; expected such as"),
    ],
)
def test_what_is_no_copy_is_said_in_its_place(
    archives: Archives, tmp_path: Path, path: str, given: bytes, why: str
) -> None:
    archives.given = given
    (file,) = copy_archives(Ports({Endpoints: archives}), tmp_path, [f"http://edge:3300{path}"])
    assert file.name == "archive-1-edge.txt"
    assert why in file.read_text(encoding="utf-8")
