"""What a stack says about itself: the top-level ``x-sevdrill`` of its Compose files."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from sevdrill.errors import Refused, UsageError
from sevdrill.model import Model
from sevdrill.units import Duration

__all__ = [
    "BackupSettings",
    "LedgerSettings",
    "MigrationSettings",
    "MonitoringSettings",
    "StackSettings",
    "meant",
    "read_settings",
    "without_services",
]

Permission = Literal[
    "bind-mounts", "external-volumes", "external-networks", "host-network", "host-access", "production-names"
]
Port = Annotated[int, Field(ge=1, le=65535)]


class MonitoringSettings(Model):
    """Where the stack's own monitoring listens, in URLs as the stack's services see them."""

    alertmanager: str = Field(pattern=r"^https?://")
    """Alertmanager's base URL, such as `http://alertmanager:9093`."""
    prometheus: str = Field(default="", pattern=r"^(https?://.*)?$")
    """Prometheus' base URL; needed to prove that monitoring is alive where no heartbeat alert is configured."""
    pager: str = Field(default="", pattern=r"^(https?://.*)?$")
    """Where the pager lists what was delivered to it: a JSON list of `id, kind, status, alerts, received_at`."""
    heartbeat: str = ""
    """Name of the alert that always fires while rules are evaluated (`vector(1)`)."""


class LedgerSettings(Model):
    """How to read back, from where the system keeps it, what the load generator wrote."""

    service: str
    """The service to run the command in."""
    read: tuple[str, ...] = Field(min_length=1)
    """The command, as a list of arguments; it prints one key a line."""


class MigrationSettings(Model):
    """Where the migrations of a database are: `NAME.up.sql` and, where there is a way back, `NAME.down.sql`."""

    service: str
    """The service that brings them."""
    folder: str
    """The folder there; a relative one begins where the service runs."""


class BackupSettings(Model):
    """What is done with the backups of a database: a command to which a verb is added.

    `list` prints the backups, the newest last; `restore NAME` puts one into a database of its own; `check` prints what
    is wrong with that, and nothing where it is sound; `swap` puts it in the place of the one that users use; `gap`
    prints the keys that were in the old one and are not in it; `copy` keeps the database as it is, and prints the name
    of the copy; `copies` prints those.
    """

    service: str
    """The service to run it in."""
    command: tuple[str, ...] = Field(min_length=1)
    """The command, as a list of arguments."""


class StackSettings(Model):
    """The top-level `x-sevdrill` of a Compose file."""

    target: Literal["staging"]
    """Says that faults may be injected here; without it nothing is started."""
    entry: str = Field(default="", pattern=r"^(https?://.*)?$")
    """Where users come in, as the stack's services see it, such as `http://app:3000`; the load is sent there."""
    proxies: dict[str, tuple[Port, ...]] = Field(default_factory=dict)
    """Services that get a proxy, each with the ports that network faults act on; an empty list means all of them."""
    direct: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Network aliases that lead to the service itself, past its proxy."""
    monitoring: MonitoringSettings | None = None
    """Where the stack's own monitoring listens."""
    ledgers: dict[str, LedgerSettings] = Field(default_factory=dict)
    """How checks read back what the load wrote, by ledger name."""
    admin: dict[str, Annotated[str, Field(pattern=r"^http://[^/:]+:\d+/")]] = Field(default_factory=dict)
    """Where each service's operators change its settings while it runs, such as `http://app:3000/admin/settings`."""
    databases: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """How operators ask each database, by service: a `psql` command, to which a statement is added."""
    migrations: dict[str, MigrationSettings] = Field(default_factory=dict)
    """Where the migrations of each database are, by service; `databases` says how they are applied."""
    backups: dict[str, BackupSettings] = Field(default_factory=dict)
    """What is done with the backups of each database, by service."""
    releases: dict[str, dict[str, str]] = Field(default_factory=dict)
    """Images of the known releases, by service and release name."""
    healthy_within: Duration = Duration(120)
    """How long everything may take to be healthy once it was started."""
    allow: tuple[Permission, ...] = ()
    """What is shared with the world outside the stack on purpose, and refused otherwise."""


def read_settings(raw: object, services: Iterable[str], where: str) -> StackSettings:
    """Check ``x-sevdrill`` as it stands in the model; ``where`` names the files, for messages.

    Raises:
        Refused: it does not say ``target: staging``.
        UsageError: it has mistakes; all of them are listed.
    """
    target = raw.get("target") if isinstance(raw, Mapping) else None
    if target != "staging":
        said = f"says target: {target}" if target is not None else "does not say what it is"
        raise Refused(
            f"{where} {said}; faults are injected only into a stack whose files carry a top-level\n"
            "  x-sevdrill: {target: staging}\n"
            "(a later file's x-sevdrill replaces an earlier one whole)"
        )
    try:
        settings = StackSettings.model_validate(_unescape(raw))
    except ValidationError as error:
        mistakes = [_mistake(e) for e in error.errors()]
    else:
        mistakes = list(_unknown_services(settings, sorted(map(str, services))))
    if mistakes:
        raise UsageError("\n".join(f"{where}: {mistake}" for mistake in mistakes))
    return settings


BY_SERVICE = ("proxies", "direct", "admin", "databases", "migrations", "backups", "releases")
"""Settings that are given by service."""


def without_services(raw: Any, absent: Collection[str]) -> Any:
    """``x-sevdrill`` as it stands in the model, without what it says of services that are not there.

    What a profile brings is not there when the profile is not on, and the settings speak of it all the same.
    """
    if not isinstance(raw, Mapping) or not absent:
        return raw
    kept: dict[Any, Any] = dict(raw)
    for key in BY_SERVICE:
        if isinstance(kept.get(key), Mapping):
            kept[key] = {name: each for name, each in kept[key].items() if name not in absent}
    for key in ("ledgers", "migrations", "backups"):
        if isinstance(kept.get(key), Mapping):
            entries = kept[key].items()
            kept[key] = {n: e for n, e in entries if not (isinstance(e, Mapping) and e.get("service") in absent)}
    return kept


def meant(word: str, known: Iterable[str]) -> str:
    """A hint at what was meant: ``, did you mean "db"?``, or nothing."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f', did you mean "{close[0]}"?' if close else ""


def _unescape(value: Any) -> Any:
    # Compose keeps its own escape for "$" in what it prints.
    if isinstance(value, str):
        return value.replace("$$", "$")
    if isinstance(value, Mapping):
        return {key: _unescape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unescape(item) for item in value]
    return value


def _mistake(error: Any) -> str:
    place = ".".join(str(part) for part in ("x-sevdrill", *error["loc"]))
    if error["type"] == "extra_forbidden":
        models: dict[str, type[Model]] = {
            "monitoring": MonitoringSettings,
            "ledgers": LedgerSettings,
            "migrations": MigrationSettings,
            "backups": BackupSettings,
        }
        known = models.get(str(error["loc"][0]), StackSettings).model_fields
        return f"{place}: unknown key{meant(str(error['loc'][-1]), known)}"
    return f"{place}: {error['msg']}"


def _unknown_services(settings: StackSettings, services: list[str]) -> Iterable[str]:
    named = [(f"x-sevdrill.{key}.{name}", name) for key in BY_SERVICE for name in getattr(settings, key)]
    named += [(f"x-sevdrill.ledgers.{name}.service", ledger.service) for name, ledger in settings.ledgers.items()]
    named += [(f"x-sevdrill.migrations.{name}.service", where.service) for name, where in settings.migrations.items()]
    named += [(f"x-sevdrill.backups.{name}.service", where.service) for name, where in settings.backups.items()]
    for place, name in named:
        if name not in services:
            yield f'{place}: there is no service "{name}"{meant(name, services)} (services: {", ".join(services)})'
