"""`index.html`: all drills of a run, their trend, and what is still to be done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sevdrill.history import Entry
from sevdrill.reports.case import short
from sevdrill.reports.html import environment
from sevdrill.reports.terminal import COLUMNS
from sevdrill.reports.trend import polyline, trend_rows

__all__ = ["run_page"]


def run_page(
    folder: Path, drills: Sequence[Mapping[str, Any]], entries: Mapping[str, Sequence[Entry]], said: Sequence[str]
) -> str:
    """The page of a run; ``entries`` are the last runs of its drills, ``said`` what people must know besides."""
    rows = []
    for drill in drills:
        targets = {t["target"]: t for t in drill["targets"]} if drill["injected"] else {}
        cells = [_cell(targets.get(key)) for key in COLUMNS]
        rows.append({**drill, "cells": cells, "link": f"{drill.get('folder', '')}/report.html"})
    trend = [
        {
            **row,
            "points": polyline(row["values"]),
            "last": short(row["last"]) if row["last"] is not None else "–",
            "median": short(row["median"]),
            "target": short(row["target"]) if row["target"] is not None else "",
            "words": ", ".join("none" if v is None else short(v) for v in row["values"]),
        }
        for row in trend_rows(entries)
    ]
    outcomes = [str(drill["outcome"]) for drill in drills]
    page = environment().get_template("index.html")
    return page.render(
        name=folder.name,
        drills=rows,
        columns=COLUMNS,
        trend=trend,
        said=list(said),
        counts={word: outcomes.count(word) for word in ("passed", "failed", "invalid", "aborted") if word in outcomes},
    )


def _cell(target: Mapping[str, Any] | None) -> dict[str, Any]:
    if target is None or target["met"] is None:
        return {"met": None, "text": "–"}
    measured = target["measured"]
    text = f"{short(measured['hi']) if measured else 'never'} of {short(target['limit'])}"
    return {"met": target["met"], "text": text + ("*" if target["derived"] else "")}
