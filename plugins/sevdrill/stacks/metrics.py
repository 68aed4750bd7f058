"""What a stack's Prometheus knows for the review: its intervals, its alerting rules, and their queries over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urljoin

from sevdrill.errors import StackError
from sevdrill.units import Duration

__all__ = ["instant", "survey"]

RULES = 40
"""Alerting rules whose queries are asked at most."""
SERIES = 20
"""Series of one query that are kept at most."""
POINTS = 300
"""Points of a series at most."""

Get = Callable[[str], tuple[int, Any]]


def instant(get: Get, prometheus: str, query: str) -> list[float]:
    """What a query gives now, a number a series.

    Raises:
        StackError: Prometheus did not say, or the query gives no numbers.
    """
    status, body = get(urljoin(prometheus, f"/api/v1/query?{urlencode({'query': query})}"))
    data = body.get("data") if isinstance(body, dict) else None
    if status != 200 or not isinstance(data, dict):
        said = body.get("error") if isinstance(body, dict) else body
        raise StackError(f"Prometheus ({prometheus}) answered {status} when asked for {query}: {said or 'no data'}")
    result = data.get("result", [])
    match data.get("resultType"):
        case "scalar":
            return [float(result[1])]
        case "vector":
            return [float(series["value"][1]) for series in result]
    raise StackError(f"{query} gives a {data.get('resultType')}; expected a number, or a number for each series")


def survey(get: Get, prometheus: str, since: float, until: float) -> dict[str, Any]:
    """Two documents, by file name; ``since`` and ``until`` are in seconds since 1970.

    `prometheus.json` has the intervals and the rules, `queries.json` what each rule's query gave over that time.

    Raises:
        StackError: Prometheus did not say.
    """

    def ask(path: str) -> dict[str, Any]:
        status, body = get(urljoin(prometheus, path))
        if status != 200 or not isinstance(body, dict) or not isinstance(body.get("data"), dict):
            raise StackError(f"Prometheus ({prometheus}) answered {status} when asked for {path.partition('?')[0]}")
        data: dict[str, Any] = body["data"]
        return data

    groups = ask("/api/v1/rules?type=alert").get("groups", [])
    rules = [
        {
            "name": rule.get("name", ""),
            "query": rule.get("query", ""),
            "for": rule.get("duration", 0),
            "every": group.get("interval", 0),
            "labels": rule.get("labels", {}),
            "state": rule.get("state", ""),
        }
        for group in groups
        for rule in group.get("rules", [])
        if rule.get("type", "alerting") == "alerting"
    ]
    try:
        targets = ask("/api/v1/targets?state=active").get("activeTargets", [])
    except StackError as error:
        # Its rules and what they gave are worth having all the same.
        targets, unknown = [], {"scrape_interval_error": str(error)}
    else:
        unknown = {}
    scrapes = [_seconds(target.get("scrapeInterval", "")) for target in targets]
    known = {
        # The slowest: detection may have to wait for it.
        "scrape_interval": max((s for s in scrapes if s is not None), default=None),
        "evaluation_interval": max((rule["every"] for rule in rules), default=None),
        "rules": rules,
        **unknown,
    }
    step = max(1.0, (until - since) / POINTS)
    queries: dict[str, Any] = {}
    for rule in rules[:RULES]:
        question = urlencode({"query": rule["query"], "start": since, "end": until, "step": step})
        try:
            series = ask(f"/api/v1/query_range?{question}").get("result", [])
        except StackError as error:
            queries[rule["name"]] = {"query": rule["query"], "error": str(error)}
            continue
        queries[rule["name"]] = {"query": rule["query"], "series": series[:SERIES]}
    return {"prometheus.json": known, "queries.json": queries}


def _seconds(text: str) -> float | None:
    try:
        return float(Duration.parse(text))
    except ValueError:
        return None
