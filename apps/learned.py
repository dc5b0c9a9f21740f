"""Whom an encoder learned from, as the report of its training says."""

from pathlib import Path
from typing import Any


def trained_on(folder: Path) -> dict[str, Any] | None:
    """What the report beside an encoder tells of its corpus; None where there is no report.

    Parameters
    ----------
    folder : Path
        Of the encoder.

    Returns
    -------
    dict
        ``learned`` holds the labels of the subjects.

    Raises
    ------
    SettingsError
        The report does not tell.
    """
    import json

    from rtbrain.errors import SettingsError

    path = folder / "report.json"
    if not path.is_file():
        return None
    try:
        corpus: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["corpus"]
        told = isinstance(corpus["learned"], list)
    except (ValueError, KeyError, TypeError):
        told = False
    if not told:
        raise SettingsError(
            f"{path}: does not tell on which subjects the encoder was trained: train it again"
        )
    return corpus


def refuse_learned(folder: Path, learned: "list[str] | None", held_out: "tuple[str, ...]") -> None:
    """Refuse to hold out subjects whom the encoder of an embedding corpus knows.

    Parameters
    ----------
    folder : Path
        Of the corpus.
    learned : list of str or None
        Subjects that its encoder learned from; None where that is not known.
    held_out : tuple of str
        Subjects to validate on.

    Raises
    ------
    SettingsError
        One of them is among those.
    """
    from rtbrain.errors import SettingsError

    known = [subject for subject in held_out if subject in (learned or ())]
    if known:
        raise SettingsError(
            f"held_out {', '.join(known)}: the encoder that made {folder} learned from them: hold "
            "out subjects that it did not learn from"
        )
