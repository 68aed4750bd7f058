"""How far from the truth measured times are: a service fails and comes back at moments that are known."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sevdrill.clock import SystemClock
from sevdrill.lines import Interval, Sample
from sevdrill.ports import Endpoints, Ports, Reading
from sevdrill.probes.web import HttpProbe
from sevdrill.sampling import Sampler
from sevdrill.stretches import became_true, last_stretch
from sevdrill.timeline import TimelineWriter

POLL = 0.05
ROUNDS = 20
SPARE = 0.020

pytestmark = pytest.mark.benchmark


class Service(ThreadingHTTPServer):
    """Answers 200, or 500 when it is made to fail."""

    daemon_threads = True
    failing = False

    def url(self, url: str) -> str:
        return url


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Service)
        self.send_response(500 if self.server.failing else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_every_interval_holds_the_truth_and_is_hardly_wider_than_the_poll(tmp_path: Path, service: Service) -> None:
    timeline = TimelineWriter(tmp_path / "timeline.jsonl", SystemClock())
    url = f"http://127.0.0.1:{service.server_address[1]}/"
    ports = Ports({Endpoints: service})
    good, bad = (
        Sampler(status, partial(HttpProbe(probe="http", url=url, status=status).read, ports), POLL, timeline)
        for status in ("200", "5xx")
    )
    # What the machine itself is late by, when others keep it busy: a look at nothing, as often.
    idle = Sampler("idle", lambda: Reading(ok=True), POLL, timeline)
    found: list[tuple[Interval, Interval]] = []
    for sampler in (good, bad, idle):
        sampler.start()
    try:
        _wait(timeline, lambda: bool(good.samples) and bool(bad.samples))
        for turn in range(ROUNDS):
            healthy = timeline.now()
            # Spread over the poll, so that no change is always met at the same point of it.
            time.sleep(POLL * (1 + turn / ROUNDS))
            failed = _set(service, timeline, failing=True)
            _wait(timeline, partial(_says_so, bad, good, failed.hi))
            felt = became_true(bad.samples, healthy)
            time.sleep(POLL * (1 + (turn * 7 % ROUNDS) / ROUNDS))
            cured = _set(service, timeline, failing=False)
            _wait(timeline, partial(_says_so, good, bad, cured.hi))
            recovered = last_stretch(good.samples, POLL)
            assert felt is not None
            assert recovered is not None
            found += [(failed, felt), (cured, recovered.began)]
    finally:
        for sampler in (good, bad, idle):
            sampler.end()
        for sampler in (good, bad, idle):
            sampler.join()
        timeline.close()
    for truth, seen in found:
        assert seen.lo <= truth.hi
        assert truth.lo <= seen.hi
    width, median = _p95([seen.hi - seen.lo for _, seen in found])
    late = max(0.0, _p95([b.end - a.start for a, b in pairwise(idle.samples)])[0] - POLL)
    print(f"{len(found)} changes, a poll every {POLL:.3f} s: intervals of {median:.4f} s, p95 {width:.4f} s")
    print(f"of which the machine's own lateness: {late:.4f} s")
    assert width <= POLL + SPARE + late


def _p95(values: list[float]) -> tuple[float, float]:
    """The 95th percentile, and the median."""
    ordered = sorted(values)
    return ordered[math.ceil(0.95 * len(ordered)) - 1], ordered[len(ordered) // 2]


def _set(service: Service, timeline: TimelineWriter, *, failing: bool) -> Interval:
    """Switch the service; between these two looks at the clock it happened."""
    before = timeline.now()
    service.failing = failing
    return Interval(before, timeline.now())


def _says_so(now: Sampler, no_more: Sampler, moment: float) -> bool:
    def last(samples: list[Sample]) -> bool | None:
        return samples[-1].ok if samples and samples[-1].start > moment else None

    return last(now.samples) is True and last(no_more.samples) is False


def _wait(timeline: TimelineWriter, condition: Any) -> None:
    with timeline.changed:
        assert timeline.changed.wait_for(condition, 10)
