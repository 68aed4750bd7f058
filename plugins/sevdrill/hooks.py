"""The hooks that sevdrill calls in a `conftest.py` or a plugin."""

from __future__ import annotations


def pytest_sevdrill_kinds() -> list[type]:  # type: ignore[empty-body]  # a specification
    """Kinds of fault, action, probe and check of one's own, as a list of classes.

    Each is a subclass of `sevdrill.faults.Fault`, `sevdrill.actions.Action`, `sevdrill.probes.Probe` or
    `sevdrill.checks.Check` that says its name as ``fault: Literal["its.name"]``. A fault must be able to undo itself
    from its record alone in a fresh process: the file that defines it is loaded there.
    """
