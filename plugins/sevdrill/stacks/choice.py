"""Which kind of stack a run uses, and why; and making one, or finding it again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sevdrill.clock import Clock
from sevdrill.errors import EngineUnavailable, Refused, SevdrillError, Unsupported, UsageError
from sevdrill.ports import Ports
from sevdrill.stacks.files import services_by_profile
from sevdrill.stacks.settings import StackSettings, meant

__all__ = ["KINDS", "Choice", "Stack", "attach", "choose", "in_ci", "make", "named"]

KINDS = ("auto", "compose", "embedded")


class Stack(Protocol):
    """A staging stack, whatever it is made of."""

    @property
    def project(self) -> str:
        """Its name."""

    @property
    def title(self) -> str:
        """What it is, in a few words, for the timeline."""

    @property
    def settings(self) -> StackSettings:
        """Its ``x-sevdrill``."""

    def descriptor(self) -> dict[str, Any]:
        """What `attach` needs, as JSON."""

    @property
    def was_begun(self) -> bool:
        """Whether it was ever started from this folder, as far as that came."""

    def replicas(self) -> dict[str, int]:
        """How many replicas each service of its files has; nothing is started for that."""

    def exists(self) -> bool:
        """Whether anything of it is there, running or not."""

    def await_changes(self) -> None:
        """Wait until no change of it is under way, one of a killed runner included."""

    def by_hand(self) -> str:
        """What a person types to be rid of every fault."""

    def up(self) -> None:
        """Start it and wait until it is healthy; one that is up is brought back to how it was started."""

    def is_up(self) -> bool:
        """Whether all of it runs, is healthy where it can tell, and no proxy is faulted."""

    def down(self) -> None:
        """Remove all of it; one that is not there is no error."""

    def ports(self) -> Ports:
        """Its capabilities."""

    def reach(self) -> list[str]:
        """Lines for people: where it can be reached."""


@dataclass(frozen=True)
class Choice:
    """A kind of stack, and why it was chosen."""

    kind: str
    why: str


def in_ci() -> bool:
    """Whether nobody watches: `CI` is set."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false", "no")


def choose(kind: str, files: Sequence[Path], allow_remote: str | None = None) -> Choice:
    """The kind of stack for these files; ``auto`` is Compose where an engine answers, else embedded.

    Raises:
        UsageError: there is no such kind, or in CI no engine answers and nobody chose the embedded stack.
    """
    if kind not in KINDS:
        raise UsageError(f'there is no kind of stack "{kind}"; expected one of {", ".join(KINDS)}')
    if kind != "auto":
        return Choice(kind, "as chosen by drill_stack_kind")
    from sevdrill.stacks.embedded.reading import describes_processes

    if not describes_processes(files):
        return Choice("compose", "its services have no processes to be embedded")
    from sevdrill.stacks.engine import Engine

    try:
        Engine.locate(allow_remote).check()
    except Refused:
        return Choice("compose", "an engine is there")  # which says no by itself, and what to do
    except (EngineUnavailable, SevdrillError) as error:
        why = str(error).partition("\n")[0]
        if in_ci():
            raise UsageError(
                f"{why}\nWith CI set nothing else is taken silently: choose --drill-stack embedded for child processes "
                "instead of containers, or start an engine and choose --drill-stack compose"
            ) from None
        return Choice("embedded", why.partition(": ")[0])
    return Choice("compose", "a container engine answers")


def make(
    choice: str,
    files: tuple[Path, ...],
    project: str,
    state_dir: Path,
    clock: Clock,
    *,
    keep: bool,
    remote: str | None,
    profiles: tuple[str, ...] = (),
) -> Stack:
    """The stack of these files, with what these profiles of them bring; nothing is started.

    Raises:
        Unsupported: the files have no such profile.
    """
    if profiles:
        known = sorted(services_by_profile(files))
        unknown = [profile for profile in profiles if profile not in known]
        if unknown:
            where = ", ".join(file.name for file in files)
            raise Unsupported(
                f'{where}: there is no profile "{unknown[0]}"{meant(unknown[0], known)} '
                f"(profiles: {', '.join(known) or 'none'})"
            )
    if choice == "embedded":
        from sevdrill.stacks.embedded.stack import EmbeddedConfig, EmbeddedStack

        return EmbeddedStack(EmbeddedConfig(files, project, state_dir, keep, profiles), clock)
    from sevdrill.stacks.compose import ComposeConfig, ComposeStack

    return ComposeStack(ComposeConfig(files, project, state_dir, profiles), clock, allow_remote=remote)


def attach(descriptor: Mapping[str, Any], clock: Clock) -> Stack:
    """The stack that a descriptor is of, in any process."""
    if descriptor.get("kind") == "embedded":
        from sevdrill.stacks.embedded.stack import EmbeddedStack

        return EmbeddedStack.attach(descriptor, clock)
    from sevdrill.stacks.compose import ComposeStack

    return ComposeStack.attach(descriptor, clock)


def named(project: str, state_dir: Path, clock: Clock) -> Stack:
    """The stack that was left up under this name."""
    if (state_dir / "stacks" / project / "embedded.json").exists():
        from sevdrill.stacks.embedded.stack import EmbeddedStack

        return EmbeddedStack.named(project, state_dir, clock)
    from sevdrill.stacks.compose import ComposeStack

    return ComposeStack.named(project, state_dir, clock)
