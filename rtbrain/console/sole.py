"""One console a folder: a further one has the first show its window."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rtbrain.errors import OutputError, SettingsError, StreamError
from rtbrain.files import claimed
from rtbrain.live.control import send_command, serve_commands

_SHOW = "show"


@contextmanager
def sole_console(folder: Path, show: Callable[[], bool]) -> Iterator[bool]:
    """Be the only console of a folder while the block runs, or have the other one show itself.

    It yields whether this is the only one. `show` is called, in another thread, whenever a further
    one asks; it returns whether the window is shown.

    Raises
    ------
    SettingsError
        There is one that does not answer, or one of another user.
    """
    name = f"console {folder.expanduser().resolve()}"

    def answer(line: str) -> dict[str, object]:
        return {"shown": True} if line == _SHOW and show() else {"error": "its window hangs"}

    with ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder.expanduser(), "session"))
            stack.enter_context(serve_commands(name, answer, "console"))
        except SettingsError:
            try:
                send_command(name, _SHOW, "console")
            except (StreamError, OutputError) as error:
                raise SettingsError(
                    f"{folder}: a console has it open that does not answer, or is another user's: "
                    "end that one; what it started goes on"
                ) from error
            yield False
            return
        yield True
