"""How a fresh process finds the class of a kind again: by its module, or by the file that defines it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from functools import reduce
from pathlib import Path
from typing import Any

from sevdrill.errors import RunError

__all__ = ["class_of", "place_of"]


def place_of(kind: type) -> dict[str, str]:
    """Where a class is defined, as JSON that `class_of` reads."""
    found = {"class": f"{kind.__module__}:{kind.__qualname__}"}
    if kind.__module__.partition(".")[0] != "sevdrill":
        # A conftest.py has no module name that another process could import.
        found["file"] = str(Path(inspect.getfile(kind)).absolute())
    return found


def class_of(entry: Mapping[str, Any]) -> type:
    """The class again.

    Raises:
        RunError: the file that defines it is gone, or does not define it any more; the text names it.
    """
    module, _, name = str(entry["class"]).partition(":")
    file = entry.get("file")
    where = file or f"the module {module}"
    try:
        loaded = _load(Path(file)) if file else importlib.import_module(module)
        found = reduce(getattr, name.split("."), loaded)
    except FileNotFoundError:
        raise RunError(f"the kind {name} is defined in {file}, which is gone; put it back") from None
    except Exception as error:
        raise RunError(f"the kind {name} cannot be loaded from {where}: {type(error).__name__}: {error}") from None
    if not isinstance(found, type):
        raise RunError(f"{where} does not define the kind {name} any more; put it back")
    return found


def _load(file: Path) -> Any:
    stamp = file.stat()
    for known in list(sys.modules.values()):
        # In the process that runs the drill the file is loaded already.
        if getattr(known, "__file__", None) == str(file) and not known.__name__.startswith("sevdrill_kinds_"):
            return known
    name = f"sevdrill_kinds_{hashlib.sha256(f'{file} {stamp.st_mtime_ns}'.encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RunError(f"{file} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Its neighbours, as pytest lets a conftest.py import them.
    sys.path.insert(0, str(file.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(file.parent))
    return module
