"""The page Review."""

from rtbrain.console.page import Page


class ReviewPage(Page):
    """The step Review."""

    step = "review"
