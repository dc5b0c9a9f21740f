"""The page Fit."""

from rtbrain.console.page import Page


class FitPage(Page):
    """The step Fit."""

    step = "fit"
