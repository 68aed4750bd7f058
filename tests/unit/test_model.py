"""What every model has in common: nothing is built before it is used, and what is said below a field is its help."""

from __future__ import annotations

import subprocess
import sys

from pydantic import Field

from sevdrill.model import Model, docstrings


class Parent(Model):
    first: int
    """The first."""
    second: str = Field(default="", alias="2nd")
    """The second,

    told at length.
    """
    third: int = 0


class Child(Parent):
    third: int = 0
    """Said by the child."""


def test_what_is_said_below_a_field_is_its_description() -> None:
    assert docstrings(Child) == {
        "first": "The first.",
        "second": "The second,\n\ntold at length.",
        "third": "Said by the child.",
    }
    described = Child.model_json_schema()["properties"]
    assert {name: each.get("description", "")[:9] for name, each in described.items()} == {
        "first": "The first",
        "2nd": "The secon",
        "third": "Said by t",
    }


def test_a_model_without_source_has_no_descriptions() -> None:
    made: dict[str, type[Model]] = {}
    exec("class Typed(Model):\n    one: int\n    'One.'\n", {"Model": Model, "__name__": "nowhere"}, made)
    assert docstrings(made["Typed"]) == {}
    assert made["Typed"].model_json_schema()["properties"]["one"] == {"title": "One", "type": "integer"}


def test_no_kind_is_built_because_the_watchdog_starts() -> None:
    look = "import sevdrill.watchdog, sevdrill.faults as f; print([k for k in f.FAULTS if k.__pydantic_complete__])"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
