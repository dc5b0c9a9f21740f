"""Pages for people: plain HTML in one file, without scripts, that a browser shows and prints."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from rtbrain.errors import printable

_STYLE = """
body { font-family: sans-serif; font-size: 15px; line-height: 1.45; color: #222;
       max-width: 860px; margin: 24px auto; padding: 0 16px; }
h1 { font-size: 22px; } h2 { font-size: 17px; margin-top: 26px; break-after: avoid; }
table { border-collapse: collapse; margin: 8px 0; }
td, th { border: 1px solid #c8c8c8; padding: 5px 10px; text-align: left; vertical-align: top; }
th { background: #f3f3f3; } .small { color: #555; font-size: 13px; }
img { max-width: 100%; }
tr, img { break-inside: avoid; }
@media print { body { margin: 0; font-size: 12.5px; } }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A page of parts in HTML; those that are empty are left out."""
    body = "\n".join(part for part in parts if part)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def banner(sentence: str, colour: str) -> str:
    """One sentence, large, on a ground of its own."""
    return (
        f'<table width="100%"><tr><td style="background: {colour}; padding: 14px">'
        f'<b style="font-size: 18px">{text(sentence)}</b></td></tr></table>'
    )


def figure(caption: str, content: bytes, width: int = 460) -> str:
    """A PNG inside the page, with words below."""
    source = f"data:image/png;base64,{b64encode(content).decode('ascii')}"
    image = f'<img src="{source}" width="{width}" alt="{text(caption)}">'
    return f'<p style="line-height: 1">{image}</p>\n<p class="small">{text(caption)}</p>'


def bullets(lines: Sequence[str], title: str) -> str:
    """Lines of text under a title; nothing without lines."""
    if not lines:
        return ""
    items = "\n".join(f"<li>{text(line)}</li>" for line in lines)
    return f"<h2>{title}</h2>\n<ul>{items}</ul>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of HTML under headings of text."""
    head = "".join(f"<th>{text(heading)}</th>" for heading in headings)
    body = "\n".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}\n{body}</table>"


def text(value: str) -> str:
    """Plain text in HTML, without control characters."""
    return escape(printable(value))
