"""A run of the engine on a toy stack that really tells people: by its timeline, and by whatever URLs are given."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from toy_run import Run
from toy_stack import ToyStack

from sevdrill.clock import SystemClock
from sevdrill.contacts import Contacts
from sevdrill.notify import Notifier, parse_address
from sevdrill.people import Escalations, Messages
from sevdrill.telling import Telling


class TellingRun(Run):
    def __init__(self, folder: Path, stack: ToyStack, *urls: str, contacts: Contacts, **changes: Any) -> None:
        super().__init__(folder, stack, **changes)
        addresses = [parse_address(url, f"drill_notify {n}") for n, url in enumerate(urls, start=1)]
        self.notifier, self.trouble = Notifier(addresses), list[str]()
        telling = Telling(self.policy, SystemClock(), contacts, self.notifier, self.trouble.append)
        announcer = telling.announcer(self.scenario, self.writer.path.parent, self.writer)
        self.engine.ports = self.engine.ports.with_({Messages: announcer, Escalations: announcer})

    def tell(self, settle: float) -> None:
        """Run it, and give receivers so many seconds for the last messages."""
        try:
            self.engine.run()
        finally:
            self.notifier.settle(settle)
            self.notifier.close()
            self.writer.close()


if __name__ == "__main__":
    # A drill that waits for its alert until somebody stops it.
    stack = ToyStack()
    stack.alert_fires = False
    run = TellingRun(Path(sys.argv[1]), stack, *sys.argv[2:], contacts=Contacts(), limit="10m", targets={})
    run.writer._listener = lambda line: print(getattr(line, "name", ""), flush=True)
    try:
        with run.shield.installed():
            run.tell(60)
    except KeyboardInterrupt:
        pass
    run.journal.close()
