"""`rtbrain service`: commands that systemd starts with the machine."""

from typing import Annotated

import typer

from rtbrain.live.supervision.service import install_service, remove_service, service_status

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Let systemd run a command, as a user unit.",
)
Name = Annotated[str, typer.Argument(help="Name of the service: rtbrain-NAME.service.")]


@app.command("install")
def install(
    name: Name,
    command: Annotated[
        list[str], typer.Argument(help="Behind --: decode, record or bridge, with its flags.")
    ],
) -> None:
    """Write the unit, and print it with the command that enables it."""
    typer.echo(install_service(name, command))


@app.command("remove")
def remove(name: Name) -> None:
    """Stop the service and remove its unit."""
    typer.echo(remove_service(name))


@app.command("status")
def status(name: Name) -> None:
    """Say whether it runs."""
    typer.echo(service_status(name))
