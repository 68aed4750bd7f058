"""The plot of a report: what users saw, each probe, and every event, on one axis of time.

A figure for plotly, as JSON. Colours are names (``@bad``) that the page replaces by those of its theme; whatever
differs in colour differs in shape or place as well.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sevdrill.lines import Sample
from sevdrill.plan import detect_series
from sevdrill.probes.load import LoadProbe
from sevdrill.reports.case import MARKS, Case, Event, short

__all__ = ["POINTS", "figure", "thinned"]

POINTS = 2000
"""Points that a line is drawn with at most."""
STRETCHES = 1500
"""Stretches of one state that a probe's lane is drawn with at most."""
LONG = 600.0
"""Seconds from which on the axis counts minutes."""

LANES = (
    ("mark", "marks", "star", "@mark"),
    ("target", "targets", "triangle-down-open", "@target"),
    ("fault", "fault", "x", "@bad"),
    ("alert", "alert", "triangle-up", "@warn"),
    ("page", "pages", "square", "@page"),
    ("message", "messages", "circle-open", "@message"),
    ("step", "steps", "diamond", "@step"),
)
"""The lanes of events, top to bottom: kind, name, symbol, colour."""
DASHES = {"injected": "solid", "detected": "dash", "mitigated": "dashdot", "recovered": "longdash"}


def thinned(points: Sequence[tuple[float, float]], most: int = POINTS) -> list[tuple[float, float]]:
    """As many points as a screen can show: of each stretch of time the first, the lowest, the highest and the last.

    No peak and no dip is lost, and none is made up.
    """
    if len(points) <= most:
        return list(points)
    size = -(-len(points) * 4 // most)
    found: list[tuple[float, float]] = []
    for begin in range(0, len(points), size):
        part = points[begin : begin + size]
        kept = {0, len(part) - 1}
        kept.add(min(range(len(part)), key=lambda n: part[n][1]))
        kept.add(max(range(len(part)), key=lambda n: part[n][1]))
        found += [part[n] for n in sorted(kept)]
    return found


def _states(samples: Sequence[Sample], most: int = STRETCHES) -> list[tuple[float, float, bool | None]]:
    """The stretches of one state of a series: begin, end, state.

    Where there are too many to be drawn, neighbours become one that shows the worst of them.
    """
    found: list[tuple[float, float, bool | None]] = []
    for sample in samples:
        if found and found[-1][2] == sample.ok:
            found[-1] = (found[-1][0], sample.end, sample.ok)
        else:
            found.append((found[-1][1] if found else sample.start, sample.end, sample.ok))
    if len(found) <= most:
        return found
    size = -(-len(found) // most)
    merged = []
    for begin in range(0, len(found), size):
        part = found[begin : begin + size]
        states = {state for _, _, state in part}
        worst = False if False in states else (None if None in states else True)
        merged.append((part[0][0], part[-1][1], worst))
    return merged


class _Figure:
    def __init__(self, case: Case) -> None:
        self.case = case
        length = case.end - case.zero
        self.unit, self.scale = ("minutes", 60.0) if length > LONG else ("seconds", 1.0)
        self.data: list[dict[str, Any]] = []
        self.shapes: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self.lanes: list[str] = []

    def x(self, at: float) -> float:
        """A moment on the axis."""
        return round((at - self.case.zero) / self.scale, 4)

    def when(self, at: float) -> str:
        """A moment in words."""
        return f"{at - self.case.zero:+.1f} s, {self.case.wall(at):%H:%M:%S} UTC"

    def trace(self, name: str, axis: str, points: Iterable[tuple[float, float | None]], **more: Any) -> None:
        found = list(points)
        self.data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": _label(name),
                "x": [self.x(at) for at, _ in found],
                "y": [None if value is None else round(value, 4) for _, value in found],
                "xaxis": "x",
                "yaxis": axis,
                "hovertemplate": f"%{{y}} at %{{x}} {self.unit}<extra>{_label(name)}</extra>",
                **more,
            }
        )

    def what_users_saw(self) -> None:
        seen = self.case.seen
        rates = thinned([(s.at, s.error_rate * 100) for s in seen])
        line = {"width": 2, "shape": "hv"}
        self.trace("error rate of users, %", "y", self._broken(rates), line={"color": "@bad", **line})
        times = thinned([(s.at, s.p95 * 1000) for s in seen])
        self.trace("p95 of users, ms", "y2", self._broken(times), line={"color": "@step", **line})
        waits = thinned([(at, 0.0) for at in self.case.hung])
        marker = {"symbol": "x-thin-open", "size": 9, "color": "@bad"}
        hover = {"hovertemplate": f"no request ended, at %{{x}} {self.unit}<extra></extra>"}
        self.trace("users wait: no request ended", "y", waits, mode="markers", marker=marker, **hover)
        for number, (series, probe) in enumerate(self.case.probes.items()):
            if probe.probe in ("http", "tcp"):
                took = thinned([(s.end, (s.end - s.start) * 1000) for s in self.case.series.get(series, ())])
                dash = ("dot", "dash", "dashdot", "longdash")[number % 4]
                self.trace(
                    f"{self.case.title(series)}, ms", "y2", took, line={"color": "@muted", "width": 1, "dash": dash}
                )
        for probe in self.case.scenario.steady_state.probes:
            if isinstance(probe, LoadProbe):
                for axis, scale, limit in (("y", 100, probe.error_rate), ("y2", 1000, probe.p95)):
                    bound = None if limit is None else limit.below or limit.above
                    if bound is not None:
                        self._limit(axis, float(bound) * scale, f"steady {limit}")

    def _broken(self, points: list[tuple[float, float]]) -> list[tuple[float, float | None]]:
        """The points with a gap wherever users got no answer: there is no rate of nothing."""
        gaps: list[tuple[float, float | None]] = [(at, None) for at, _ in thinned([(at, 0.0) for at in self.case.hung])]
        return sorted([*points, *gaps], key=lambda point: point[0]) if points else []

    def _limit(self, axis: str, value: float, text: str) -> None:
        line = {"color": "@target", "width": 1, "dash": "dot"}
        self.shapes.append(
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": axis, "y0": value, "y1": value, "line": line}
        )
        self.annotations.append(
            {
                "xref": "paper",
                "x": 1,
                "xanchor": "right",
                "yref": axis,
                "y": value,
                "yanchor": "bottom",
                "showarrow": False,
                "text": text,
                "font": {"color": "@target", "size": 11},
            }
        )

    def probe_lanes(self) -> None:
        """A lane a series: a thin line where it is good, a thick one where it is not, dots where nobody knows."""
        case = self.case
        wanted = [*case.probes, *detect_series(case.scenario)]
        wanted += [name for name in ("monitoring", "pager") if name in case.series]
        styles: dict[bool | None, tuple[str, dict[str, Any]]] = {
            True: ("good", {"color": "@good", "width": 3}),
            False: ("not good", {"color": "@bad", "width": 9}),
            None: ("unknown", {"color": "@muted", "width": 3, "dash": "dot"}),
        }
        # An alert or a symptom is no good thing: there the thick line says that it is so.
        raised = {True: "is so", False: "is not so", None: "unknown"}
        for series in wanted:
            lane = case.title(series)
            lane = lane if lane not in self.lanes else f"{lane} ({len(self.lanes)})"
            self.lanes.append(lane)
            turned = series.startswith(("effect:", "alert:", "detect:", "stop:"))
            stretches = _states(case.series.get(series, ()))
            for state, (word, line) in styles.items():
                said = raised[state] if turned else word
                chosen = styles[not state][1] if turned and state is not None else line
                x: list[float | None] = []
                for begin, end, seen in stretches:
                    if seen is state:
                        x += [self.x(begin), self.x(end), None]
                self.data.append(
                    {
                        "type": "scatter",
                        "mode": "lines",
                        "name": _label(f"{lane}: {said}"),
                        "x": x,
                        "y": [_label(lane)] * len(x),
                        "xaxis": "x",
                        "yaxis": "y3",
                        "line": chosen,
                        "showlegend": False,
                        "hovertemplate": f"%{{x}} {self.unit}<extra>{_label(said)}</extra>",
                    }
                )

    def event_lanes(self) -> None:
        found: dict[str, list[Event]] = {kind: [] for kind, *_ in LANES}
        for event in self.case.events:
            if event.kind in found and event.kind != "mark":
                found[event.kind].append(event)
        marks = self.case.verdict.marks
        found["mark"] = [Event(when.hi, "mark", MARKS.get(name, name)) for name, when in marks.items()]
        found["target"] = list(self._targets())
        for kind, name, symbol, colour in LANES:
            events = found[kind]
            trace = {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [self.x(e.at) for e in events],
                "y": [name] * len(events),
                "text": [_label(f"{e.text}<br>{self.when(e.at)}") for e in events],
                "hovertemplate": "%{text}<extra></extra>",
                "xaxis": "x",
                "yaxis": "y4",
                "marker": {"symbol": symbol, "size": 11, "color": colour, "line": {"width": 1, "color": "@text"}},
                "showlegend": False,
            }
            self.data.append(trace)
            if kind == "step":
                x: list[float | None] = []
                for event in events:
                    x += [self.x(event.at), self.x(event.until or event.at), None]
                line = {"color": colour, "width": 5}
                self.data.append(
                    {**trace, "mode": "lines", "x": x, "y": [name] * len(x), "line": line, "hoverinfo": "skip"}
                    | {"text": [], "hovertemplate": None}
                )

    def _targets(self) -> Iterator[Event]:
        if "injected" not in self.case.verdict.marks:
            return
        for result in self.case.verdict.targets:
            if result.met is not None:
                notes = (", derived" if result.target.derived else "") + ("" if result.met else ", MISSED")
                text = f"{result.target.key} within {short(result.target.limit)}{notes}"
                yield Event(self.case.zero + result.target.limit, "target", text)

    def lines(self) -> None:
        """A line through everything for each mark and each target; the page writes their names where there is room."""
        marks = sorted(self.case.verdict.marks.items(), key=lambda pair: pair[1].hi)
        for name, when in marks:
            if name in MARKS:
                self._upright(when.hi, MARKS[name], DASHES.get(name, "dot"), "@mark")
        for event in sorted(self._targets(), key=lambda event: event.at):
            self._upright(event.at, event.text, "dot", "@target")
        self.marks.sort(key=lambda mark: mark["x"])

    def _upright(self, at: float, text: str, dash: str, colour: str) -> None:
        x = self.x(at)
        line = {"color": colour, "width": 1, "dash": dash}
        shape = {"type": "line", "xref": "x", "x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1, "line": line}
        self.shapes.append(shape)
        self.marks.append({"x": x, "text": _label(text), "color": colour})

    def whole(self) -> list[float]:
        """The range in which every mark and target lies, also the targets that were never reached."""
        at = [self.x(0), self.x(self.case.end), *(mark["x"] for mark in self.marks)]
        return [min(at), round(max(at) + 0.03 * (max(at) - min(at)), 4)]

    def layout(self) -> dict[str, Any]:
        case = self.case
        events = [name for _, name, *_ in LANES]
        grid = {"gridcolor": "@grid", "zerolinecolor": "@grid", "linecolor": "@grid", "color": "@text"}
        lanes = {"type": "category", "automargin": True, "tickfont": {"size": 11}, "fixedrange": True, **grid}
        # Names stand upright above the plot, below plotly's buttons; so many pixels a letter has at most.
        above = 50 + round(6.2 * max((len(mark["text"]) for mark in self.marks), default=0))
        first = self.x(max(0.0, min(case.zero - 5, case.zero - 0.1 * (case.end - case.zero))))
        last = self.x(case.end)
        return {
            "height": 450 + above + 22 * (len(self.lanes) + len(events)),
            "margin": {"l": 60, "r": 20, "t": above, "b": 50},
            "paper_bgcolor": "@paper",
            "plot_bgcolor": "@paper",
            "font": {"color": "@text", "family": "system-ui, sans-serif", "size": 12},
            "hovermode": "closest",
            "dragmode": "zoom",
            "showlegend": True,
            "legend": {"orientation": "h", "y": -0.09, "font": {"size": 11}},
            "xaxis": {
                "title": {
                    "text": f"{self.unit} since {'the injection' if case.scenario.quiet is None else 'it began'}"
                },
                "range": [first, round(last + 0.03 * (last - first), 4)],
                "anchor": "y4",
                "showspikes": True,
                "spikemode": "across",
                "spikethickness": 1,
                "spikecolor": "@muted",
                **grid,
            },
            "yaxis": {
                "domain": [0.82, 1],
                "title": {"text": "errors, %"},
                "rangemode": "tozero",
                "fixedrange": True,
                **grid,
            },
            "yaxis2": {
                "domain": [0.62, 0.79],
                "title": {"text": "time, ms"},
                "rangemode": "tozero",
                "fixedrange": True,
                **grid,
            },
            # All lanes, whether or not there is something in them.
            "yaxis3": {
                "domain": [0.31, 0.59],
                "categoryarray": [_label(n) for n in self.lanes[::-1]],
                "range": [-0.6, len(self.lanes) - 0.4],
                **lanes,
            },
            "yaxis4": {
                "domain": [0, 0.28],
                "categoryarray": events[::-1],
                "range": [-0.6, len(events) - 0.4],
                **lanes,
            },
            "shapes": self.shapes,
            "annotations": self.annotations,
        }


def _label(text: str) -> str:
    """Text in a plot: plotly reads tags and links in it, and text from services must not become any."""
    return html.escape("".join(c if c.isprintable() else " " for c in text), quote=False).replace("&lt;br&gt;", "<br>")


def figure(case: Case) -> dict[str, Any]:
    """The figure of one drill, for `Plotly.newPlot`, and the ``marks`` whose names the page writes at their lines."""
    drawn = _Figure(case)
    drawn.what_users_saw()
    drawn.probe_lanes()
    drawn.event_lanes()
    drawn.lines()
    # plotly draws a line of no points as a path of no numbers, which browsers complain about.
    data = [trace for trace in drawn.data if trace["x"]]
    return {"data": data, "layout": drawn.layout(), "marks": drawn.marks, "whole": drawn.whole()}
