"""The page Set up."""

from rtbrain.console.page import Page


class SetupPage(Page):
    """The step Set up."""

    step = "setup"
