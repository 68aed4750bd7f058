"""``sevdrill console``: a drill in a second terminal, full-screen, readable at 80x24."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static

from sevdrill.errors import SevdrillError
from sevdrill.following import STATUSES, Following
from sevdrill.shown import clock, due, sparkline

__all__ = ["Console"]

LOOK_EVERY = 0.25
COLOURS = {"met": "green", "missed": "bold red", "running": "yellow", "waiting": "dim"}
OUTCOMES = {"passed": "bold green", "failed": "bold red"}
KEYS = "[a]ck [r]ole [n]ote [m]itigated [p]ost [h]int [s]top [q]uit"


class AskText(ModalScreen[str | None]):
    """Asks for a line of text; Escape gives none."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, question: str, *, empty: bool = False) -> None:
        super().__init__()
        self._question, self._empty = question, empty

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._question))
            yield Input(max_length=400)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give what was typed."""
        text = event.value.strip()
        self.dismiss(text if text or self._empty else None)


class Choose(ModalScreen[int | None]):
    """Asks for one of some lines; Escape gives none."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(self, question: str, options: list[str]) -> None:
        super().__init__()
        self._question, self._options = question, options

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog"):
            yield Static(Text(self._question))
            yield OptionList(*(Text(option) for option in self._options))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Give the place of the chosen one."""
        self.dismiss(event.option_index)


class Console(App[None]):
    """The drill of a run, and keys to take part in it."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "ack", "acknowledge"),
        Binding("r", "role", "take a role"),
        Binding("n", "note", "note"),
        Binding("m", "mitigated", "say that it is mitigated"),
        Binding("p", "post", "post a message"),
        Binding("h", "hint", "ask for the next hint"),
        Binding("s", "stop", "stop the drill"),
        Binding("q", "quit", "leave"),
        Binding("ctrl+c", "quit", "leave", priority=True),
    ]
    CSS = """
    Screen { layout: vertical; }
    Static { text-wrap: nowrap; text-overflow: ellipsis; }
    #head { height: 1; background: $boost; }
    #main { height: 1fr; }
    #left { width: 1fr; }
    #right { width: 1fr; border-left: solid $surface-lighten-2; padding-left: 1; }
    #check { height: 1fr; }
    #log { height: 7; border-top: solid $surface-lighten-2; }
    #said { height: 1; }
    #keys { height: 1; background: $boost; }
    .dialog { width: 70; height: auto; max-height: 14; border: solid $accent; padding: 0 1; background: $surface; }
    AskText, Choose { align: center middle; }
    """

    def __init__(self, following: Following, by: str) -> None:
        super().__init__()
        self._following, self._by = following, by
        self._view: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        yield Static(id="head")
        with Horizontal(id="main"):
            yield Static(id="left")
            with Vertical(id="right"):
                yield Static(id="roles")
                with VerticalScroll(id="check", can_focus=False):
                    yield Static(id="list")
        yield Static(id="log")
        yield Static(id="said")
        yield Static(Text(f"{KEYS}   you are {self._by}", no_wrap=True), id="keys")

    def on_mount(self) -> None:
        """Begin to look."""
        self.set_interval(LOOK_EVERY, self._look)
        self._look()

    # -- showing ------------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        try:
            view = self._following.look()
        except SevdrillError as error:
            self._say(str(error), bad=True)
            return
        if view == self._view:
            return
        self._view = view
        self._show("#head", _head(view))
        if view.get("drill") and "targets" in view:
            self._show("#left", _left(view))
            self._show("#roles", _roles(view))
            self._show("#list", _checklist(view))
            self._show("#log", _log(view, 6))

    def _show(self, where: str, text: Text) -> None:
        # Whatever dialog is open: the drill goes on below it.
        self.screen_stack[0].query_one(where, Static).update(text)

    def _say(self, text: str, *, bad: bool = False) -> None:
        self._show("#said", Text(text.replace("\n", " "), style="bold red" if bad else "green", no_wrap=True))

    # -- doing --------------------------------------------------------------------------------------------------------

    def _do(self, does: str, what: str = "", text: str = "") -> None:
        def work() -> str:
            return f"on the timeline: {self._following.say(self._by, does, what, text)}"

        self._beside(work)

    def _beside(self, work: Callable[[], str]) -> None:
        """Work on a thread of its own: the clock must not stand still meanwhile."""

        def run() -> None:
            try:
                said, bad = work(), False
            except SevdrillError as error:
                said, bad = str(error), True
            self.call_from_thread(self._say, said, bad=bad)

        self._say("...")
        self.run_worker(run, thread=True, exit_on_error=False)

    def action_ack(self) -> None:
        """Acknowledge."""
        self._do("ack")

    def action_hint(self) -> None:
        """Ask for the next hint."""
        self._do("hint")

    def action_note(self) -> None:
        """Put a note on the timeline."""
        self.push_screen(AskText("Note:"), lambda text: self._do("note", text=text) if text else None)

    def action_role(self) -> None:
        """Take a role."""
        roles = list(self._view.get("roles", {}))

        def take(index: int | None) -> None:
            if index is not None:
                self._do("role", roles[index])

        if roles:
            self.push_screen(Choose(f"{self._by} takes the role of", roles), take)

    def action_mitigated(self) -> None:
        """Say that it is mitigated, once more asked."""

        def sure(index: int | None) -> None:
            if index == 0:
                self._do("mitigated")

        self.push_screen(Choose("Users no longer suffer?", ["Yes, it is mitigated", "Not yet"]), sure)

    def action_post(self) -> None:
        """Post a message from a template of the SOP."""

        def chosen(index: int | None) -> None:
            if index is None:
                return
            status = STATUSES[index]
            question = f"{status}: a sentence of your own, or nothing:"
            self.push_screen(AskText(question, empty=True), lambda text: post(status, text))

        def post(status: str, text: str | None) -> None:
            if text is not None:
                self._do("announce", status, text)

        self.push_screen(Choose("Tell people, in the words of the SOP", list(STATUSES)), chosen)

    def action_stop(self) -> None:
        """Stop the drill, once more asked."""

        def sure(index: int | None) -> None:
            if index == 1:
                self._beside(lambda: list(self._following.stop(self._by))[-1])

        self.push_screen(Choose("Stop the drill, and undo everything?", ["No, go on", "Yes, stop it"]), sure)


def _head(view: dict[str, Any]) -> Text:
    if not view.get("severity"):
        return Text(f"run {view['run']}: {view['phase']}", no_wrap=True)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f" {clock(view['elapsed'])} ", "reverse")
    text.append(f" {view['severity']} ", "bold red" if view["severity"] in ("SEV-1", "SEV-2") else "bold")
    phase = "the run is over" if view["over"] else "over" if view["ended"] else view["phase"]
    if view.get("outcome"):
        text.append(view["outcome"].upper(), OUTCOMES.get(view["outcome"], "bold yellow"))
        text.append(" ")
    text.append(f"{view['drill']} · {phase} · {view['policy']}, {view['mode']}")
    return text


def _left(view: dict[str, Any]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for target in view["targets"]:
        shown = target["measured"] if target["measured"] is not None else view["elapsed"]
        star = "*" if target["derived"] else " "
        text.append(f"{target['target']:<9} {clock(shown):>7} of {clock(target['limit']):>7}{star} ")
        text.append(f"{target['state']}\n", COLOURS[target["state"]])
    text.append("alerts    ")
    text.append(f"{', '.join(view['alerts'])}\n" if view["alerts"] else "none\n", "bold red" if view["alerts"] else "")
    for light in view["lights"]:
        text.append(
            {True: "● ", False: "✖ ", None: "? "}[light["ok"]], {True: "green", False: "bold red"}.get(light["ok"], "")
        )
        text.append(f"{light['probe']}{': ' + light['why'] if light['why'] and not light['ok'] else ''}\n")
    if view["error_rate"]:
        last = next((rate for rate in reversed(view["error_rate"]) if rate is not None), 0.0)
        text.append(f"errors    {sparkline(view['error_rate'], 22)} {last:.0%}\n")
    return text


def _roles(view: dict[str, Any]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for role, name in list(view["roles"].items())[:6]:
        text.append(f"{role:<20} ", "dim" if not name else "")
        text.append(f"{name or '-'}\n", "bold" if name else "dim")
    late = view["message_due_in"] is not None and view["message_due_in"] < 0
    text.append(f"message     {due(view['message_due_in'])}\n", "bold red" if late else "")
    coming = view["escalation"]["next"]
    called = ", ".join(view["escalation"]["due"])
    text.append(f"escalation  {clock(coming['in']) + ' ' + coming['to'] if coming else called or 'nobody'}\n")
    text.append(f"hints       {view['hints']['given']} of {view['hints']['of']}")
    return text


def _checklist(view: dict[str, Any]) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    for checklist in view["checklist"]:
        text.append(f"{checklist['name']}\n", "bold")
        for item in checklist["items"]:
            text.append(f"□ {item}\n")
    return text


def _log(view: dict[str, Any], most: int) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    told = [f"not passed: {reason}" for reason in view.get("reasons", ())][:3]
    for event in view["events"][-(most - len(told)) :]:
        text.append(f"{clock(event['at']):>7} ", "dim")
        text.append(f"{event['text']}\n", {"person": "bold", "alert": "red", "page": "red"}.get(event["kind"], ""))
    for line in told:
        text.append(f"{line}\n", "bold red")
    return text
