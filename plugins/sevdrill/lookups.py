"""The commands that look something up in the SOPs: ``sevdrill coverage`` and ``sevdrill card``."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from sevdrill.errors import UsageError

__all__ = ["add_lookups"]


def add_lookups(commands: Any) -> None:
    """Add them to the command line."""
    coverage = commands.add_parser("coverage", help="show which sections of the SOPs are drilled, and when that passed")
    coverage.add_argument(
        "maps",
        nargs="*",
        type=Path,
        default=[Path("docs/coverage")],
        metavar="FILE",
        help="mappings of SOPs to drills, or folders of them (default: docs/coverage)",
    )
    coverage.add_argument("--drills", type=Path, default=Path("drills"), metavar="DIR", help="default: drills")
    coverage.add_argument("--missing", action="store_true", help="only what no drill has ever passed for")
    coverage.add_argument("--json", action="store_true", help="as JSON")
    coverage.add_argument("--state", type=Path, default=Path(".sevdrill"), metavar="DIR", help="default: .sevdrill")
    coverage.set_defaults(run=_coverage)
    card = commands.add_parser("card", help="show what the SOP says about a severity or a symptom, on one screen")
    card.add_argument("topic", nargs="+", metavar="TOPIC", help="such as SEV-1, 429, rollback, contacts")
    card.add_argument("--policy", default="sop-001", metavar="NAME|FILE", help="default: sop-001")
    card.set_defaults(run=_card)


def _card(options: argparse.Namespace) -> int:
    from sevdrill.reports.card import card
    from sevdrill.severity import load_policy

    print("\n".join(card(load_policy(options.policy), " ".join(options.topic))))
    return 0


def _coverage(options: argparse.Namespace) -> int:
    from sevdrill.aftermath import HISTORY
    from sevdrill.coverage import coverage_of, drill_names, load_map
    from sevdrill.history import History
    from sevdrill.reports.covering import as_json, coverage_lines, passed_at
    from sevdrill.severity import shipped_policies

    drills = drill_names(options.drills)
    wrong, sops = [], []
    for file in _files(options.maps):
        try:
            policy, found = load_map(file, drills)
        except UsageError as error:
            wrong.append(str(error))
        else:
            sops.append((policy, coverage_of(found, policy, drills)))
    if wrong:
        raise UsageError("\n".join(wrong))
    order = shipped_policies()
    sops.sort(key=lambda sop: order.index(sop[0].policy) if sop[0].policy in order else len(order))
    passed = passed_at(drills, History(options.state / HISTORY).last_passed())
    if options.json:
        print(json.dumps([as_json(policy, lines, passed) for policy, lines in sops], indent=2, ensure_ascii=False))
    else:
        print("\n".join(coverage_lines(sops, drills, passed, missing=options.missing)))
    return 0


def _files(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += sorted(path.glob("*.yml")) if path.is_dir() else [path]
        if not found or not path.exists():
            raise UsageError(f"{path}: there is no mapping of an SOP to drills; give a file, or a folder of them")
    return found
