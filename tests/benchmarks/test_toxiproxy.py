"""The built-in Toxiproxy against the real one: the same work in one run, in short turns whose order is shuffled.

What counts is the ratio of the two. A machine that does something else meanwhile slows down turns of both: rates are
those of the best tenth of the turns, times of the best quarter. Run by ``make bench``, which shows the table.
"""

from __future__ import annotations

import random
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import toxiproxies
import traffic
from toxiproxies import Server, read

pytestmark = [pytest.mark.benchmark, pytest.mark.stack]
TURNS = 20
NAMES = ("built-in", "real")


@dataclass
class Pair:
    """Both servers, and a proxy on each before the same upstream."""

    servers: dict[str, Server]
    ports: dict[str, int]
    direct: int

    def turns(self, measure: Callable[[str], float], turns: int = TURNS) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {name: [] for name in NAMES}
        for _ in range(turns):
            for name in random.sample(NAMES, 2):
                time.sleep(0.02)
                found[name].append(measure(name))
        return {name: sorted(values) for name, values in found.items()}

    def ping(self, name: str, connections: int) -> traffic.Pings:
        return traffic.ping(self.ports[name], connections, 0.12)

    def cpu(self, name: str) -> float:
        return traffic.cpu(self.servers[name].process.pid)

    def toxic(self, name: str, method: str, path: str = "", body: object = None) -> None:
        self.servers[name].ok(method, f"/proxies/bench/toxics{path}", body)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with (
        traffic.upstream() as direct,
        toxiproxies.built_in() as ours,
        toxiproxies.real(tmp_path_factory.mktemp("toxiproxy")) as real,
    ):
        servers = dict(zip(NAMES, (ours, real), strict=True))
        entry = {"name": "bench", "listen": "127.0.0.1:0", "upstream": f"127.0.0.1:{direct}"}
        shown = {name: server.ok("POST", "/proxies", entry) for name, server in servers.items()}
        yield Pair(servers, {name: int(proxy["listen"].rpartition(":")[2]) for name, proxy in shown.items()}, direct)


@pytest.fixture(scope="module")
def say(request: pytest.FixtureRequest) -> Iterator[Callable[[str, float, float, str], float]]:
    """Note a line of the table, and return the ratio of ours to the real one's."""
    lines = []

    def note(what: str, ours: float, real: float, goal: str = "") -> float:
        ratio = ours / real if real else float("inf")
        lines.append(f"{what:34} {ours:12.1f} {real:12.1f} {ratio:8.2f}  {goal}")
        return ratio

    yield note
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\n\n{'':34} {'built-in':>12} {'real':>12} {'ratio':>8}  goal", *lines, sep="\n")


def _best(values: list[float]) -> float:
    """The rate that nine of ten turns stay below."""
    return values[-max(1, len(values) // 10)]


def _least(values: list[float]) -> float:
    """The time that one of four turns stays below."""
    return values[len(values) // 4]


@pytest.mark.parametrize(("connections", "goal"), [(1, ""), (16, ">= 1.1"), (64, "")])
def test_requests(pair: Pair, say: Callable[..., float], connections: int, goal: str) -> None:
    rates = pair.turns(lambda name: pair.ping(name, connections).rate)
    ratio = say(f"requests/s, {connections} connections", _best(rates["built-in"]), _best(rates["real"]), goal)
    assert ratio > 0.3  # a guard against a broken fast path; the goal is for people to look at


def test_cpu_of_a_request(pair: Pair, say: Callable[..., float]) -> None:
    def measure(name: str) -> float:
        before = pair.cpu(name)
        pings = traffic.ping(pair.ports[name], 16, 0.4)
        return (pair.cpu(name) - before) / len(pings.times) * 1e6

    times = pair.turns(measure, 6)
    say("CPU µs of a request, 16 connections", *(statistics.median(times[name]) for name in NAMES), "")


def test_added_latency(pair: Pair, say: Callable[..., float]) -> None:
    direct = traffic.ping(pair.direct, 1, 0.3).percentile(0.5)
    for share in (0.5, 0.99):
        times = pair.turns(lambda name, share=share: pair.ping(name, 1).percentile(share))  # type: ignore[misc]
        say(f"added latency µs, p{share * 100:.0f}", *(_least(times[name]) - direct for name in NAMES), "<= 1")


@pytest.mark.parametrize(("connections", "size"), [(1, 150_000_000), (16, 10_000_000)])
def test_bulk(pair: Pair, say: Callable[..., float], connections: int, size: int) -> None:
    spent = dict.fromkeys(NAMES, 0.0)
    total = connections * size / 1e9

    def measure(name: str) -> float:
        before = pair.cpu(name)
        rate = traffic.bulk(pair.ports[name], connections, size)
        spent[name] += pair.cpu(name) - before
        return rate

    rates = pair.turns(measure, 10)
    assert say(f"bulk MB/s, {connections} connections", _best(rates["built-in"]), _best(rates["real"]), ">= 1.5") > 0.7
    costs = [spent[name] / (total * 10) * 1000 for name in NAMES]
    assert say(f"CPU ms of a GB, {connections} connections", *costs, "<= 0.5") < 0.9


def test_latency_is_what_was_set(pair: Pair, say: Callable[..., float]) -> None:
    for name in NAMES:
        pair.toxic(name, "POST", "", {"type": "latency", "attributes": {"latency": 50}})
    times = pair.turns(lambda name: traffic.ping(pair.ports[name], 1, 0.25).percentile(0.5) / 1000, 6)
    for name in NAMES:
        pair.toxic(name, "DELETE", "/latency_downstream")
        assert times[name][0] >= 50
    say("a latency of 50 ms, observed p50", *(_least(times[name]) for name in NAMES), "")


@pytest.mark.parametrize("rate", [1000, 100_000])
def test_bandwidth_is_what_was_set(pair: Pair, say: Callable[..., float], rate: int) -> None:
    for name in NAMES:
        pair.toxic(name, "POST", "", {"type": "bandwidth", "attributes": {"rate": rate}})
    rates = pair.turns(lambda name: traffic.bulk(pair.ports[name], 1, rate * 500) * 1000, 3)
    for name in NAMES:
        pair.toxic(name, "DELETE", "/bandwidth_downstream")
    assert max(rates["built-in"]) <= rate * 1.05
    say(f"a bandwidth of {rate} KB/s, achieved", *(max(rates[name]) for name in NAMES), "")


def test_a_call_and_its_effect(pair: Pair, say: Callable[..., float]) -> None:
    """From the call that takes a toxic away until what it held has come through."""

    def measure(name: str) -> float:
        with socket.create_connection(("127.0.0.1", pair.ports[name]), timeout=10) as sock:
            sock.sendall(b"e")
            pair.toxic(name, "POST", "", {"type": "slow_close"})
            pair.toxic(name, "POST", "", {"type": "latency", "attributes": {"latency": 60_000}})
            sock.sendall(b"x")
            time.sleep(0.01)
            began = time.perf_counter()
            pair.toxic(name, "DELETE", "/latency_downstream")
            assert read(sock, 1) == b"x"
            took = time.perf_counter() - began
            pair.toxic(name, "DELETE", "/slow_close_downstream")
            return took * 1000

    times = pair.turns(measure)
    say("API call to effect, ms", *(_least(times[name]) for name in NAMES), "<= 1")
