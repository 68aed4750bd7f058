"""Reads every hostile file in a process of its own, and says what became of it: ``python hostile_files.py FOLDER``.

One line of JSON a file, and one at the end with the most memory that was used.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[1] / "corpus"
DRILL = "drill: x\nseverity: SEV-1\n"
RUN = (
    '{"type":"run","n":1,"drill":"x","severity":"SEV-1","policy":"sop-001","stack":"x","wall":"2026-01-01",'
    '"scenario":{}}\n'
)
MEGABYTES = 10


def large() -> Iterator[tuple[str, str]]:
    """What is too large to be kept as a file."""
    many = MEGABYTES << 20
    yield "drills/deep.yml", "drill: " + "[" * 1_000_000
    yield "drills/deeper.yml", "drill: x\na: " + "{a: " * 200_000
    yield "drills/large.yml", DRILL + "about: " + "x" * many
    yield "drills/large-of-lines.yml", DRILL + "# x\n" * (many // 4)
    yield "drills/long-line.yml", DRILL + "about: " + "x" * 400_000 + "\nunknwn: " + "y" * 400_000 + "\n"
    yield "drills/many-keys.yml", DRILL + "".join(f"k{n}: 1\n" for n in range(15_000))
    yield (
        "drills/many-mistakes.yml",
        DRILL + "inject:\n" + "".join(f"  - {{fault: contaner.kil{n}, servce: x}}\n" for n in range(3_000)),
    )
    yield "drills/many-places.yml", DRILL + "inject: [" + "{fault: container.kill, service: db}, " * 4_000 + "]\n"
    yield "drills/folded.yml", "drill: >\n" + "  x\n" * 200_000
    yield "drills/long-duration.yml", DRILL + "limit: " + "1s" * 200_000 + "\n"
    yield "policies/large.yml", "policy: x\nabout: " + "x" * many
    yield "policies/deep.yml", "policy: " + "{a: " * 200_000
    yield "policies/many.yml", "policy: x\nguidance:\n" + "  - {heading: x, source: y}\n" * 4_000
    yield "compose/large.yml", "services: {a: {image: " + "x" * many + "}}\n"
    yield "compose/deep.yml", "services: " + "[" * 1_000_000
    yield "compose/deep-ended.yml", "x-a: " + "[" * 100_000 + "]" * 100_000 + "\nservices: {}\n"
    yield "compose/many.yml", "services:\n" + "".join(f"  s{n}: {{image: x}}\n" for n in range(30_000))
    yield "timelines/large-line.jsonl", RUN + '{"type":"note","text":"' + "x" * many + '"}\n'
    yield "timelines/large-first-line.jsonl", '{"type":"run","drill":"' + "x" * many
    yield "timelines/many-lines.jsonl", RUN + '{"type":"end"}\n' * (many // 15)
    yield "timelines/many-samples.jsonl", RUN + "".join(_sample(n) for n in range(2, 80_000))
    yield "timelines/deep.jsonl", '{"type":"note","text":' + "[" * 500_000 + "]" * 500_000 + "}\n"
    yield "timelines/blank.jsonl", "\n" * 1_000_000


def _sample(n: int) -> str:
    return f'{{"type":"sample","n":{n},"series":"s{n % 5}","start":{n},"end":{n}.5,"ok":true,"why":"answered 200"}}\n'


def lay_out(folder: Path) -> None:
    """The corpus, what is too large for it, and what is no file."""
    shutil.copytree(CORPUS, folder)
    for name, text in large():
        (folder / name).write_text(text, encoding="utf-8")
    for kind, end in (("drills", "yml"), ("policies", "yml"), ("compose", "yml"), ("timelines", "jsonl")):
        here = folder / kind
        (here / f"folder.{end}").mkdir()
        (here / f"loop-a.{end}").symlink_to(f"loop-b.{end}")
        (here / f"loop-b.{end}").symlink_to(f"loop-a.{end}")
        (here / f"endless.{end}").symlink_to("/dev/zero")
        os.mkfifo(here / f"pipe.{end}")
        (here / f"dangling.{end}").symlink_to("nowhere")
        # A name that is no UTF-8.
        (here / os.fsdecode(b"name-\xff." + end.encode())).write_text("{}\n", encoding="utf-8")
    (folder / "drills" / "again").symlink_to(".")


def _commands(path: Path, folder: Path) -> list[list[str]]:
    good = str(folder / "good.yml")
    if path == folder / "drills":
        return [["validate", str(path)]]
    match path.parent.name:
        case "drills":
            return [["validate", str(path)]]
        case "policies":
            return [["validate", "--policy", str(path), good]]
        case "compose":
            return [["validate", "--stack", str(path), good]]
    run = folder / "runs" / path.stem
    run.mkdir(parents=True)
    (run / "timeline.jsonl").symlink_to(path)
    large = path.is_file() and path.stat().st_size > 1 << 20
    return [["judge", str(run)]] if large else [["judge", str(run)], ["report", str(run)]]


def _rewrite(path: Path) -> str:
    """What `rewrite` makes of a Compose file that no engine has looked at: it is mended, refused, or not read."""
    from sevdrill.errors import SevdrillError
    from sevdrill.stacks.files import load_printed
    from sevdrill.stacks.rewrite import rewrite
    from sevdrill.stacks.settings import read_settings

    if not path.is_file() or path.stat().st_size > 1 << 20:
        return ""
    try:
        model = load_printed(path.read_bytes().decode("utf-8", "replace"))
        settings = read_settings(model.get("x-sevdrill"), model.get("services") or {}, path.name)
        rewrite(model, settings, "x", lambda _, port: port, {})
    except SevdrillError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    from sevdrill import cli
    from sevdrill.kinds import Kinds

    lay_out(folder)
    good = Path(__file__).resolve().parents[2] / "drills" / "quiet-day.yml"
    text = good.read_text(encoding="utf-8").replace("../fixtures", str(good.parents[1] / "fixtures"))
    (folder / "good.yml").write_text(text, encoding="utf-8")
    # Looking for conftest files takes pytest its time, and is none of this.
    cli._user_kinds = lambda options: Kinds.default()  # type: ignore[assignment]
    kinds = ("compose", "drills", "policies", "timelines")
    paths = sorted(each for kind in kinds for each in (folder / kind).iterdir() if each.name != "again")
    for path in [*paths, folder / "drills"]:
        for command in _commands(path, folder):
            said, began = io.StringIO(), time.process_time()
            trouble = ""
            code: object = None
            try:
                with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                    code = cli.main(command)
                    if path.parent.name == "compose":
                        print(_rewrite(path))
            except BaseException as error:  # what a user would see as a traceback
                trouble = f"{type(error).__name__}: {error}"[:300]
            name = str(path.relative_to(folder)).encode("ascii", "backslashreplace").decode()
            took = time.process_time() - began
            said_text = said.getvalue()
            found = {"file": name, "command": command[0], "code": code, "trouble": trouble, "took": took}
            print(json.dumps({**found, "said": said_text[:2000], "length": len(said_text)}))
    # Not `ru_maxrss`: that begins with what the process that started this one used.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(json.dumps({"megabytes": int(peak.split()[1]) / 1024}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
