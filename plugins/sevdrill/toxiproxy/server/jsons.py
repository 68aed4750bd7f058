"""Reading request bodies as strictly, and as loosely, as the real server does."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["ApiError", "decode", "encode", "read_bool", "read_int", "read_number", "read_object", "read_string"]

KINDS = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number", type(None): "null"}


class ApiError(Exception):
    """A request cannot be done; with the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


def encode(value: object) -> bytes:
    """Compact JSON."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def decode(body: bytes, expected: type[dict[str, Any]] | type[list[Any]]) -> Any:
    """The first JSON value of a body; what follows it is ignored, and null is empty.

    Raises:
        ApiError: there is none, or it is of another kind.
    """
    text = body.decode("utf-8", "replace").lstrip(" \t\r\n")
    if not text:
        raise ApiError(400, "bad request body: EOF")
    try:
        value, _ = _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text) or error.msg.startswith("Unterminated string")
        raise ApiError(400, f"bad request body: {'unexpected EOF' if cut else error}") from None
    except (ValueError, RecursionError) as error:
        raise ApiError(400, f"bad request body: {str(error)[:100]}") from None
    if value is None:
        return expected()
    if not isinstance(value, expected):
        raise ApiError(400, f"bad request body: it is of type {KINDS[type(value)]}, expected {KINDS[expected]}")
    return value


def _not_json(text: str) -> Any:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_not_json)


def _get(body: dict[str, Any], key: str, default: Any) -> Any:
    """A value by its key, whose case does not matter; null is as good as absent."""
    found = default
    for name, value in body.items():
        if value is not None and name.lower() == key:
            found = value
    return found


def _wrong(key: str, value: Any, expected: str) -> ApiError:
    shown = f" {value}" if isinstance(value, int | float) and not isinstance(value, bool) else ""
    return ApiError(400, f"bad request body: {key} is of type {KINDS[type(value)]}{shown[:40]}, expected {expected}")


def read_string(body: dict[str, Any], key: str, default: str = "") -> str:
    """A string of an object."""
    value = _get(body, key, default)
    if not isinstance(value, str):
        raise _wrong(key, value, "string")
    return value


def read_bool(body: dict[str, Any], key: str, default: bool) -> bool:
    """A truth value of an object."""
    value = _get(body, key, default)
    if not isinstance(value, bool):
        raise _wrong(key, value, "bool")
    return value


def read_int(body: dict[str, Any], key: str, default: int) -> int:
    """A whole number of 64 bits of an object."""
    value = _get(body, key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not -(2**63) <= value < 2**63:
        raise _wrong(key, value, "a whole number of 64 bits")
    return value


def read_number(body: dict[str, Any], key: str, default: float) -> float:
    """A number of an object."""
    value = _get(body, key, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(key, value, "number")
    try:
        return float(value)
    except OverflowError:
        raise _wrong(key, value, "number") from None


def read_object(body: dict[str, Any], key: str) -> dict[str, Any]:
    """An object in an object."""
    value = _get(body, key, {})
    if not isinstance(value, dict):
        raise _wrong(key, value, "object")
    return value
