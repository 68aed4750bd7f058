"""What can go wrong, as one tree.

    SevdrillError
    ├── UsageError              the user's files or options are wrong; nothing was run
    │   ├── DrillFileError      a drill file has mistakes (all of them, with file:line:column)
    │   └── PolicyError         a policy file has mistakes, or no such policy exists
    ├── Refused                 a safety rule says no
    ├── Unsupported             the stack cannot do what the drill asks; the drill is skipped
    ├── StackError              the staging stack cannot be started, reached or trusted
    │   ├── EngineUnavailable   no container engine answers
    │   ├── StackUnhealthy      the stack came up, but not healthy
    │   └── NotRunning          no replica of a service runs
    ├── FaultError              a fault could not be injected
    ├── UndoError               a fault could not be undone; the stack is dirty
    ├── ActionError             a runbook step failed
    └── RunError                a run directory or timeline cannot be read

Every message names the thing, says what was expected and what to do next.
"""

from __future__ import annotations

from sevdrill.escaping import block

__all__ = [
    "ActionError",
    "DrillFileError",
    "EngineUnavailable",
    "FaultError",
    "NotRunning",
    "PolicyError",
    "Refused",
    "RunError",
    "SevdrillError",
    "StackError",
    "StackUnhealthy",
    "UndoError",
    "Unsupported",
    "UsageError",
]


class SevdrillError(Exception):
    """Base of every error that sevdrill raises on purpose; its text is for people, without secrets and escapes."""

    def __str__(self) -> str:
        return block(super().__str__())


class UsageError(SevdrillError):
    """The user's files or options are wrong; nothing was run."""


class DrillFileError(UsageError):
    """A drill file has mistakes; the message lists every one of them with its place."""


class PolicyError(UsageError):
    """A policy file has mistakes, or there is no policy of that name."""


class Refused(SevdrillError):
    """A safety rule says no; nothing was touched."""


class Unsupported(SevdrillError):
    """The stack lacks a capability that the drill needs; the drill is skipped with this reason."""


class StackError(SevdrillError):
    """The staging stack cannot be started, reached or trusted."""


class EngineUnavailable(StackError):
    """No container engine answers."""


class StackUnhealthy(StackError):
    """The stack was started but did not become healthy in time."""


class NotRunning(StackError):
    """No replica of a service runs, so there is nothing to reach."""


class FaultError(SevdrillError):
    """A fault could not be injected."""


class UndoError(SevdrillError):
    """A fault could not be undone, or could not be proved undone; the stack is dirty."""


class ActionError(SevdrillError):
    """A runbook step failed."""


class RunError(SevdrillError):
    """A run directory or a timeline cannot be read."""
