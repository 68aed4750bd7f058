"""Runs Locust as sevdrill's load generator: ``python -m sevdrill.locusting [locust's options]``.

Only ever run as a process of its own: importing Locust patches the standard library.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from sevdrill.load import CA_VARIABLE, FOLDER_VARIABLE, REQUESTS
from sevdrill.surges import EVERY, Surge, follow


def main() -> int:
    """Note every request's end, time and success in a file, and end when the runner does."""
    # Locust must be imported before anything that it patches is used.
    import gevent  # type: ignore[import-untyped]  # it ships no types
    from locust import events
    from locust.clients import HttpSession
    from locust.main import main as locust

    if authority := os.environ.get(CA_VARIABLE):
        # A session asks no variable of its environment, and has nothing else to be told by.
        prepare = HttpSession.__init__

        def trusting(self: Any, *given: Any, **named: Any) -> None:
            prepare(self, *given, **named)
            self.verify = authority

        HttpSession.__init__ = trusting  # type: ignore[method-assign]  # of Locust's own sessions, wherever one is made

    folder = Path(os.environ[FOLDER_VARIABLE])
    requests = (folder / REQUESTS).open("a", encoding="utf-8")
    runner = os.getppid()

    def note(name: str, response_time: float, exception: BaseException | None, **_: Any) -> None:
        line = [round(time.monotonic(), 6), round(response_time / 1000, 6), exception is None, name]
        requests.write(json.dumps(line) + "\n")
        requests.flush()

    def follow_runner() -> None:
        while os.getppid() == runner:
            gevent.sleep(0.5)
        # The runner was killed: a load that nobody measures must not go on.
        os._exit(1)

    def bring_more(environment: Any, **_: Any) -> None:
        asked, users = environment.parsed_options, environment.runner
        rate = asked.spawn_rate

        def change(wanted: int) -> None:
            # A crowd comes, and goes, faster than the users of an ordinary day.
            users.start(wanted, max(rate, wanted / 2))

        look = follow(Surge(folder), asked.num_users, lambda: users.user_count, change)

        def go_on() -> None:
            while True:
                gevent.sleep(EVERY)
                look()

        gevent.spawn(go_on)

    events.init.add_listener(bring_more)  # type: ignore[no-untyped-call]  # Locust has types in part only
    events.request.add_listener(note)  # type: ignore[no-untyped-call]  # the same
    gevent.spawn(follow_runner)
    locust()  # type: ignore[no-untyped-call]  # the same
    return 0


if __name__ == "__main__":
    sys.exit(main())
