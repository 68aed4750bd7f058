"""The drill "Database down", told of by what can tell of it besides an alert."""

from __future__ import annotations

__all__ = ["DETECTORS", "detecting"]

DETECTORS = {
    "page": "  - {page: DatabaseDown, as: page}\n",
    "log": '  - {probe: log, name: the log has it, service: app, match: "database is unavailable", over: 3s}\n',
    "exec": r"""  - probe: exec
    name: the driver fails
    service: app
    command: [python3, -c, "import os, psycopg; psycopg.connect(os.environ['DATABASE_URL'], connect_timeout=2)"]
    exit: 1
    prints: OperationalError
    timeout: 10s
""",
    "metric": """  - probe: metric
    name: it is counted
    query: min(dependency_up{dependency="database"})
    value: {below: 1}
""",
}
BREAKS = {
    "page": ("as: page", "as: ticket"),
    "log": ("database is unavailable", "nobody ever says this"),
    "exec": ("exit: 1", "exit: 7"),
    "metric": ("below: 1", "below: 0"),
}
STEADY = """\\g<0>
    - probe: sql
      name: orders have keys
      service: db
      query: select count(*) from orders where order_key is null
      value: {below: 1}
      timeout: 10s"""


def detecting(*by: str, broken: bool = False) -> list[tuple[str, str]]:
    """Changes to the drill's text, so that these tell of it; with ``broken`` none of them ever does."""
    detect = "".join(DETECTORS[each].replace(*BREAKS[each]) if broken else DETECTORS[each] for each in by)
    changes = [
        (r"^detect:\n(  - .*\n)+", "detect:\n" + detect.replace("\\", "\\\\")),
        (r"^    - \{probe: http, name: health.*$", STEADY),
    ]
    if "page" not in by:
        # Who hears of it otherwise has cured it before anybody is paged.
        changes.append((r"^  - \{check: (delivered|paged_once).*\n", ""))
    return [*changes, *([(r"^limit: .*", "limit: 16s")] if broken else [])]
