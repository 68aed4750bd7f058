"""A toxic as the API speaks of it: its settings, and how they are read from JSON."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

from sevdrill.toxiproxy.client import RANGES
from sevdrill.toxiproxy.server.jsons import ApiError, read_int, read_number, read_object, read_string

__all__ = ["ATTRIBUTES", "Toxic"]

ATTRIBUTES: dict[str, tuple[str, ...]] = {**{kind: tuple(least) for kind, least in RANGES.items()}, "noop": ()}
"""The kinds of toxic and their attributes; noop does nothing, as in the real server."""


@dataclass
class Toxic:
    """One toxic of a proxy. Units are Toxiproxy's: ms, slicer's delay µs, rate in units of 1000 bytes a second."""

    name: str
    kind: str
    stream: str = "downstream"
    toxicity: float = 1.0
    attributes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, body: dict[str, Any]) -> Toxic:
        """A new toxic from the body of a request.

        Raises:
            ApiError: a value has the wrong type, or there is no such kind or stream.
        """
        kind = read_string(body, "type")
        stream = read_string(body, "stream", "downstream")
        name = read_string(body, "name") or f"{kind}_{stream}"
        toxicity = _single(read_number(body, "toxicity", 1.0))
        read_object(body, "attributes")
        if stream.lower() not in ("upstream", "downstream"):
            raise ApiError(400, "stream was invalid, can be either upstream or downstream")
        if kind not in ATTRIBUTES:
            raise ApiError(400, "invalid toxic type")
        toxic = cls(name, kind, stream, toxicity, dict.fromkeys(ATTRIBUTES[kind], 0))
        toxic.change(body)
        return toxic

    def change(self, body: dict[str, Any]) -> None:
        """Take over the attributes and the toxicity of a request; all of them or, when one is wrong, none.

        Raises:
            ApiError: a value has the wrong type.
        """
        given = read_object(body, "attributes")
        attributes = {key: read_int(given, key, old) for key, old in self.attributes.items()}
        self.toxicity = _single(read_number(body, "toxicity", self.toxicity))
        self.attributes = attributes

    @property
    def upstream(self) -> bool:
        """Whether it acts on what clients send; else on what they receive."""
        return self.stream.lower() == "upstream"

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        toxicity: float | int = int(self.toxicity) if self.toxicity == int(self.toxicity) else self.toxicity
        return {
            "attributes": self.attributes,
            "name": self.name,
            "type": self.kind,
            "stream": self.stream,
            "toxicity": toxicity,
        }


def _single(number: float) -> float:
    """The number in 32 bits, as few digits as tell it from its neighbours: what the real server keeps and shows."""
    try:
        [single] = struct.unpack("f", struct.pack("f", number))
    except OverflowError:
        raise ApiError(400, f"bad request body: toxicity is {number}, expected a number of 32 bits") from None
    for digits in range(1, 9):
        short = float(f"{single:.{digits}g}")
        if struct.unpack("f", struct.pack("f", short)) == (single,):
            return short
    return float(f"{single:.9g}")
