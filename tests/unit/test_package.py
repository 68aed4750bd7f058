"""What is published: it builds, says what it must, and works where nothing but its dependencies is installed."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "plugins" / "sevdrill"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# pydantic pins the very version of its core, and says that errors are to be imported from there; what runs inside of
# locust runs on the gevent that locust brought.
PART_OF = {"pydantic-core": "pydantic", "gevent": "locust"}

DRILL = """
drill: Database down
severity: SEV-1
steady_state: {probes: [{probe: http, url: "http://app:3000/health"}]}
inject: [{fault: container.kill, service: db}]
detect: [{alert: DatabaseDown}]
respond: [{action: restart, service: db}]
"""


def run(*command: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sdist, and the wheel that is made of it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (sdist,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return sdist, wheel


@pytest.fixture(scope="module")
def installed(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment that has the wheel and what it declares to need, and no more."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    site = folder / "lib" / version / "site-packages"
    for name in sorted(needed(PROJECT["dependencies"])):
        # Linked, not installed anew: that would take a minute.
        files = distribution(name).files or ()
        for part in {file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / part).exists():
                (site / part).symlink_to(Path(str(distribution(name).locate_file(part))))
    into = ("--python", folder / "bin" / "python", "install", "--quiet", "--no-deps", "--no-index")
    run(sys.executable, "-m", "pip", *into, built[1], cwd=folder)
    return folder / "bin"


def needed(requirements: list[str]) -> set[str]:
    """The distributions that these requirements come to, with all that they need in turn."""
    found: set[str] = set()
    todo = [Requirement(text) for text in requirements]
    done: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, frozenset(requirement.extras)) in done:
            continue
        done.add((name, frozenset(requirement.extras)))
        found.add(name)
        for text in distribution(name).requires or ():
            more = Requirement(text)
            wanted = more.marker is None or any(more.marker.evaluate({"extra": e}) for e in (*requirement.extras, ""))
            if wanted:
                todo.append(more)
    return found


def imported() -> Iterator[tuple[str, str]]:
    """Each package that sevdrill imports anywhere, however late, with the file that does."""
    for file in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for name in names:
                yield name.partition(".")[0], file.name


def test_whatever_is_imported_is_declared() -> None:
    # What only some commands need is in an extra of its own; what the staging system needs is none of sevdrill's.
    extras = PROJECT["optional-dependencies"]
    texts = [*PROJECT["dependencies"], *extras["notify"], *extras["schedule"], *extras["console"]]
    declared = {canonicalize_name(Requirement(text).name) for text in texts}
    providers = packages_distributions()
    used = set()
    for package, file in set(imported()):
        if package in sys.stdlib_module_names or package == "sevdrill":
            continue
        names = {canonicalize_name(name) for name in providers.get(package, [package])}
        names = {PART_OF.get(name, name) for name in names}
        assert names & declared, f"{file} imports {package}, which no declared dependency provides"
        used |= names & declared
    # And nothing is declared for nothing.
    assert used == declared


def test_the_descriptions_are_as_an_index_wants_them(built: tuple[Path, Path]) -> None:
    shown = run(sys.executable, "-m", "twine", "check", "--strict", *built, cwd=built[0].parent)
    assert shown.count("PASSED") == 2


def test_the_sdist_has_what_is_promised_and_no_more(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    top = {name.partition("/")[0] for name in names}
    # Hatchling adds PKG-INFO and .gitignore, which it needs to build from the sdist alone.
    assert top - {"PKG-INFO", ".gitignore"} == {"plugins", "README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"}
    assert {f"plugins/sevdrill/{name}" for name in sources()} <= names


def test_the_wheel_has_the_package_its_data_and_its_entry_points(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        names = set(archive.namelist())
        info = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
        points = archive.read(f"{info}/entry_points.txt").decode()
    assert {name for name in names if not name.startswith(info)} == {f"sevdrill/{name}" for name in sources()}
    assert "[pytest11]\nsevdrill = sevdrill.plugin" in points
    assert "[console_scripts]\nsevdrill = sevdrill.cli:main" in points
    assert f"{info}/licenses/LICENSE" in names


def sources() -> set[str]:
    listed = subprocess.run(["git", "ls-files", "."], cwd=PACKAGE, capture_output=True, text=True)
    if listed.returncode == 0 and listed.stdout:
        return {name for name in listed.stdout.splitlines() if (PACKAGE / name).exists()}
    found = (path.relative_to(PACKAGE) for path in PACKAGE.rglob("*") if path.is_file())
    return {path.as_posix() for path in found if "__pycache__" not in path.parts}


def test_the_wheel_works_where_only_its_dependencies_are(installed: Path, tmp_path: Path) -> None:
    def outside(program: str, *arguments: str) -> str:
        # Nothing of this checkout, and nothing of this test's own surroundings.
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        return run(installed / program, *arguments, cwd=tmp_path, env=environment)

    (tmp_path / "drills").mkdir()
    (tmp_path / "drills" / "down.yml").write_text(DRILL, encoding="utf-8")
    (tmp_path / "docker-compose.drill.yml").write_text("services: {app: {image: a}, db: {image: b}}\n")
    where = outside("python", "-c", "import sevdrill; print(sevdrill.__file__)")
    assert Path(where).is_relative_to(installed.parent)
    assert "validate" in outside("sevdrill", "--help")
    assert outside("sevdrill", "validate", "drills") == "1 drill(s), no mistakes\n"
    assert "container.kill: " in outside("sevdrill", "kinds")
    assert json.loads(outside("sevdrill", "schema"))["title"] == "sevdrill drill"
    collected = outside("python", "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "drills")
    assert "drills/down.yml::Database down" in collected
