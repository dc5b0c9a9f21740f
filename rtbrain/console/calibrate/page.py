"""The page Calibrate."""

from rtbrain.console.page import Page


class CalibratePage(Page):
    """The step Calibrate."""

    step = "calibrate"
