"""``python -m sevdrill`` is the command line."""

from __future__ import annotations

import sys

from sevdrill.cli import main

sys.exit(main())
