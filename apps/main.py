"""The program `rtbrain`: it loads the command that runs and turns errors into one line."""

import gc
import importlib
import sys
from types import SimpleNamespace, TracebackType
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import Abort, Exit, TyperException

import rtbrain
from rtbrain import processes
from rtbrain.errors import RtbrainError, plain_problem, plain_text

from . import COMMANDS

PROGRAM, USER_MISTAKE = "rtbrain", 2


class _LazyGroup(TyperGroup):
    """Commands by name; only the one that runs is imported."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.commands or cmd_name not in COMMANDS:
            return self.commands.get(cmd_name)
        _, panel, text = COMMANDS[cmd_name]
        return TyperCommand(cmd_name, help=text, rich_help_panel=panel)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = _load(args[0])
            processes.interrupt_on_signals()
        return super().resolve_command(ctx, args)


def _load(name: str) -> Any:
    module = importlib.import_module(f"rtbrain.apps.{COMMANDS[name][0]}")
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        group.command(name)(module.command)
    command = typer.main.get_command(group)
    command.name = name
    return command


app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Real-time streaming decoder for intracranial recordings. Research use only.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rtbrain {rtbrain.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Version.")
    ] = False,
) -> None:
    context.obj.debug = debug
    if not debug:
        sys.excepthook = _one_line  # here, since typer puts its own hook in place at each call


def main() -> None:
    """Run the program: exit code 2 and one line for a user's mistake."""
    with processes.exit_code_file() as leave:
        code = _run()
        leave(code)
    sys.exit(code)


def _run() -> int:
    processes.end_with_parent()
    processes.default_lsl_scope()
    flags = SimpleNamespace(debug=False)
    try:
        if "--spare" in sys.argv:  # it must not hold up the decoder that it stands by for
            processes.at_low_priority(lambda: _load("decode"))
        return app(standalone_mode=False, prog_name=PROGRAM, obj=flags) or 0
    except RtbrainError as error:
        if flags.debug:
            raise
        _say(str(error))
        return USER_MISTAKE
    except TyperException as error:
        message = error.format_message()
        # pydantic's, which --help need not load
        if problems := getattr(error.__cause__, "errors", None):
            message = message.replace(error.message, plain_problem(problems()[0]))
        context = getattr(error, "ctx", None)
        command = context.command_path if context else PROGRAM
        _say(f"{message.rstrip('.')} ({command} --help lists what there is)")
        return USER_MISTAKE
    except Exit as error:
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        return processes.INTERRUPTED
    finally:
        # The interpreter looks for garbage once more on its way out: among the objects of torch
        # that takes half a second, of two that an end may take. Frozen ones it leaves alone.
        gc.freeze()


def _say(message: str) -> None:
    typer.echo(f"rtbrain: {plain_text(' '.join(message.split()), len(message))}", err=True)


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _say(f"unexpected {kind.__name__}: {error}; rtbrain --debug COMMAND shows where")


if __name__ == "__main__":  # `python -m rtbrain.apps.main` is `python -m rtbrain.apps`
    importlib.import_module("rtbrain.apps.__main__").main()
