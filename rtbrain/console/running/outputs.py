"""Where triggers go: asked for one question after the other, and described in words."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rtbrain.config.files import parse_settings
from rtbrain.config.flags import names_of
from rtbrain.config.outputs import OutputSettings
from rtbrain.console.page import Action, Page
from rtbrain.errors import SettingsError
from rtbrain.view.texts import say

_PLACES = {"udp": "to", "osc": "to", "serial": "port"}  # field of each kind that says where
_GIVEN = {"udp": "127.0.0.1:9001", "osc": "127.0.0.1:9000", "serial": ""}


class TriggerForm:
    """Asks in the action bar of a page for the one device that triggers go to."""

    def __init__(self, page: Page) -> None:
        self._page, self._session = page, page.session

    @property
    def action(self) -> Action:
        """The button that asks."""
        return Action(say("run.output.ask"), self.ask, enabled=self._still())

    def ask(self) -> None:
        """Ask for the kind of the device, or for none."""
        answers = [
            *(
                Action(say(f"run.output.{kind}"), partial(self._ask_place, kind))
                for kind in _PLACES
            ),
            Action(say("run.output.none"), lambda: self._change({})),
            Action(say("session.cancel"), lambda: None),
        ]
        self._page.asks.emit(say("run.output.question"), answers, self._still)

    def _still(self) -> bool:
        """Outputs are opened when a decoder starts."""
        return not self._session.running("decoder")

    def _ask_place(self, kind: str) -> None:
        now = self._session.settings.outputs.get(kind) or {}
        given = str(now.get(_PLACES[kind], _GIVEN[kind]))
        take = partial(self._take_place, kind, now)
        self._page.asks_text.emit(say(f"run.output.{kind}_place"), given, take, self._still)

    def _take_place(self, kind: str, now: Mapping[str, Any], place: str) -> None:
        one = {**now, _PLACES[kind]: place.strip()}
        self._check({kind: one})
        if kind != "serial":
            self._change({kind: one})
            return
        given = ", ".join(f"{name}={code}" for name, code in one.get("codes", {}).items())
        take = partial(self._take_codes, one)
        self._page.asks_text.emit(say("run.output.codes"), given, take, self._still)

    def _take_codes(self, one: Mapping[str, Any], text: str) -> None:
        codes = {}
        for pair in names_of(text, say("run.output.codes")) if text.strip() else ():
            name, _, code = pair.rpartition("=")
            if name.strip() not in self._session.settings.classes or not code.strip().isdecimal():
                raise SettingsError(say("run.output.not_codes", text=pair))
            codes[name.strip()] = int(code)
        self._change({"serial": {**one, "codes": codes}})

    def _check(self, device: Mapping[str, Any]) -> dict[str, Any]:
        """Settings of the outputs with this device alone; a SettingsError where that cannot be."""
        before = self._session.settings.outputs
        outputs = {key: value for key, value in before.items() if key not in _PLACES} | {**device}
        parse_settings(outputs, OutputSettings, where=say("run.trigger"))
        return outputs

    def _change(self, device: Mapping[str, Any]) -> None:
        self._session.change(outputs=self._check(device))
        where = describe_outputs(device) or say("run.output.none")
        self._session.log(note=f"{say('run.trigger')}: {where}")


def describe_outputs(outputs: Mapping[str, Any]) -> str:
    """Where triggers go, in words; empty where nowhere."""
    words: Sequence[str] = [
        f"{kind} {outputs[kind].get(field) or ''}".strip()
        for kind, field in _PLACES.items()
        if isinstance(outputs.get(kind), Mapping)
    ]
    return ", ".join(words)
