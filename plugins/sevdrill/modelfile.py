"""Reads a YAML file into a model: the model, or every mistake of the file with its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from sevdrill.model import Model
from sevdrill.opening import open_file
from sevdrill.reading import MOST_BYTES, read
from sevdrill.shape import Shape, plain
from sevdrill.source import Problem, Source, at
from sevdrill.wording import did_you_mean, explain

__all__ = ["read_model"]

M = TypeVar("M", bound=Model)


def read_model(path: Path, model: type[M], what: str) -> tuple[Source, list[Problem], M | None]:
    """The file's source, its mistakes, and the model, which is None when there are any.

    ``what`` is what the file should hold, in a word that is also its first key, such as `policy`.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(path) as file:
        source = read(file.read(MOST_BYTES + 1), what)
    problems, found = list(source.problems), None
    if source.complete:
        try:
            found = model.model_validate(source.data)
        except ValidationError as error:
            problems += _mistakes(error, source, model)
    return source, problems, None if problems else found


def _mistakes(error: ValidationError, source: Source, model: type[Model]) -> Iterator[Problem]:
    shape = Shape(plain(model.model_json_schema()))
    if not isinstance(source.data, dict):
        schema = model.model_json_schema()
        keys = [*(schema.get("required") or schema["properties"])][:3]
        expected = " and ".join(filter(None, (", ".join(keys[:-1]), *keys[-1:])))
        yield Problem(source.span(()), f"this is no {source.what}: expected keys such as {expected}")
        return
    for each in error.errors(include_url=False):
        loc = each["loc"]
        place, node = shape.locate(source.data, loc)
        if each["type"] == "extra_forbidden" or loc[-1:] == ("[key]",):
            around = place[:-1]
            inside = shape.locate(source.data, around)[1]
            text, _ = did_you_mean("key", str(place[-1]), shape.keys(inside), at(source.data, around))
            yield Problem(source.keys[place], text)
        else:
            name = next((str(part) for part in reversed(place) if isinstance(part, str)), source.what)
            written = source.written.get(place, "")
            yield Problem(source.span(place), explain(each, at(source.data, place), written, shape, node, name))
