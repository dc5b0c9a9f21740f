"""`rtbrain config`: whether a file of settings will do, and what editors need to check one."""

import json
from typing import Annotated, Literal

import typer

from rtbrain.config import SETTINGS_KINDS, parse_settings, read_settings, settings_kind

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Check settings, or print their schema for editors.",
)


Kind = Literal["decode", "fit", "recipe", "demo", "corpus", "pretrain"]


@app.command("check")
def check(
    file: Annotated[str, typer.Argument(help="Ready-made settings by name, or a YAML file.")],
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="What it is meant to be; else by its keys.")
    ] = None,
) -> None:
    """Validate a file of settings; exit code 2 and one line where it cannot work."""
    values, where = read_settings(file)
    meant = kind or settings_kind(values)
    settings = parse_settings(values, SETTINGS_KINDS[meant], where=where)
    left = [key for key in type(settings).model_fields if key not in settings.model_fields_set]
    typer.echo(f"{where}: valid settings of kind {meant}")
    if left:
        values = settings.model_dump(mode="json")
        typer.echo(f"by default: {', '.join(f'{key} {json.dumps(values[key])}' for key in left)}")


@app.command("schema")
def schema(
    kind: Annotated[Kind, typer.Argument(help="Of which settings.")],
) -> None:
    """Print the JSON schema of a kind of settings.

    In an editor with the YAML language server, a first line
    "# yaml-language-server: $schema=FILE" makes it complete and check as you type.
    """
    made = SETTINGS_KINDS[kind].model_json_schema()
    made["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    typer.echo(json.dumps(made, indent=2))
