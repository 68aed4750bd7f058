"""A drill, typed: what a drill file says once it is free of mistakes.

`Scenario` is the shape that the engine and the judge read. `scenario_model` makes the class that validates it for a set
of kinds, since users add kinds of their own.
"""

from __future__ import annotations

import re
from copy import copy
from difflib import get_close_matches
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    create_model,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sevdrill.actions import Action
from sevdrill.checks import Check
from sevdrill.detectors import DETECTORS, Detector, tag_of
from sevdrill.faults import Fault
from sevdrill.kinds import Kinds
from sevdrill.model import Model
from sevdrill.probes import Probe
from sevdrill.rules import rules
from sevdrill.severity import LIMITS
from sevdrill.sop import Severity
from sevdrill.units import Duration, Percent

__all__ = [
    "BlastRadius",
    "Kinds",
    "LoadSpec",
    "Quiet",
    "Scenario",
    "SteadyState",
    "StopConditions",
    "Waiver",
    "scenario_model",
    "stop_model",
]


class LoadSpec(Model):
    """The users: they send requests all through the drill."""

    locustfile: str = Field(min_length=1)
    """The Locust file, relative to the drill file."""
    users: int = Field(default=1, ge=1)
    """How many users there are."""
    spawn_rate: float = Field(default=1, gt=0)
    """How many users appear each second."""
    ledger: str = ""
    """Name under which the locustfile notes the writes that it attempts and that were acknowledged."""
    host: str = Field(default="", pattern=r"^(https?://[^/]+)?$")
    """Where the users come in, such as `https://edge:3443`; left out: the stack's `entry`."""
    ca: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Where the certificate of the authority is that users trust, such as `http://edge:3300/ca.pem`. It is read once,
    before the first request: what is trusted later is what was trusted before the fault."""

    @field_validator("locustfile")
    @classmethod
    def _exists(cls, value: str, info: ValidationInfo) -> str:
        # Only while a file is read is there a folder; a drill that is read back from a timeline needs no locustfile.
        folder = (info.context or {}).get("folder")
        if folder is None:
            return value
        try:
            file = Path(folder) / value
            if file.is_file():
                return value
            others = [each.name for each in islice(file.parent.iterdir(), 1000)] if file.parent.is_dir() else []
        except (OSError, ValueError):
            others = []
        near = get_close_matches(Path(value).name, others, n=1)
        meant = f', did you mean "{Path(value).with_name(near[0]).as_posix()}"?' if near else ""
        text = "no such file, seen from the drill file{meant}"
        raise PydanticCustomError("file", text, {"meant": meant})


class SteadyState(Model):
    """What normal looks like; it must hold before the fault, and again for the drill to be over."""

    hold: Duration = Duration(3)
    """How long every probe must be good without a break."""
    every: Duration = Duration(0.2)
    """How often each probe looks."""
    throughout: bool = False
    """Users must feel nothing at all: the probes must stay good while the fault is on."""
    probes: tuple[Probe, ...] = Field(min_length=1)
    """The probes; all of them must be good."""


class BlastRadius(Model):
    """How much the faults of a drill may hit."""

    services: int = Field(default=1, ge=1)
    """How many services."""
    replicas: Percent = Percent(0.5)
    """Which share of each service's replicas may be taken out of action, rounded up: a single one may be hit."""


class Waiver(Model):
    """Why a target may be looser than the policy's; it stands in every report."""

    target: str
    """The target that is looser."""
    because: str = Field(min_length=1)
    """The reason."""


class Quiet(Model):
    """Nothing breaks, and nobody may be paged."""

    for_: Duration = Field(alias="for")
    """How long to watch."""


Cause = Literal["data_breach", "infrastructure", "business", "major", "human_decision"]
"""What an SOP's escalation rules ask for; see `sevdrill.level.Escalation.when`."""

_SLUG = "[a-z0-9]+(-[a-z0-9]+)*"


def _one_line(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("empty", "must not be empty")
    if not value.isprintable():
        raise PydanticCustomError("one_line", "must be one line of text")
    return value.strip()


def _slug(value: str) -> str:
    if re.fullmatch(_SLUG, value) is None:
        slug = "-".join(re.findall(r"[a-z0-9]+", value.lower())) or "database"
        raise PydanticCustomError("slug", 'expected small letters, digits and "-", such as "{slug}"', {"slug": slug})
    return value


_Line = Annotated[str, AfterValidator(_one_line), WithJsonSchema({"type": "string", "minLength": 1})]
_Slug = Annotated[str, AfterValidator(_slug), WithJsonSchema({"type": "string", "pattern": f"^{_SLUG}$"})]


class Scenario(Model):
    """One incident drill: what normal looks like, what breaks, who must notice, what to do, and what recovery means."""

    kinds: ClassVar[Kinds]
    """The kinds that this model knows."""

    drill: _Line
    """Name of the drill."""
    severity: Severity
    """How bad the incident would be; it chooses the targets of the policy."""
    tags: tuple[_Slug, ...] = ()
    """Words to choose drills by."""
    about: str = ""
    """What happens, in a sentence or two."""
    runbook: str = ""
    """Where the runbook is that this drill follows."""
    hints: tuple[str, ...] = ()
    """Hints for onboarding, revealed one at a time."""
    causes: tuple[Cause, ...] = ()
    """What the incident is besides what its faults say, for the SOP's escalation rules."""
    targets: dict[str, Duration] = Field(default={})
    """Time limits, counted from the injection; stricter than the policy's, never looser."""
    waive: tuple[Waiver, ...] = ()
    """Targets that may be looser than the policy's, and why."""
    load: LoadSpec | None = None
    """The users of the stack."""
    profiles: tuple[_Slug, ...] = ()
    """Profiles of the stack's Compose files that this drill needs, such as `replica`; others run without them."""
    steady_state: SteadyState
    """What normal looks like."""
    blast_radius: BlastRadius = BlastRadius()
    """How much the faults may hit; more than the default must be allowed by whoever runs the drill, too."""
    inject: tuple[Fault, ...] = ()
    """The faults."""
    quiet: Quiet | None = None
    """Nothing breaks, and nobody may be paged; `inject` then has harmless noise at the most (`expect: no_page`)."""
    effect: tuple[Probe, ...] = ()
    """What users feel of the fault: false in steady state, and must become true."""
    detect: tuple[Detector, ...] = ()
    """What must tell of it: an alert, a page, or a probe that becomes true; the first that does is the detection."""
    investigate: tuple[Action, ...] = ()
    """Steps that run beside `respond`."""
    respond: tuple[Action, ...] = ()
    """The runbook, step by step."""
    close: tuple[Action, ...] = ()
    """Steps after recovery: switch back on what was switched off; the last message."""
    verify: tuple[Check, ...] = ()
    """What must be true once the stack has recovered."""
    stop: tuple[Probe, ...] = ()
    """Stop conditions: the drill is aborted, and undone at once, when one of these probes becomes true."""
    limit: Duration = Duration(600)
    """How long the drill may take; missed targets do not end it, so that true times are known."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        given = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        found = [f"{'.'.join(map(str, place)) or 'drill'}: {text}" for place, text in rules(given, self.kinds)]
        if found:
            raise PydanticCustomError("rules", "{text}", {"text": "; ".join(found)})
        return self

    def dump(self) -> dict[str, Any]:
        """The drill as JSON that ``scenario_model(kinds).model_validate`` reads back to an equal drill."""
        return self.model_dump(mode="json", by_alias=True)


class StopConditions(Model):
    """Stop conditions that stand for every drill."""

    kinds: ClassVar[Kinds]

    stop: tuple[Probe, ...] = Field(min_length=1)
    """The conditions: a drill is aborted, and undone at once, when one of these probes becomes true."""


@lru_cache(maxsize=16)
def stop_model(kinds: Kinds) -> type[StopConditions]:
    """The class of files with stop conditions for every drill."""
    model: type[StopConditions] = _with(StopConditions, {"stop": _list("probe", kinds)})
    model.kinds = kinds
    return model


@lru_cache(maxsize=16)
def scenario_model(kinds: Kinds) -> type[Scenario]:
    """The class of drills that use these kinds; the same class for the same kinds.

    ``model_validate(data, context={"folder": ...})`` also looks for the locustfile, from that folder.
    """
    target: Any = Literal[tuple(LIMITS)]
    targets: Any = dict.__class_getitem__((target, Duration))
    model: type[Scenario] = _with(
        Scenario,
        {
            "targets": targets,
            "waive": _many(_with(Waiver, {"target": target})),
            "steady_state": _with(SteadyState, {"probes": _list("probe", kinds)}),
            "inject": _list("fault", kinds),
            "effect": _list("probe", kinds),
            "detect": _many(_detector(kinds)),
            **dict.fromkeys(("investigate", "respond", "close"), _list("action", kinds)),
            "verify": _list("check", kinds),
            "stop": _list("probe", kinds),
        },
    )
    model.kinds = kinds
    return model


def _list(key: str, kinds: Kinds) -> Any:
    return _many(_one(key, kinds))


def _one(key: str, kinds: Kinds) -> Any:
    found = tuple(dict.fromkeys(kinds.named(key).values()))
    # pydantic wants a discriminator for a union only; one kind alone is told by its Literal.
    return found[0] if len(found) == 1 else Annotated[Union[found], Field(discriminator=key)]  # noqa: UP007


def _detector(kinds: Kinds) -> Any:
    own = tuple(Annotated[kind, Tag(str(tag_of(kind.model_fields)))] for kind in DETECTORS)
    return Annotated[Union[(*own, Annotated[_one("probe", kinds), Tag("probe")])], Discriminator(tag_of)]


def _many(one: Any) -> Any:
    return tuple[one, ...]


def _with(model: type[Model], annotations: dict[str, Any]) -> Any:
    """The model with other annotations for some fields, their defaults and docstrings kept."""
    fields: dict[str, Any] = {name: (kind, copy(model.model_fields[name])) for name, kind in annotations.items()}
    return create_model(model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields)
