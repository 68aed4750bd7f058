"""What the engine watches while a drill runs: probes, alerts and the pager, each sampled on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sevdrill.detectors import DETECTING
from sevdrill.lines import Interval, PageLine, Sample
from sevdrill.plan import detect_series, effect_series, steady_series, stop_series
from sevdrill.ports import Load, Monitoring, Page, Pager, Ports, Reading
from sevdrill.probes import Probe
from sevdrill.sampling import Sampler
from sevdrill.scenario import Scenario
from sevdrill.stretches import last_stretch
from sevdrill.timeline import TimelineWriter

__all__ = ["Watching"]

STOP_EVERY = 0.5
"""Seconds between two looks at a stop condition, at most."""


class Watching:
    """The samplers of a run, and what their last samples say.

    ``poll`` is the pause between two looks at an alert or the pager, in seconds.
    """

    def __init__(self, scenario: Scenario, ports: Ports, timeline: TimelineWriter, poll: float) -> None:
        self._scenario, self._ports, self._timeline, self._poll = scenario, ports, timeline, poll
        self.samplers: dict[str, Sampler] = {}
        self._last_page = 0
        self._before_pages = 0.0
        self.breach = ""
        """The stop condition that came true, and what was seen."""

    def begin(
        self,
        series: str,
        look: Callable[[], Reading],
        every: float,
        taken: Callable[[Sample], None] = lambda sample: None,
    ) -> None:
        """Sample something from now on; ``taken`` is told of each sample once it is recorded."""
        self.samplers[series] = Sampler(series, look, every, self._timeline, taken)
        self.samplers[series].start()

    def end(self, series: str) -> None:
        """Sample it no more."""
        self.samplers.pop(series).end()

    def begin_monitoring(self) -> None:
        """Watch whether the monitoring is alive."""

        def look() -> Reading:
            alive, why = self._ports[Monitoring].alive()
            return Reading(ok=alive, why=why)

        self.begin("monitoring", look, 0.5)

    def begin_all(self) -> None:
        """Watch everything that the drill names."""
        every = self._scenario.steady_state.every
        for series, probe in {**steady_series(self._scenario), **effect_series(self._scenario)}.items():
            self.begin(series, partial(probe.read, self._ports), every)
        for series, probe in stop_series(self._scenario).items():
            # However slow the others are sampled: who says when to stop is not to wait.
            look, taken = partial(probe.read, self._ports), partial(self._note_breach, probe)
            self.begin(series, look, min(every, STOP_EVERY), taken)
        for series, detector in detect_series(self._scenario).items():
            if all(port in self._ports for port in detector.needs):
                self.begin(series, partial(detector.read, self._ports), self._poll)
        if Pager in self._ports:
            self._last_page = max((page.id for page in self._ports[Pager].pages(0)), default=0)
            self._before_pages = self._timeline.now()
            self.begin("pager", self._read_pager, self._poll)

    def end_load_probes(self) -> None:
        """Sample no more what needs users: without them their window is empty, and empty is bad."""
        for series, probe in {**steady_series(self._scenario), **stop_series(self._scenario)}.items():
            if Load in probe.needs and series in self.samplers:
                self.end(series)

    def end_all(self) -> None:
        """Sample nothing more."""
        for sampler in self.samplers.values():
            sampler.end()

    # -- what the last samples say --------------------------------------------------------------------------------

    def is_(self, series: str, wanted: bool) -> bool:
        """Whether the last sample says so; unknown says neither."""
        samples = self.samplers[series].samples
        return bool(samples) and samples[-1].ok is wanted

    def why(self, series: str) -> str:
        """What the last sample saw."""
        samples = self.samplers[series].samples if series in self.samplers else []
        return samples[-1].why if samples else ""

    def held(self) -> bool:
        """Whether every steady-state probe has been good for `hold`, up to now."""
        return all(self._held(series) for series in self.samplers if series.startswith("steady:"))

    def asked_pager_since(self, moment: float) -> bool:
        """Whether all that was delivered by a moment is known; true where there is no pager to be asked."""
        pager = self.samplers.get("pager")
        return pager is None or (bool(pager.samples) and pager.samples[-1].start >= moment)

    def steady_since(self, moment: float) -> bool:
        """Whether every steady-state probe was good when it last looked, and that was after ``moment``."""
        steady = [sampler for series, sampler in self.samplers.items() if series.startswith("steady:")]
        return all(s.samples and s.samples[-1].ok and s.samples[-1].start >= moment for s in steady)

    def ready(self) -> bool:
        """Whether a fault may be injected: steady, no symptom, no alert, monitoring and pager alive."""
        return self.held() and not self._unready()

    def _unready(self) -> list[str]:
        bad = [s for s in self.samplers if s.startswith(("effect:", *DETECTING)) and not self.is_(s, False)]
        return bad + [s for s in ("monitoring", "pager") if s in self.samplers and not self.is_(s, True)]

    def why_not_ready(self) -> str:
        """What stands against an injection, for people."""
        bad = [s for s in self.samplers if s.startswith("steady:") and not self.is_(s, True)] + self._unready()
        named = "; ".join(f"{s.split(':', 2)[-1]}: {self.why(s) or 'is so already'}" for s in bad)
        return named or "its probes did not hold long enough"

    def detected(self, since: float) -> bool:
        """Whether something has told of it since a moment, and every stated effect was felt.

        An answer that comes before what the drill says that users feel would cure nothing.
        """

        def seen(*kind: str) -> list[bool]:
            chosen = [sampler.samples for name, sampler in self.samplers.items() if name.startswith(kind)]
            return [any(s.ok and s.end >= since for s in samples) for samples in chosen]

        told = seen(*DETECTING)
        return (not told or any(told)) and all(seen("effect:"))

    def was_left(self, since: float) -> bool:
        """Whether the steady state was left after a moment, or is never to be left at all."""
        if self._scenario.steady_state.throughout:
            return True
        steady = [sampler.samples for series, sampler in self.samplers.items() if series.startswith("steady:")]
        return any(s.ok is False and s.end >= since for samples in steady for s in samples)

    def _held(self, series: str) -> bool:
        sampler = self.samplers[series]
        stretch = last_stretch(sampler.samples, sampler.every)
        if stretch is None or stretch.length < self._scenario.steady_state.hold:
            return False
        return self._timeline.now() - stretch.last.end <= 2 * sampler.every + 1

    def _note_breach(self, probe: Probe, sample: Sample) -> None:
        if sample.ok and not self.breach:
            self.breach = f"{probe.title}: {sample.why}"

    def _read_pager(self) -> Reading:
        pages = self._ports[Pager].pages(self._last_page)
        now = self._timeline.now()
        for page in pages:
            self._last_page = max(self._last_page, page.id)
            self._timeline.write(_page_line(page, Interval(self._before_pages, now)))
        self._before_pages = now
        return Reading(ok=True, value=float(len(pages)))


def _page_line(page: Page, seen: Interval) -> PageLine:
    alerts = [dict(alert) for alert in page.alerts]
    return PageLine(id=page.id, kind=page.kind, status=page.status, lo=seen.lo, hi=seen.hi, alerts=alerts)
