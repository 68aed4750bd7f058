"""Which kinds of fault, action, probe and check a drill may use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, get_args

from sevdrill.actions import ACTIONS, Action
from sevdrill.checks import CHECKS, Check
from sevdrill.errors import UsageError
from sevdrill.faults import FAULTS, Fault
from sevdrill.model import Model
from sevdrill.probes import PROBES, Probe

__all__ = ["Kinds"]

_BASES: Mapping[str, type[Model]] = MappingProxyType({"fault": Fault, "action": Action, "probe": Probe, "check": Check})
_WHERE = ("faults.Fault", "actions.Action", "probes.Probe", "checks.Check")


@dataclass(frozen=True)
class Kinds:
    """The kinds that a drill may use: sevdrill's own and those that users add.

    Raises:
        UsageError: a kind does not say its name as ``fault: Literal["..."]``, or two kinds have the same name.
    """

    faults: tuple[type[Fault], ...] = FAULTS
    actions: tuple[type[Action], ...] = ACTIONS
    probes: tuple[type[Probe], ...] = PROBES
    checks: tuple[type[Check], ...] = CHECKS

    def __post_init__(self) -> None:
        for key in ("fault", "action", "probe", "check"):
            self.named(key)

    @classmethod
    @lru_cache(maxsize=1)
    def default(cls) -> Kinds:
        """The kinds that sevdrill comes with."""
        return cls()

    def with_(self, kinds: Iterable[object]) -> Kinds:
        """These kinds and more; one that is among them already is not added twice.

        Raises:
            UsageError: something is no kind, or has a name that is taken.
        """
        more: dict[str, list[type[Model]]] = {}
        for kind in kinds:
            family = next(
                (key for key, base in _BASES.items() if isinstance(kind, type) and issubclass(kind, base)), ""
            )
            if not family:
                raise UsageError(
                    f"{kind!r} is no kind; expected a subclass of {', '.join(f'sevdrill.{b}' for b in _WHERE)}"
                )
            assert isinstance(kind, type)
            missing = sorted(getattr(kind, "__abstractmethods__", ()))
            if missing:
                raise UsageError(
                    f"{kind.__module__}.{kind.__qualname__} is not complete: it lacks {', '.join(missing)}"
                )
            if not hasattr(kind, "needs"):
                raise UsageError(
                    f"{kind.__module__}.{kind.__qualname__} must say which ports it uses, such as "
                    "`needs: ClassVar[tuple[type, ...]] = (Lifecycle,)`"
                )
            family = f"{family}s"
            if kind not in getattr(self, family) and kind not in more.get(family, ()):
                more.setdefault(family, []).append(kind)
        if not more:
            return self
        added: dict[str, Any] = {family: (*getattr(self, family), *found) for family, found in more.items()}
        return replace(self, **added)

    def named(self, key: str) -> Mapping[str, type[Model]]:
        """The kinds of one family by their names; ``key`` is `fault`, `action`, `probe` or `check`."""
        return _named(key, getattr(self, f"{key}s"))


@lru_cache(maxsize=64)
def _named(key: str, kinds: tuple[type[Model], ...]) -> Mapping[str, type[Model]]:
    found: dict[str, type[Model]] = {}
    for kind in kinds:
        field = kind.model_fields.get(key)
        names = [name for name in get_args(field.annotation) if isinstance(name, str)] if field else []
        if not names:
            raise UsageError(f'{kind.__module__}.{kind.__qualname__} must say its name: {key}: Literal["its.name"]')
        for name in names:
            if name in found:
                other = found[name]
                raise UsageError(
                    f"two kinds of {key} are called {name}: {other.__module__}.{other.__qualname__} and "
                    f"{kind.__module__}.{kind.__qualname__}; give one of them another name"
                )
            found[name] = kind
    return MappingProxyType(found)
