"""Migrations of a stack's databases: SQL files of a service, and a table that says which are in force.

`x-sevdrill: {migrations: {db: {service: app, folder: migrations}}}`: the folder, in the service that brings it, has a
`NAME.up.sql` for each migration, and a `NAME.down.sql` for each that has a way back. One that has none may bring a
`NAME.staging.sql`, by which a drill puts its own stack back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sevdrill.databases import Migration
from sevdrill.errors import StackError
from sevdrill.ports import Exec
from sevdrill.stacks.postgres import literal
from sevdrill.stacks.settings import MigrationSettings

__all__ = ["SqlMigrations"]

TIMEOUT = 10.0
"""Seconds that reading a file may take."""
SCHEMA = """
select md5(string_agg(line, ';' order by line)) from (
    select c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
           || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    where c.relkind in ('r', 'v', 'm') and c.relnamespace = 'public'::regnamespace and c.relname <> 'schema_migrations'
    union all
    select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace and contype <> 'n' and conrelid <> to_regclass('schema_migrations')
    union all
    select pg_get_indexdef(indexrelid) from pg_index join pg_class c on c.oid = indexrelid
    where c.relnamespace = 'public'::regnamespace and indrelid <> to_regclass('schema_migrations')
) as found(line)
"""


class SqlMigrations:
    """Read migrations from a service, and apply them by ``ask``, which runs a statement in a database."""

    def __init__(
        self, commands: Exec, ask: Callable[[str, str], list[str]], migrations: Mapping[str, MigrationSettings]
    ) -> None:
        self._commands, self._ask, self._migrations = commands, ask, migrations

    def known(self, service: str, name: str) -> Migration:
        """A migration that the stack's files bring.

        Raises:
            StackError: there is none of this name; the text lists those that there are.
        """
        where = self._migrations.get(service)
        if where is None:
            known = ", ".join(sorted(self._migrations)) or "none"
            raise StackError(f"the stack names no migrations of {service} (x-sevdrill.migrations has: {known})")
        files = self._read(where, ["ls", where.folder]).split()
        if f"{name}.up.sql" not in files:
            known = ", ".join(file.removesuffix(".up.sql") for file in files if file.endswith(".up.sql")) or "none"
            raise StackError(f'{where.folder} of {where.service} has no migration "{name}" (it has: {known})')
        up = self._read(where, ["cat", f"{where.folder}/{name}.up.sql"])
        back = {
            kind: self._read(where, ["cat", f"{where.folder}/{name}.{kind}.sql"])
            for kind in ("down", "staging")
            if f"{name}.{kind}.sql" in files
        }
        return Migration(name, up, **{"down": "", **back})

    def applied(self, service: str) -> list[str]:
        """Names of the migrations that are in force, the newest last, as the database's own table has them."""
        return self._ask(service, "select name from schema_migrations order by applied_at, name")

    def schema(self, service: str) -> str:
        """A digest of tables, columns, constraints and indexes; equal for equal schemas."""
        return self._ask(service, SCHEMA)[0]

    def schema_before(self, service: str, name: str) -> str:
        """The digest from before a migration that is in force."""
        statement = f"select schema_before from schema_migrations where name = {literal(name)}"  # noqa: S608 - quoted
        found = self._ask(service, statement)
        return found[0] if found else ""

    def up(self, service: str, migration: Migration) -> None:
        """Apply a migration and note it, both or neither."""
        values = f"({literal(migration.name)}, ({SCHEMA}))"
        note = f"insert into schema_migrations (name, schema_before) values {values}"  # noqa: S608 - quoted
        self._ask(service, f"begin; {note}; {migration.up}\n; commit")

    def down(self, service: str, migration: Migration) -> None:
        """Take a migration back and forget it, both or neither; one that is not in force is left alone."""
        if migration.name in self.applied(service):
            forget = f"delete from schema_migrations where name = {literal(migration.name)}"  # noqa: S608 - quoted
            self._ask(service, f"begin; {migration.down}\n; {forget}; commit")

    def _read(self, where: MigrationSettings, command: list[str]) -> str:
        done = self._commands.run(where.service, command, timeout=TIMEOUT)
        if done.code != 0:
            raise StackError(f"`{' '.join(command)}` in {where.service} failed: {done.err.strip()[:200]}")
        return done.out
