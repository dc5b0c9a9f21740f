"""What the window says of itself: versions, and that it is for research only."""

import platform

import pylsl
import pyqtgraph
import PySide6
from PySide6.QtWidgets import QMessageBox, QWidget

import rtbrain

__all__ = ["RESEARCH_ONLY", "about_box", "versions"]

RESEARCH_ONLY = (
    "Research use only. rtbrain is not a medical device; nothing that it shows may guide treatment."
)


def versions() -> dict[str, str]:
    """Version of each part that the window is made of."""
    lsl = pylsl.library_version()
    return {
        "rtbrain": rtbrain.__version__,
        "Python": platform.python_version(),
        "PySide6": PySide6.__version__,
        "pyqtgraph": pyqtgraph.__version__,
        "pylsl": pylsl.__version__,
        "liblsl": f"{lsl // 100}.{lsl % 100}",
    }


def about_box(parent: QWidget | None = None) -> QMessageBox:
    """Box with the versions and the conditions of use, not yet shown."""
    listed = "\n".join(f"{name} {version}" for name, version in versions().items())
    box = QMessageBox(parent)
    box.setWindowTitle("About rtbrain")
    box.setText(f"{RESEARCH_ONLY}\n\n{listed}")
    return box
