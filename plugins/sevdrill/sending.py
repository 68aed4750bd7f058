"""Sends messages to one Apprise URL: a process of its own, so that a receiver that hangs holds nobody up.

Reads JSON lines: first ``{"url": ...}``, then one message a line. Answers each line by one line: whether it worked, and
if not, why. Ends with its input. `--check` reads a list of URLs instead and answers which of them Apprise knows.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

__all__ = ["LONGEST", "main"]

LONGEST = 10
"""Seconds that one message may take."""


class _TooLong(BaseException):
    """Not an `Exception`: nobody below may take it for a receiver's error."""


def _stop(*_: object) -> None:
    raise _TooLong


def main() -> None:
    """Serve until the input ends."""
    import apprise

    if sys.argv[1:] == ["--check"]:
        urls: list[str] = json.loads(sys.stdin.readline())
        _answer([apprise.Apprise.instantiate(url, suppress_exceptions=True) is not None for url in urls])
        return
    receiver = apprise.Apprise()
    receiver.add(json.loads(sys.stdin.readline())["url"])
    signal.signal(signal.SIGALRM, _stop)
    for line in sys.stdin:
        _answer(_send(apprise, receiver, json.loads(line)))


def _send(apprise: Any, receiver: Any, message: dict[str, str]) -> dict[str, Any]:
    try:
        signal.alarm(LONGEST)
        with apprise.LogCapture(level=30) as log:
            ok = bool(receiver.notify(body=message["body"], title=message["title"], body_format="text"))
            # Each line begins with a time and a level.
            said = [line.split(" - ", 2)[-1] for line in log.getvalue().strip().splitlines()]
        return {"ok": ok, "why": "" if ok else " ".join(said or ["it was refused"])[:300]}
    except _TooLong:
        return {"ok": False, "why": f"no answer within {LONGEST} s"}
    except Exception as error:  # whatever a receiver's library raises is a message that was not sent
        return {"ok": False, "why": f"{type(error).__name__}: {error}"[:300]}
    finally:
        signal.alarm(0)


def _answer(data: Any) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
