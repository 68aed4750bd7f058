"""What kinds may ask of what a stack says of itself: its metrics and its logs."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Logs", "Metrics"]


class Metrics(Protocol):
    """The stack's own metrics."""

    def query(self, query: str) -> list[float]:
        """What a query in PromQL gives now, a number a series.

        Raises:
            StackError: nobody answers, or the query is wrong.
        """


class Logs(Protocol):
    """What services write to their logs."""

    def lines(self, service: str, seconds: float) -> list[str]:
        """The lines that its replicas wrote in the last so many seconds, as far as that is known.

        Raises:
            StackError: a log cannot be read, or none of its replicas is there.
        """
