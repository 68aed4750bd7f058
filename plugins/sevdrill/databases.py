"""What kinds may ask of a stack's databases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Backups", "Databases", "DbSession", "Migration", "Migrations", "Rows", "Sql", "Standbys"]


@dataclass(frozen=True)
class DbSession:
    """One client's session, as the database itself shows it."""

    pid: int
    name: str
    """What the client calls itself; a label only, so two sessions may have the same."""
    age: float
    """Seconds since its transaction began; 0 when it has none."""
    idle: bool
    """Whether it holds a transaction open and does nothing."""
    blocks: int
    """How many sessions wait for a lock that it holds."""


class Databases(Protocol):
    """Look at the sessions of the database that a service is, as its operators do, and change what is wrong."""

    def sessions(self, service: str) -> list[DbSession]:
        """Every client's session but our own.

        Raises:
            StackError: the stack names no database of this service, or it does not answer.
        """

    def terminate(self, service: str, pids: list[int]) -> None:
        """End sessions; one that is gone is no error."""

    def lock(self, service: str, table: str, name: str, seconds: float) -> None:
        """Lock a table against writes for so long, in a session of this name whose client goes away meanwhile."""

    def longest_wait(self, service: str) -> float:
        """Seconds that the session which waits longest for a lock has waited so far; 0 when none waits."""


class Sql(Protocol):
    """Ask the database that a service is."""

    def query(self, service: str, query: str) -> list[str]:
        """The rows that a query gives, one a line; it can change nothing.

        Raises:
            StackError: the stack names no database of this service, or it does not answer.
        """


class Rows(Protocol):
    """Let rows of the database that a service is go wrong, and put them right."""

    def spoil(self, service: str, table: str, column: str) -> None:
        """Turn the sign of numbers: of half of those that are there, and of each that is written from now on."""

    def mend(self, service: str, table: str, column: str) -> None:
        """Let new rows be right again, and put those right that are there; right ones are left alone."""

    def spoilt(self, service: str, table: str, column: str) -> tuple[bool, int]:
        """Whether new rows go wrong, and how many rows are wrong: their number is below 0."""


class Backups(Protocol):
    """The backups of the database that a service is."""

    def known(self, service: str) -> list[str]:
        """Names of the backups, the newest last.

        Raises:
            StackError: the stack names no backups of this service, or they cannot be asked for.
        """

    def restore(self, service: str, backup: str) -> None:
        """Put a backup into a database of its own, beside the one that users use.

        Raises:
            StackError: it cannot be restored; the text says why.
        """

    def wrong(self, service: str) -> list[str]:
        """What is wrong with the restored database, in few words each; nothing where it is sound."""

    def swap(self, service: str) -> None:
        """Put the restored database in the place of the one that users use.

        Raises:
            StackError: there is none, or its rows are not as they were.
        """

    def gap(self, service: str) -> list[str]:
        """Keys that were in the old database and are not in the one that took its place."""

    def copy(self, service: str) -> str:
        """Keep the database as it is now, whatever is wrong with it; the name of the copy."""

    def copies(self, service: str) -> list[str]:
        """Names of the copies that were kept."""


class Standbys(Protocol):
    """Look at the database that a service is as one of a primary and its standbys, and let a standby take over."""

    def is_standby(self, service: str) -> bool:
        """Whether it follows another one, and takes no writes.

        Raises:
            StackError: the stack names no database of this service, or it does not answer.
        """

    def promote(self, service: str) -> None:
        """Let a standby become a primary; there is no way back."""


@dataclass(frozen=True)
class Migration:
    """A change of the schema, and how it is taken back; both are SQL."""

    name: str
    up: str
    down: str
    """Empty where there is no way back."""
    staging: str = ""
    """For a one-way migration, what puts a staging database back all the same. Data is lost by it: no step uses it."""


class Migrations(Protocol):
    """Change the schema of the database that a service is, and take the change back."""

    def known(self, service: str, name: str) -> Migration:
        """A migration that the stack's files bring.

        Raises:
            StackError: there is none of this name; the text lists those that there are.
        """

    def applied(self, service: str) -> list[str]:
        """Names of the migrations that are in force, the newest last, as the database's own table has them."""

    def schema(self, service: str) -> str:
        """A digest of tables, columns, constraints and indexes; equal for equal schemas."""

    def schema_before(self, service: str, name: str) -> str:
        """The digest from before a migration that is in force."""

    def up(self, service: str, migration: Migration) -> None:
        """Apply a migration and note it, both or neither."""

    def down(self, service: str, migration: Migration) -> None:
        """Take a migration back and forget it, both or neither; one that is not in force is left alone."""
