"""Timelines of real runs of the project's drills, kept in tests/recorded: made by `make recordings`.

A recording is the timeline as the run wrote it, without paths of the machine that it ran on. It is old when its drill
does something else now; `make recordings DRILLS=NAME` makes it anew.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from drill_root import PROJECT

from sevdrill.coverage import DrillName, drill_names
from sevdrill.diagnostics import load

RECORDED = PROJECT / "tests" / "recorded"
DRILLS = drill_names(PROJECT / "drills")


def recording(name: str) -> Path:
    """Where the recording of a drill is kept."""
    return RECORDED / f"{name}.jsonl.gz"


def unpacked(name: str, folder: Path) -> Path:
    """A folder like that of a run, with the recorded timeline in it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "timeline.jsonl").write_bytes(gzip.decompress(recording(name).read_bytes()))
    return folder


def make_recordings(names: list[str], stacks: tuple[str, ...] = ("embedded", "compose")) -> list[str]:
    """Run drills as they are, each on the first stack that can, and keep their timelines; names what is left out."""
    open_names = list(names)
    for stack in stacks:
        if open_names:
            with tempfile.TemporaryDirectory(prefix="sevdrill-recording-") as folder:
                made = _run([DRILLS[name] for name in open_names], stack, Path(folder))
            open_names = [name for name in open_names if name not in made]
    return open_names


def checked(name: str, verify: list[dict[str, Any]]) -> None:
    """Bring a recording up to date with the checks that its drill has gained at its end, if they read nothing.

    What such a check would have read is known, and all that it judges is on the timeline already: for `announced` and
    its like a drill need not run anew.
    """
    lines = [json.loads(line) for line in gzip.decompress(recording(name).read_bytes()).decode().splitlines()]
    # Whether the others are still the same, test_recorded looks at.
    before = len(lines[0]["scenario"]["verify"])
    more = len(verify) - before
    if any(check["check"] != "announced" for check in verify[before:]):
        raise ValueError(f"{name} has gained a check that reads something: `make recordings DRILLS={name}`")
    lines[0]["scenario"]["verify"] += verify[before:]
    for line in lines:
        # The checks that go without saying come after the drill's own.
        if line["type"] == "read" and line["check"] >= before:
            line["check"] += more
    place = next(n for n, line in enumerate(lines) if line["type"] == "phase" and line["name"] == "restore")
    common = {"t": lines[place]["t"], "n": 0, "run": lines[0]["run"], "type": "read"}
    read = {"when": "verify", "ok": True, "data": {}, "why": ""}
    lines[place:place] = [{**common, "check": before + n, **read} for n in range(more)]
    text = "".join(json.dumps({**line, "n": n}, ensure_ascii=False) + "\n" for n, line in enumerate(lines, start=1))
    recording(name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _run(drills: list[DrillName], stack: str, folder: Path) -> set[str]:
    (folder / "drills").mkdir()
    for file in {drill.file for drill in drills}:
        text = file.read_text(encoding="utf-8").replace("../fixtures", str(PROJECT / "fixtures"))
        (folder / "drills" / file.name).write_text(text, encoding="utf-8")
    ini = ["[tool.pytest]", "strict = true", 'addopts = ["-p", "no:cacheprovider", "--import-mode=importlib"]']
    ini += ['drill_blast_radius = "services=2,replicas=100%"']
    files = json.dumps([str(PROJECT / "docker-compose.drill.yml")])
    (folder / "pyproject.toml").write_text("\n".join([*ini, f"drill_stack = {files}", ""]), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "drills", "--drill-stack", stack, "-n", os.environ.get("STACKS", "2")]
    subprocess.run(command, cwd=folder, check=False)
    made = set()
    for path in folder.glob("drill-runs/*/*/timeline.jsonl"):
        summary = json.loads((path.parent / "summary.json").read_text(encoding="utf-8"))
        name = next(drill.name for drill in drills if drill.is_of(summary["file"], summary["drill"]))
        if summary["outcome"] == "passed":
            _keep(name, path, folder)
            made.add(name)
        else:
            print(f"{name}: {summary['outcome']}: {'; '.join(summary['reasons'])}")
    return made


def _keep(name: str, path: Path, folder: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for where, instead in (
        (PROJECT / "fixtures", "../fixtures"),
        (folder.resolve(), "."),
        (folder, "."),
        (PROJECT, "."),
    ):
        text = text.replace(json.dumps(str(where))[1:-1], instead)
    RECORDED.mkdir(exist_ok=True)
    # Without a time of its own, the same lines are the same file.
    recording(name).write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def main(names: list[str]) -> int:
    """Record these drills, or all that have no recording yet; after `--checked`, see `checked`."""
    if names[:1] == ["--checked"]:
        for name in names[1:]:
            checked(name, load(DRILLS[name].file).scenario.dump()["verify"])
        return 0
    unknown = [name for name in names if name not in DRILLS]
    if unknown:
        print(f"there is no drill {', '.join(unknown)}; there are {', '.join(DRILLS)}")
        return 2
    wanted = names or [name for name in DRILLS if not recording(name).exists()]
    stacks: Any = ("embedded", "compose") if shutil.which("docker") else ("embedded",)
    left = make_recordings(wanted, stacks)
    if left:
        print(f"not recorded, because they did not pass: {', '.join(left)}")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
