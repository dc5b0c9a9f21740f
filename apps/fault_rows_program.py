"""Rows of the matrix about the program itself: settings that are broken or hostile."""

from rtbrain.errors import SettingsError
from rtbrain.offline.fault_matrix import Case, Finding, Rig

_STREAM = "stream: {name: x}\n"
# File's content, and the words that the one line must have beside the file's name.
SETTINGS: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "wrong key": (_STREAM + "thread: 2\n", ("thread", "did you mean threads?")),
    "wrong key inside": ("stream: {naem: x}\n", ("stream.naem", "did you mean name?")),
    "unknown key": (_STREAM + "zebra: 2\n", ("zebra", "known are")),
    "wrong type": (_STREAM + "threads: many\n", ("threads", "integer", "many")),
    "below range": (_STREAM + "threads: 0\n", ("threads", "greater than 0")),
    "not finite": ("stream: {name: x, timeout_s: .inf}\n", ("stream.timeout_s", "finite")),
    "no such choice": (_STREAM + "late: sometimes\n", ("late", "'newest' or 'every'")),
    "missing part": ("threads: 1\n", ("stream", "required")),
    "a list": ("- 1\n- 2\n", ("expected keys and values, got list",)),
    "empty": ("", ("expected keys and values",)),
    "not YAML": ("stream: {name: [x\n", ("not readable as YAML",)),
    "control characters": (b"stream: {name: \x00\x1b}\n", ("not readable as YAML",)),
    "not text": (b"\xff\xfe\x00\x81", ("not readable as YAML",)),
    "code": ("stream: !!python/object/apply:os.getcwd []\n", ("not readable as YAML",)),
    "nested without end": ("stream: " + "[" * 5000 + "]" * 5000, ("not readable as YAML",)),
    "a bomb of aliases": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n"
            for a, b in zip("abcdefgh", "bcdefghi", strict=True)
        )
        + "stream: *i\n",
        ("a",),
    ),
    "a key of 1 MB": (_STREAM + "x" * 1_000_000 + ": 1\n", ("not readable as YAML",)),
}
_LINE_LIMIT = 600


def hostile_settings(rig: Rig) -> Finding:
    """Load 17 files of settings, each broken in its own way, and read what is said."""
    from rtbrain.config import DecodeSettings, load_settings

    wrong = []
    for number, (what, (content, words)) in enumerate(SETTINGS.items()):
        file = rig.folder / f"s{number}.yaml"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            load_settings(str(file), DecodeSettings)
            message = "ACCEPTED"
        except SettingsError as error:
            message = str(error)
        except (RecursionError, MemoryError, ValueError) as error:
            message = f"crashed: {type(error).__name__}"
        told = all(word in message for word in (file.name, *words))
        if not told or "\n" in message or len(message) > _LINE_LIMIT:
            wrong.append(f"{what}: {message[:160]} ({len(message)} characters)")
    n_told = len(SETTINGS) - len(wrong)
    said = f"{n_told} of {len(SETTINGS)} files refused in one line with file, key and expectation"
    return "; ".join([said, *wrong]), not wrong


CASES = (Case(17, hostile_settings),)
