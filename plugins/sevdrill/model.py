"""The base of everything that people write in YAML."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

__all__ = ["Model", "Record", "docstrings"]

Record = dict[str, Any]
"""What an undo needs to know, as JSON."""


class Model(BaseModel):
    """A frozen set of settings; an unknown key is an error, and docstrings are the editor's hover text."""

    # Pydantic would read the docstrings of every kind, or build its validator, whenever sevdrill starts.
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        properties = handler.resolve_ref_schema(made).get("properties", {})
        for name, text in docstrings(cls).items():
            key = cls.model_fields[name].alias or name
            if key in properties:
                properties[key].setdefault("description", text)
        return made


def docstrings(model: type[Model]) -> dict[str, str]:
    """What the docstrings below a model's fields say, its parents' included."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        found |= _docstrings(one.__module__).get(one.__qualname__, {})
    return {name: text for name, text in found.items() if name in model.model_fields}


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """What is said below the fields of each class of a module; nothing where its source is not at hand."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}
    found: dict[str, dict[str, str]] = {}

    def walk(body: list[ast.stmt], around: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                found[around + node.name] = _of_class(node)
                walk(node.body, f"{around}{node.name}.")
            elif isinstance(node, ast.FunctionDef):
                walk(node.body, f"{around}{node.name}.<locals>.")

    walk(tree.body, "")
    return found


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                found[name] = inspect.cleandoc(text)
    return found
