"""The base of everything that people write in YAML."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

__all__ = ["Model", "Record"]

Record = dict[str, Any]
"""What an undo needs to know, as JSON."""


class Model(BaseModel):
    """A frozen set of settings; an unknown key is an error, and docstrings are the editor's hover text."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=True)
