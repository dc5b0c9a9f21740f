"""The page Run."""

from rtbrain.console.page import Page


class RunPage(Page):
    """The step Run."""

    step = "run"
