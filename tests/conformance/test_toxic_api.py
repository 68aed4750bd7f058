"""Toxics as the API speaks of them."""

from __future__ import annotations

from typing import Any

import pytest
from toxiproxies import Way

ATTRIBUTES = {
    "latency": {"latency": 0, "jitter": 0},
    "bandwidth": {"rate": 0},
    "slow_close": {"delay": 0},
    "timeout": {"timeout": 0},
    "reset_peer": {"timeout": 0},
    "slicer": {"average_size": 0, "size_variation": 0, "delay": 0},
    "limit_data": {"bytes": 0},
}


@pytest.mark.parametrize("kind", ATTRIBUTES)
def test_defaults(way: Way, kind: str) -> None:
    answer = way.server("POST", f"{way.path}/toxics", {"type": kind})
    assert (answer.status, answer.kind) == (200, "application/json")
    toxic = {
        "attributes": ATTRIBUTES[kind],
        "name": f"{kind}_downstream",
        "type": kind,
        "stream": "downstream",
        "toxicity": 1,
    }
    assert answer.json == toxic
    assert way.server.ok("GET", f"{way.path}/toxics/{kind}_downstream") == toxic
    assert way.server.ok("GET", f"{way.path}/toxics") == [toxic]
    assert way.server.ok("GET", way.path)["toxics"] == [toxic]


@pytest.mark.parametrize("toxicity", [0, 0.25, 0.3, 0.1234567, 1, 2, -1])
def test_toxicity_is_kept_in_32_bits(way: Way, toxicity: float) -> None:
    body = {"type": "noop", "name": "t", "toxicity": toxicity}
    assert way.server.ok("POST", f"{way.path}/toxics", body)["toxicity"] == pytest.approx(toxicity, abs=1e-8)


def test_the_stream_may_be_in_capitals(way: Way) -> None:
    toxic = way.server.ok("POST", f"{way.path}/toxics", {"type": "noop", "stream": "UpStream"})
    assert (toxic["stream"], toxic["name"]) == ("UpStream", "noop_UpStream")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("", "bad request body: EOF"),
        ("[]", "bad request body: "),
        ({"type": "latency", "toxicity": "1"}, "bad request body: "),
        ({"type": "latency", "attributes": []}, "bad request body: "),
        ({"type": "latency", "attributes": {"latency": 1.5}}, "bad request body: "),
        ({"type": "latency", "attributes": {"latency": "5"}}, "bad request body: "),
        ({"type": "latency", "attributes": {"latency": True}}, "bad request body: "),
        ({"type": "latency", "attributes": {"latency": 2**63}}, "bad request body: "),
        ({}, "invalid toxic type"),
        ({"type": "slow"}, "invalid toxic type"),
        ({"type": "latency", "stream": "sideways"}, "stream was invalid, can be either upstream or downstream"),
    ],
)
def test_add_refuses(way: Way, body: Any, error: str) -> None:
    answer = way.server("POST", f"{way.path}/toxics", body)
    assert (answer.status, answer.kind) == (400, "text/plain; charset=utf-8")
    assert answer.json["status"] == 400
    assert answer.json["error"].startswith(error)
    assert way.server.ok("GET", f"{way.path}/toxics") == []


def test_attributes_may_be_anything_whole(way: Way) -> None:
    body = {"type": "latency", "attributes": {"latency": -(2**63), "jitter": None, "other": "x"}}
    toxic = way.server.ok("POST", f"{way.path}/toxics", body)
    assert toxic["attributes"] == {"latency": -(2**63), "jitter": 0}


def test_names_are_unique_over_both_streams(way: Way) -> None:
    way.server.ok("POST", f"{way.path}/toxics", {"type": "noop", "name": "t"})
    answer = way.server("POST", f"{way.path}/toxics", {"type": "latency", "name": "t", "stream": "upstream"})
    assert (answer.status, answer.json) == (409, {"error": "toxic already exists", "status": 409})


def test_upstream_ones_are_listed_first_then_in_the_order_added(way: Way) -> None:
    for name, stream in (("b", "downstream"), ("a", "downstream"), ("d", "upstream"), ("c", "upstream")):
        way.server.ok("POST", f"{way.path}/toxics", {"type": "noop", "name": name, "stream": stream})
    assert [toxic["name"] for toxic in way.server.ok("GET", f"{way.path}/toxics")] == ["d", "c", "b", "a"]


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_change_attributes_and_toxicity_only(way: Way, method: str) -> None:
    path = way.add("latency", latency=5, jitter=3)
    body = {"name": "x", "type": "slicer", "stream": "upstream", "toxicity": 0.5, "attributes": {"latency": 7}}
    changed = way.server.ok(method, path, body)
    assert changed == {
        "attributes": {"latency": 7, "jitter": 3},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 0.5,
    }
    assert way.server.ok(method, path, {}) == changed
    assert way.server.ok("GET", path) == changed


@pytest.mark.parametrize("body", ["", "[]", {"toxicity": "1"}, {"attributes": {"latency": 1.5}}])
def test_change_refuses(way: Way, body: Any) -> None:
    path = way.add("latency", latency=5)
    answer = way.server("PATCH", path, body)
    assert answer.status == 400
    assert answer.json["error"].startswith("bad request body: ")
    assert way.server.ok("GET", path)["attributes"]["latency"] == 5


def test_a_failed_change_of_a_toxic_changes_nothing(way: Way) -> None:
    path = way.add("latency", latency=5)
    before = way.server.ok("GET", path)
    assert way.server("PATCH", path, '{"attributes": {"latency": 7, "jitter": "x"}}').status == 400
    assert way.server.ok("GET", path) == before


@pytest.mark.parametrize("method", ["GET", "PATCH", "POST", "DELETE"])
def test_a_toxic_that_is_not_there(way: Way, method: str) -> None:
    answer = way.server(method, f"{way.path}/toxics/none", {})
    assert (answer.status, answer.json) == (404, {"error": "toxic not found", "status": 404})


def test_remove(way: Way) -> None:
    path = way.add("slow_close")
    answer = way.server("DELETE", path)
    assert (answer.status, answer.text) == (204, "")
    assert way.server("DELETE", path).status == 404
    assert way.server.ok("GET", way.path)["toxics"] == []


def test_a_proxy_that_is_down_takes_toxics(way: Way) -> None:
    way.enable(False)
    path = way.add("limit_data", bytes=1)
    way.enable(True)
    client, far = way.connect()
    far.sendall(b"xy")
    assert client.recv(2) == b"x"
    way.remove(path)
