"""What tests of pytest in pytest share."""

from __future__ import annotations

import importlib
import pkgutil

import hypothesis  # noqa: F401 - its plugin imports it at the end of every run

import sevdrill

# pytester forgets what an inner run imported. What is here already stays, so the runs need not import it one by one,
# and all of them see the same modules.
NOT_HERE = ("sevdrill.__main__", "sevdrill.locusting")
for module in pkgutil.walk_packages(sevdrill.__path__, "sevdrill."):
    if module.name not in NOT_HERE:
        importlib.import_module(module.name)
