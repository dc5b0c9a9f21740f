"""Codes of the session, and which decoder it fits."""

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QLineEdit

from rtbrain.console.folder import SessionSettings
from rtbrain.console.setup.panel import Choice, Panel, styled
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme

_FIELDS = ("code", "session", "task")
_RECIPES = ("both", "linear", "encoder")


class AboutSession(Panel):
    """Code, session, task and decoder; `changed` passes on the name and value of one."""

    changed = Signal(str, str)

    def __init__(self, theme: Theme) -> None:
        super().__init__(theme, say("setup.about.title"), say("setup.about.note"))
        grid = QGridLayout()
        self.fields = {name: QLineEdit() for name in _FIELDS}
        for column, (name, field) in enumerate(self.fields.items()):
            grid.addWidget(styled(say(f"setup.about.{name}"), "small"), 0, column)
            grid.addWidget(field, 1, column)
            field.setAccessibleName(say(f"setup.about.{name}"))
            field.editingFinished.connect(
                lambda name=name, field=field: self.changed.emit(name, field.text().strip())
            )
        self.recipe = Choice()
        for recipe in _RECIPES:
            self.recipe.addItem(say(f"setup.about.recipe.{recipe}"), recipe)
        self.recipe.activated.connect(
            lambda: self.changed.emit("recipe", str(self.recipe.currentData()))
        )
        grid.addWidget(styled(say("setup.about.decoder"), "small"), 0, len(_FIELDS))
        grid.addWidget(self.recipe, 1, len(_FIELDS))
        for column, share in enumerate((3, 3, 3, 4)):
            grid.setColumnStretch(column, share)
        grid.setContentsMargins(12, 0, 12, 10)
        grid.setHorizontalSpacing(12)
        grid.setVerticalSpacing(3)
        self.body.addLayout(grid)

    def show_settings(self, settings: SessionSettings) -> None:
        """Show the settings; a field that is being typed in is left alone."""
        for name, field in self.fields.items():
            if not field.hasFocus() and field.text() != getattr(settings, name):
                field.setText(getattr(settings, name))
        self.recipe.setCurrentIndex(self.recipe.findData(settings.recipe))
