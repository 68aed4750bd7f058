"""What polling can and cannot say about when something changed.

A change seen by polling lies between the start of the last sample without it and the end of the first sample with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sevdrill.lines import Interval, Sample

__all__ = ["Stretch", "became_true", "good_times", "last_stretch", "turned"]


@dataclass(frozen=True)
class Stretch:
    """An unbroken run of good samples."""

    began: Interval
    """When it began, as far as polling can tell."""
    first: Sample
    last: Sample

    @property
    def length(self) -> float:
        """How long it certainly lasted: from the end of its first sample to the start of its last, in seconds."""
        return max(0.0, self.last.start - self.first.end)


def last_stretch(samples: Sequence[Sample], every: float) -> Stretch | None:
    """The run of good samples that reaches the last one; None when the last one is not good.

    ``samples`` are of one series, by time. A pause between samples of more than twice ``every`` (seconds) breaks the
    run: nobody knows what happened in it.
    """
    if not samples or samples[-1].ok is not True:
        return None
    first = len(samples) - 1
    while first and samples[first - 1].ok is True and samples[first].start - samples[first - 1].end <= 2 * every:
        first -= 1
    lo = samples[first].start
    for before in reversed(samples[:first]):
        # Unknown samples say nothing: the change may have come before or after them.
        if before.ok is not None:
            lo = before.start if before.ok is False else before.end
            break
    return Stretch(Interval(lo, samples[first].end), samples[first], samples[-1])


def good_times(samples: Sequence[Sample], every: float) -> list[Interval]:
    """When the series was good, stretch by stretch: from the end of the first good sample to the start of the last."""
    found: list[Interval] = []
    first: Sample | None = None
    last: Sample | None = None
    for sample in samples:
        broken = sample.ok is not True or (last is not None and sample.start - last.end > 2 * every)
        if broken and first is not None and last is not None:
            found.append(Interval(first.end, max(first.end, last.start)))
            first = None
        if sample.ok is True:
            first = first or sample
            last = sample
    if first is not None and last is not None:
        found.append(Interval(first.end, max(first.end, last.start)))
    return found


def became_true(samples: Sequence[Sample], after: float) -> Interval | None:
    """When the series first turned good after the moment ``after`` (seconds); None if it never did."""
    found = turned(samples, after)
    if found is None:
        return None
    before, first = found
    lo = after if before is None else max(before.start, after)
    return Interval(min(lo, first.end), first.end)


def turned(samples: Sequence[Sample], after: float) -> tuple[Sample | None, Sample] | None:
    """The last bad and the first good sample of such a change; None if the series never turned good.

    There is no last bad one when nobody looked between ``after`` and the first good one.
    """
    before: Sample | None = None
    for sample in samples:
        if sample.end < after:
            continue
        if sample.ok is True:
            return before, sample
        if sample.ok is False:
            before = sample
    return None
