"""A panel of a page: a head with a note and buttons, and what it holds."""

from itertools import pairwise

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPolygonF
from PySide6.QtWidgets import (
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from rtbrain.view.theme import Theme, fill, plain_label, set_tip

_BOLD = {"head", "strong", "target"}


class Panel(QFrame):
    """Frame with a title; `note` is a quiet text beside it, `body` the layout below."""

    least_px = 0  # high at 100 %

    def __init__(self, theme: Theme, title: str, note: str = "", *buttons: QWidget) -> None:
        super().__init__()
        self.setObjectName("panel")
        self.theme = theme
        self.title, self.note = styled(title, "head"), Elided("quiet")
        self.note.show_text(note)
        self.head, self.body = QHBoxLayout(), QVBoxLayout()
        shown = (self.title, self.note)
        fill(self.head, *shown, stretched=self.note, margins=(11, 6, 11, 4), spacing=10)
        for button in buttons:
            self.head.addWidget(button)
        fill(QVBoxLayout(self), self.head, self.body, stretched=self.body, margins=(1, 1, 1, 1))
        self.body.setContentsMargins(0, 0, 0, 0)
        self.body.setSpacing(0)

    def add_scrolled(self, inner: QWidget) -> None:
        """Put a widget into the body that scrolls up and down, and takes no focus itself."""
        area = QScrollArea(widgetResizable=True)
        area.setFrameShape(QFrame.Shape.NoFrame)
        area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setWidget(inner)
        self.body.addWidget(area)

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        self.theme = theme
        self.setMinimumHeight(theme.px(self.least_px))
        embolden(self, theme)


def embolden(parent: QWidget, theme: Theme) -> None:
    """Give heads, names and buttons their weight, which no style sheet takes from the file."""
    for widget in parent.findChildren(QWidget):
        if widget.objectName() in _BOLD or isinstance(widget, QPushButton):
            widget.setFont(theme.font(13, 600))


def styled(text: str, name: str) -> QLabel:
    """Label of plain text in one of the styles of `panel_style`."""
    label = plain_label(text)
    label.setObjectName(name)
    return label


def panel_style(theme: Theme) -> str:
    """Style sheet of panels, and of the labels in them."""
    px = theme.px
    return f"""
    #panel {{ background: {theme.bg0}; border: 1px solid {theme.line}; border-radius: 3px; }}
    #panel QWidget {{ background: transparent; }}
    #panel QComboBox, #panel QLineEdit, #panel QPushButton {{ background: {theme.bg1}; }}
    QPushButton {{ font-size: {px(12.5)}px; }}
    #panel QComboBox::drop-down {{ border: none; width: 18px; }}
    #panel QComboBox QLineEdit {{ border: none; padding: 0; min-height: 16px; }}
    #panel QComboBox QAbstractItemView {{ background: {theme.bg0}; }}
    #head {{ font-size: {px(13)}px; }}
    #quiet {{ color: {theme.text2}; font-size: {px(12)}px; }}
    #small {{ color: {theme.text2}; font-size: {px(11.5)}px; }}
    #strong, #words {{ font-size: {px(12.5)}px; }}
    #target {{ color: {theme.text2}; font-size: {px(12)}px; }}
    #target:checked {{ color: {theme.accent}; }}
    #target::indicator {{ width: 9px; height: 9px; border: 1px solid {theme.ctl};
       border-radius: 5px; }}
    #target::indicator:checked {{ background: {theme.accent}; border-color: {theme.accent}; }}
    #target:focus {{ border: 2px solid {theme.accent}; border-radius: 3px; }}
    #row {{ border-top: 1px solid {theme.line}; }}
    #row[used="true"] {{ background: {theme.bg2}; border-left: 3px solid {theme.accent}; }}
    #row[used="false"] {{ border-left: 3px solid transparent; }}
    QComboBox[used="true"] {{ color: {theme.accent}; }}
    """


def repolish(widget: QWidget, name: str, value: bool) -> None:
    """Set a property that the style sheet depends on, where it changes."""
    if widget.property(name) != value:
        widget.setProperty(name, value)
        widget.style().unpolish(widget)
        widget.style().polish(widget)


def tab_through(first: QWidget, *others: QWidget) -> None:
    """Have Tab go from a widget through others, in whatever order they were made."""
    for before, after in pairwise((first, *others)):
        QWidget.setTabOrder(before, after)


def tabbed_before(widget: QWidget) -> QWidget:
    """The one from which Tab comes to a widget, or into it."""
    found = widget.previousInFocusChain()
    while found and found is not widget and not found.focusPolicy() & Qt.FocusPolicy.TabFocus:
        found = found.previousInFocusChain()
    return found or widget


class Choice(QComboBox):
    """List to choose from, with an arrow in the ink of its text."""

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint the arrow on top."""
        super().paintEvent(event)
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.palette().color(self.foregroundRole()))
            x, y = self.width() - 13, self.height() / 2
            corners = [QPointF(x - 4, y - 2), QPointF(x + 4, y - 2), QPointF(x, y + 3)]
            painter.drawPolygon(QPolygonF(corners))


class Elided(QLabel):
    """Label of one line that ends in ``…`` where it does not fit; its tool tip has all of it."""

    def __init__(self, name: str) -> None:
        super().__init__(textFormat=Qt.TextFormat.PlainText)
        self.setObjectName(name)

    def show_text(self, text: str) -> None:
        """Show a text."""
        self.setText(text)
        set_tip(self, text)

    def sizeHint(self) -> QSize:  # noqa: N802
        """As narrow as its place: a long name moves nothing."""
        return QSize(1, super().sizeHint().height())

    def minimumSizeHint(self) -> QSize:  # noqa: N802
        """The same."""
        return self.sizeHint()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Paint as much as fits."""
        with QPainter(self) as painter:
            shown = self.fontMetrics().elidedText(
                self.text(), Qt.TextElideMode.ElideRight, self.width()
            )
            painter.setPen(self.palette().color(self.foregroundRole()))
            painter.drawText(self.rect(), self.alignment() | Qt.AlignmentFlag.AlignVCenter, shown)
