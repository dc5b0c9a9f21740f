"""Texts of the windows: each key that the program asks for exists, each that exists is used."""

import ast
import string
from pathlib import Path

import pytest

import rtbrain
from rtbrain.view.texts import say, texts

ROOT = Path(next(iter(rtbrain.__path__)))


def calls() -> list[tuple[str, ast.Call]]:
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "rtbrain.view.texts import" in source:
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "say":
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", node))
    return found


def prefix_of(node: ast.expr) -> str:
    """What is known of a key: a constant whole, an f-string up to its first value."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr) and node.values and isinstance(node.values[0], ast.Constant):
        return str(node.values[0].value)
    return ""


def test_each_text_that_is_asked_for_exists_with_its_values() -> None:
    wrong = []
    for where, call in calls():
        key = call.args[0]
        if isinstance(key, ast.Constant):
            if str(key.value) not in texts():
                wrong.append(f"{where}: {key.value!r}")
                continue
            names = {
                name for _, name, _, _ in string.Formatter().parse(texts()[str(key.value)]) if name
            }
            given = {one.arg for one in call.keywords}
            if None not in given and not names <= given:
                wrong.append(f"{where}: {key.value!r} needs {sorted(names - given)}")
        elif not any(one.startswith(prefix_of(key)) for one in texts()):
            wrong.append(f"{where}: {prefix_of(key)}...")
    assert not wrong


def test_each_text_is_used() -> None:
    named, begun = set(), set()
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant):
                named.add(node.value)
            elif isinstance(node, ast.JoinedStr) and "." in prefix_of(node):
                begun.add(prefix_of(node))
    assert not [key for key in texts() if key not in named and not key.startswith(tuple(begun))]


@pytest.mark.parametrize("word", ["hop", "embargo", "bundle", "coverage", "NaN", "standing"])
def test_no_text_holds_a_word_of_the_inside(word: str) -> None:
    def words(text: str) -> list[str]:
        text = "".join(literal for literal, *_ in string.Formatter().parse(text))
        return "".join(c if c.isalpha() else " " for c in text).split()

    assert not [key for key, text in texts().items() if word in words(text) and "--" not in text]


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(KeyError):
        say("no.such.text")
