"""Quantities with units, as people write them in YAML: ``250ms``, ``64MiB``, ``10%``.

A bare number is an error: "timeout: 5" has cost too many people an outage.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticCustomError, core_schema

__all__ = ["Bytes", "Duration", "Percent"]

_NUMBER = r"(?:\d+(?:\.\d+)?)"


class _Quantity(float):
    """A number that remembers nothing but its value; subclasses say which units it is written in."""

    units: ClassVar[dict[str, float]]
    noun: ClassVar[str]
    example: ClassVar[str]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``text``, one or more number-unit pairs in a row (``1h30m``).

        Raises:
            ValueError: there is no number, no unit, or an unknown unit.
        """
        return cls(cls._value(text))

    @classmethod
    @lru_cache(maxsize=1024)
    def _value(cls, text: str) -> float:
        # Drills say the same few quantities again and again, and each is read whenever a drill is dumped.
        pattern = re.compile(rf"({_NUMBER})\s*({'|'.join(sorted(map(re.escape, cls.units), key=len, reverse=True))})")
        rest, total = text.strip(), 0.0
        # What is longer is no quantity, and reading pair after pair would take its time over a file full of them.
        if not rest or len(rest) > 2000:
            raise ValueError(cls._expectation())
        while rest:
            match = pattern.match(rest)
            if match is None:
                raise ValueError(cls._expectation())
            total += float(match[1]) * cls.units[match[2]]
            rest = rest[match.end() :].lstrip()
        if not math.isfinite(total):
            raise ValueError(cls._expectation())
        return total

    def exact(self) -> str:
        """Text that `parse` reads back as the very same value; `str` rounds what no person would want to read."""
        if self._reads(text := str(self)) or not math.isfinite(self):
            return text
        unit, size = min(self.units.items(), key=lambda each: abs(each[1] - 1))
        number = self / size
        if not self._reads(text := f"{Decimal(repr(number)):f}{unit}"):
            # No number times the unit is this value; one just below it and the rest are.
            below = f"{Decimal(repr(math.nextafter(number, 0))):f}{unit}"
            text = f"{below} {Decimal(repr((self - self.parse(below)) / size)):f}{unit}"
        return text

    def _reads(self, text: str) -> bool:
        try:
            return self.parse(text) == self
        except ValueError:
            return False

    @classmethod
    def _expectation(cls) -> str:
        return f"{cls.noun} with a unit ({', '.join(cls.units)}), such as {cls.example}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def validate(value: object) -> _Quantity:
            if isinstance(value, cls):
                return value
            if isinstance(value, str):
                try:
                    return cls.parse(value)
                except ValueError as error:
                    raise PydanticCustomError("quantity", "expected {want}", {"want": str(error)}) from None
            raise PydanticCustomError("quantity", "expected {want}", {"want": cls._expectation()})

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(cls.exact)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        units = "|".join(cls.units)
        return {"type": "string", "pattern": rf"^(\s*{_NUMBER}\s*({units}))+\s*$", "examples": [cls.example]}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class Duration(_Quantity):
    """A length of time; as a number, seconds."""

    units: ClassVar[dict[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
    noun = "a duration"
    example = "30s"

    def __str__(self) -> str:
        if self < 1:
            milliseconds = self * 1000
            return f"{milliseconds:.0f}ms" if milliseconds >= 1 or milliseconds == 0 else f"{milliseconds:.3g}ms"
        if self < 60 or not float(self).is_integer():
            return f"{self:.6g}s"
        whole, parts = round(self), []
        for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
            count, whole = divmod(whole, size)
            if count:
                parts.append(f"{count}{unit}")
        return "".join(parts)


class Bytes(_Quantity):
    """An amount of storage; as a number, bytes."""

    units: ClassVar[dict[str, float]] = {
        "KiB": 1024.0,
        "MiB": 1024.0**2,
        "GiB": 1024.0**3,
        "kB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "B": 1.0,
    }
    noun = "a size"
    example = "64MiB"

    def __str__(self) -> str:
        for unit in ("GiB", "MiB", "KiB"):
            if self >= self.units[unit] and self % self.units[unit] == 0:
                return f"{self / self.units[unit]:.0f}{unit}"
        return f"{float(self):.0f}B"


class Percent(_Quantity):
    """A share; as a number, a fraction between 0 and 1 (``10%`` is 0.1)."""

    units: ClassVar[dict[str, float]] = {"%": 0.01}
    noun = "a percentage"
    example = "10%"

    def __str__(self) -> str:
        return f"{self * 100:.4g}%"
