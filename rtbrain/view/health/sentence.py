"""The sentence of an alarm, fitted to the room that there is."""

from PySide6.QtCore import Qt
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QTextCharFormat,
    QTextCursor,
    QTextDocument,
    QTextOption,
)

from rtbrain.view.theme import Theme

_SIZES_PX = (13, 12, 11)


def fill_bold(document: QTextDocument, text: str, ink: QColor) -> None:
    """Fill a document with a text as it is, what stands between two asterisks each in bold."""
    cursor, words = QTextCursor(document), QTextCharFormat()
    words.setForeground(ink)
    for place, part in enumerate(text.split("**")):
        words.setFontWeight(700 if place % 2 else 400)
        cursor.insertText(part, words)


def fit_sentence(
    sentence: str, width: float, n_lines: int, ink: str, theme: Theme
) -> QTextDocument:
    """The sentence in some lines at most, its names bold: smaller, then elided to fit."""
    document = QTextDocument()
    document.setDocumentMargin(0)
    option = QTextOption(Qt.AlignmentFlag.AlignLeft)
    option.setWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
    document.setDefaultTextOption(option)
    document.setTextWidth(max(1.0, width))

    def fits(text: str) -> bool:
        document.clear()
        fill_bold(document, text, QColor(ink))
        line_px = QFontMetricsF(document.defaultFont()).lineSpacing()
        return document.size().height() < (n_lines + 0.5) * line_px

    for px in _SIZES_PX:
        document.setDefaultFont(theme.font(px))
        if fits(sentence):
            return document
    cuts = range(len(sentence) - 1, -1, -1)
    next((n for n in cuts if fits(sentence[:n].rstrip("* ") + "\u2026")), None)
    return document
