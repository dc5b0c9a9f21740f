"""The program `rtbrain`: it registers the commands and turns errors into one line."""

import gc
import os
import sys
from importlib import resources
from types import SimpleNamespace, TracebackType
from typing import Annotated

import typer
from typer.exceptions import Abort, Exit, TyperException

import rtbrain
from rtbrain.errors import RtbrainError

from . import (
    bench,
    compile_bundle,
    config,
    corpus,
    decode,
    demo,
    distill,
    embed,
    evaluate,
    export,
    faults,
    fit,
    import_checkpoint,
    pretrain,
    probe,
    record,
    replay,
    show,
    simulate,
    view,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Real-time streaming decoder for intracranial recordings. Research use only.",
)
app.command("demo")(demo.command)
app.command("simulate")(simulate.command)
app.command("export")(export.command)
app.command("replay")(replay.command)
app.command("record")(record.command)
app.command("decode")(decode.command)
app.command("fit")(fit.command)
app.command("evaluate")(evaluate.command)
app.command("embed")(embed.command)
app.command("import-checkpoint")(import_checkpoint.command)
app.command("pretrain")(pretrain.command)
app.command("distill")(distill.command)
app.command("probe")(probe.command)
app.command("compile")(compile_bundle.command)
app.command("show")(show.command)
app.command("view")(view.command)
app.command("bench")(bench.command)
app.command("faults")(faults.command)
app.add_typer(config.app, name="config")
app.add_typer(corpus.app, name="corpus")

USER_MISTAKE = 2
INTERRUPTED = 130


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
    # liblsl reads its settings once, when it is loaded: this machine only, unless the user says
    # otherwise.
    scope = resources.files("rtbrain.configs") / "lsl-machine.cfg"
    os.environ.setdefault("LSLAPICFG", str(scope))
    flags = SimpleNamespace(debug=False)
    try:
        sys.exit(app(standalone_mode=False, obj=flags))
    except RtbrainError as error:
        if flags.debug:
            raise
        _say(str(error))
        sys.exit(USER_MISTAKE)
    except TyperException as error:
        _say(f"{error.format_message()} (rtbrain --help lists commands and flags)")
        sys.exit(USER_MISTAKE)
    except Exit as error:
        sys.exit(error.exit_code)
    except (Abort, KeyboardInterrupt):
        sys.exit(INTERRUPTED)
    finally:
        # The interpreter looks for garbage once more on its way out: among the objects of torch
        # that takes half a second, of two that an end may take. Frozen ones it leaves alone.
        gc.freeze()


def _say(message: str) -> None:
    typer.echo(f"rtbrain: {' '.join(message.split())}", err=True)


def _one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _say(f"unexpected {kind.__name__}: {error}; rtbrain --debug COMMAND shows where")


if __name__ == "__main__":
    main()
