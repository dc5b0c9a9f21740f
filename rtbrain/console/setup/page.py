"""The page Set up: streams and what they are used as, names of markers, codes, and the checks."""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QHBoxLayout, QPushButton, QVBoxLayout

from rtbrain.check.doctor.checks import Check, Expected, Fix
from rtbrain.check.doctor.doctor import Doctor
from rtbrain.check.doctor.machine import keep_awake
from rtbrain.check.doctor.network import FoundStream
from rtbrain.check.doctor.signal import list_contacts
from rtbrain.console.folder import Role, Session, UsedStream
from rtbrain.console.page import Action, Page
from rtbrain.console.setup.about import AboutSession
from rtbrain.console.setup.checks import CheckList
from rtbrain.console.setup.markers import MarkerNames, classes_of, target_of
from rtbrain.console.setup.panel import embolden, panel_style
from rtbrain.console.setup.streams import MARKERS, SIGNAL, StreamTable, rows_of
from rtbrain.console.setup.ways import Ways
from rtbrain.errors import SettingsError, list_words, one_line
from rtbrain.processes import start_detached
from rtbrain.stream_names import cues_name, markers_name
from rtbrain.units import microvolts_per, require_voltage
from rtbrain.view.texts import say
from rtbrain.view.theme import Theme, fill

_DRAW_EVERY_S = 0.25
_PLAN_H = 1.0  # of recording that there must be room for
_DEFAULT_MAINS_HZ = 60  # as the recipes have it: it is seen on the page, and mended there
_REPLAY, _SIMULATED, _BRIDGE = "rtbrain-replay", "rtbrain-sim", "rtbrain-bridge"
_LISTED, _FILE = 3, QFileDialog.FileMode.ExistingFile
_NEEDED = {"signal", "unit", "mains", "contacts"}  # without these nobody goes on


class SetupPage(Page):
    """The step Set up. Its doctor begins when the page is first shown, and goes on."""

    step = "setup"
    make_doctor: Callable[[Expected], Any] = Doctor

    def __init__(self, session: Session, theme: Theme) -> None:
        super().__init__(session, theme)
        if session.settings.mains_hz is None:
            session.change(mains_hz=_DEFAULT_MAINS_HZ)
        self._doctor: Any = None
        self._checks: tuple[Check, ...] = ()
        self._awaited = ""  # a signal that was started here, used when it comes
        self._awake: Any = None
        self._drawn_s = 0.0
        self._shown: tuple[object, ...] = ()
        self._named: set[tuple[str, str]] = set()  # sources and texts that were named here
        self.again = QPushButton(say("setup.again"))
        self.streams, self.markers = StreamTable(theme, self.again), MarkerNames(theme)
        self.about, self.checks, self.ways = AboutSession(theme), CheckList(theme), Ways()
        self._build()
        self.again.clicked.connect(self.look_again)
        self.streams.used.connect(lambda key, role: self._do(lambda: self.use(key, role or None)))
        self.streams.trigger.connect(lambda channel: self._do(lambda: self.use_trigger(channel)))
        self.markers.named.connect(lambda code, name: self._do(lambda: self.name_it(code, name)))
        self.markers.target.connect(lambda name: self._do(lambda: session.change(target=name)))
        self.about.changed.connect(lambda n, value: self._do(lambda: session.change(**{n: value})))
        ways: dict[str, Callable[[], object]]
        ways = {"simulate": self._simulate, "folder": self._ask_folder}
        ways["recording"] = partial(self._ask, "recording", _FILE, self.replay)
        self.ways.chosen.connect(lambda way: self._do(ways[way]))
        self.ways.address.connect(lambda address: self._do(lambda: self.bridge(address)))
        self.checks.mend.connect(lambda fix: self._do(lambda: self.mend(fix)))
        self.restyle(theme)
        self._set_actions()

    def _build(self) -> None:
        left, below = QVBoxLayout(), QHBoxLayout(self)
        fill(left, self.streams, self.markers, self.about, self.ways, spacing=12)
        left.setStretch(0, 5)
        left.setStretch(1, 3)
        fill(below, left, self.checks, stretched=left, margins=(0, 10, 0, 0), spacing=16)
        self.side_by_side = (below,)

    # What the window calls.

    def draw(self, now: float) -> None:
        """Show what the doctor has found since the last time."""
        if time.monotonic() < self._drawn_s + _DRAW_EVERY_S:
            return
        self._drawn_s = time.monotonic()
        if self._doctor is None:
            self._doctor = self.make_doctor(self._expected())
            self.destroyed.connect(self._doctor.close)
            if (program := QApplication.instance()) is not None:
                program.aboutToQuit.connect(self._doctor.close)
        doctor, settings = self._doctor, self.session.settings
        doctor.expected = self._expected()
        self._use_awaited(doctor.streams)
        self._checks = doctor.checks()
        self.checks.show_checks(self._checks)
        self.bad = None if doctor.reading is None else doctor.reading.bad
        self.streams.show_rows(rows := rows_of(doctor.streams, settings, doctor.reading))
        seconds = f"{time.monotonic() - doctor.looked_s:.0f}"
        self.streams.note.show_text(say("setup.streams.note", n=len(rows), seconds=seconds))
        self._name_texts()
        self.markers.show_markers(*self._heard(), self.session.settings)
        self.about.show_settings(settings)
        self.ways.show_playing(self.session.running("player"))
        self._set_actions()

    def restyle(self, theme: Theme) -> None:
        """Adopt another theme."""
        super().restyle(theme)
        self.setStyleSheet(panel_style(theme))
        embolden(self, theme)
        for panel in (self.streams, self.markers, self.about, self.checks):
            panel.restyle(theme)

    def state(self) -> tuple[str, str]:
        """The most urgent state, and how many must be fixed and looked at."""
        if not self._checks:
            return super().state()
        fix, look = self._of("fix"), self._of("look")
        if fix or look:
            case = "both" if fix and look else "fix" if fix else "look"
            line = say(f"setup.rail.{case}", fix=len(fix), look=len(look))
            return ("fix" if fix else "look"), line
        waits = self._of("checking")
        return (
            ("checking", say("setup.rail.checking")) if waits else ("fine", say("setup.rail.fine"))
        )

    # What a person does.

    def look_again(self) -> None:
        """Check everything anew."""
        if self._doctor is not None:
            self._doctor.look_again()

    def use(self, key: tuple[str, str], role: Role | None) -> None:
        """Use a stream as something; there is one signal, and one source of markers."""
        name, source_id = key
        settings = self.session.settings
        others = [one for one in settings.streams if (one.name, one.source_id) != key]
        changes: dict[str, Any] = {}
        if role == SIGNAL:
            others = [one for one in others if one.role != SIGNAL]
            changes = {"unit": None, "scale": 1.0, "trigger": None, "accepted": ()}
        elif role == MARKERS:
            others = _recorded_only(others)
            changes = {"trigger": None}
        new = [] if role is None else [UsedStream(name=name, source_id=source_id, role=role)]
        self.session.change(streams=(*others, *new), **changes)

    def use_trigger(self, channel: str) -> None:
        """Take the markers from a trigger channel of the signal; from none where it is empty."""
        streams = tuple(_recorded_only(self.session.settings.streams) if channel else ())
        kept = streams or self.session.settings.streams
        self.session.change(trigger=channel or None, streams=kept)

    def name_it(self, code: str, name: str) -> None:
        """Let a marker stand for a class, for nothing (``ignore``), or be without a name."""
        settings = self.session.settings
        markers = {**settings.markers, code: name}
        if not name:
            del markers[code]
        classes, target = settings.classes, settings.target
        if settings.plan is None:  # else its classes are those that are shown
            classes = classes_of(markers, classes)
            target = target_of(classes, target)
        self.session.change(markers=markers, classes=classes, target=target)

    def mend(self, fix: Fix) -> None:
        """Do what a check proposes."""
        value, change = fix.value, self.session.change
        if fix.do == "mains":
            change(mains_hz=int(value or 0))
        elif fix.do == "unit":
            stated = self._doctor.signal.unit if self._doctor.signal else ""
            scale = require_voltage(str(value)) / (microvolts_per(stated) or 1.0)
            change(unit=str(value), scale=scale)
        elif fix.do == "delay":
            change(recipe="linear")
        elif fix.do == "disk":
            self._ask_folder()
        elif fix.do == "computer":
            self._awake = self._awake or keep_awake()
            self.says.emit(say("setup.awake" if self._awake else "setup.not_awake"))
            self.look_again()
        elif fix.do == "contacts":
            bad = {} if self._doctor.reading is None else self._doctor.reading.bad or {}
            self.says.emit(say("setup.bad_contacts", listed=list_contacts(bad, 20)))
        elif fix.do == "reach":
            self.says.emit(say("setup.close_ports"))
        self.draw_now()

    def draw_now(self) -> None:
        """Show at once what has changed."""
        self._drawn_s = 0.0
        self.draw(0.0)
        self.changed.emit()

    def leave_for(self, step: str) -> None:
        """Ask about yellow checks first; of red ones no page starts anything."""
        accepted = self.session.settings.accepted
        new = [one for one in self._of("look") if one.key not in accepted]
        if not new or self._of("fix"):
            self.go.emit(step)
            return
        keys = {one.key for one in new}

        def still() -> bool:
            return not self._of("fix") and not keys.isdisjoint(one.key for one in self._of("look"))

        question = say("setup.go_on_question", names=list_words([one.name for one in new], 20))
        go_on = Action(say("setup.go_on"), partial(self._accept, new, step))
        self.asks.emit(question, [go_on, Action(say("setup.stay"), list)], still)

    def _accept(self, checks: Sequence[Check], step: str) -> None:
        """Go on with what was asked about; what has turned up since is asked about now."""
        findings = "; ".join(f"{one.name}: {one.finding}" for one in checks)
        self.session.log(note=say("setup.accepted", findings=findings))
        accepted = dict.fromkeys((*self.session.settings.accepted, *(one.key for one in checks)))
        self.session.change(accepted=tuple(accepted))
        self.leave_for(step)

    def _simulate(self) -> None:
        if self.session.running("player"):
            self.session.stop("player")
            return
        # It does what the cue screen says, once that is there.
        cues = cues_name(self.session.settings.outlet)
        self._play(["simulate", "--name", _SIMULATED, "--follow", cues], _SIMULATED)

    def replay(self, path: Path) -> None:
        """Play a recording as if it were the signal; once, for twice would be no new data."""
        self._play(["replay", str(path), "--name", _REPLAY], _REPLAY)

    def bridge(self, address: str) -> None:
        """Send a FieldTrip buffer on as the signal."""
        self._play(["bridge", "fieldtrip", address, "--name", _BRIDGE], _BRIDGE)

    def _play(self, argv: Sequence[str], name: str) -> None:
        self.session.start("player", argv)
        self._awaited = name

    def _ask_folder(self) -> None:
        self._ask("folder", QFileDialog.FileMode.Directory, open_console)

    def _ask(self, way: str, mode: QFileDialog.FileMode, call: Callable[[Path], object]) -> None:
        dialog = QFileDialog(self, say(f"setup.ways.{way}"))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(mode)
        dialog.fileSelected.connect(lambda path: self._do(lambda: call(Path(path))))
        dialog.open()

    # What is shown.

    def _of(self, state: str) -> list[Check]:
        return [one for one in self._checks if one.state == state]

    def _expected(self) -> Expected:
        settings = self.session.settings
        signal = settings.signal
        markers = next(iter(settings.of_role(MARKERS)), None)
        return Expected(
            stream=None if signal is None else signal.name,
            source_id=None if signal is None else signal.source_id,
            markers=None if markers is None else markers.name,
            markers_id=None if markers is None else markers.source_id,
            trigger=settings.trigger,
            mains_hz=settings.mains_hz,
            unit=settings.unit,
            mode="streaming" if settings.recipe == "encoder" else "linear",
            folder=self.session.folder,
            hours=_PLAN_H,
        )

    def _heard(self) -> tuple[str, dict[str, int]]:
        """Where markers come from, and how often each was received."""
        settings, doctor = self.session.settings, self._doctor
        if settings.trigger:
            codes = (doctor.reading and doctor.reading.codes) or {}
            return settings.trigger, dict(codes.get(settings.trigger, {}))
        stream: FoundStream | None = doctor.markers
        markers = settings.of_role(MARKERS)
        return (markers[0].name if markers else ""), dict(stream.codes if stream else {})

    def _name_texts(self) -> None:
        """Let each marker that is a word stand for itself, once; a person may change that."""
        if self.session.settings.plan is not None:
            return
        source, heard = self._heard()
        for text in self.markers.unnamed_texts(heard, self.session.settings):
            if (source, text) not in self._named:
                self._named.add((source, text))
                self.name_it(text, text)

    def _use_awaited(self, streams: Sequence[FoundStream]) -> None:
        """Use what was started here as soon as it is there: the signal, then its markers."""
        signal = next((one for one in streams if one.name == self._awaited), None)
        if not self._awaited or signal is None:
            return
        markers = next((one for one in streams if one.name == markers_name(self._awaited)), None)
        if self.session.settings.signal is None or self.session.settings.signal.name != signal.name:
            self.use((signal.name, signal.source_id), SIGNAL)
        if markers is not None:
            self.use((markers.name, markers.source_id), MARKERS)
            self._awaited = ""

    def _set_actions(self) -> None:
        fix, look = self._of("fix"), self._of("look")
        waits = [one for one in self._of("checking") if one.key in _NEEDED]
        case = "fix" if fix else "measuring" if waits else "look" if look else "ready"
        case = case if self._checks else "wait"
        names = [one.name for one in {"fix": fix, "measuring": waits}.get(case, look)]
        named, ready = list_words(names, _LISTED), case in ("look", "ready")
        reason = say(f"setup.reason.{case}", names=named)
        self.hindrance = reason if fix else ""
        leave = partial(self.leave_for, "calibrate")
        primary = Action(say("setup.go"), leave, enabled=ready, reason=reason)
        shown = (primary.text, primary.enabled, primary.reason)
        if self.primary is not None and shown == self._shown:
            return
        self._shown, self.primary = shown, primary
        self.buttons = [Action(say("setup.run_again"), self.look_again, "Ctrl+R")]
        self.changed.emit()

    def _do(self, call: Callable[[], object]) -> None:
        self.do(call)
        if self._doctor is not None:
            self.draw_now()


def _recorded_only(streams: Sequence[UsedStream]) -> list[UsedStream]:
    """The streams, those of markers recorded and no more."""
    return [
        one.model_copy(update={"role": "record"}) if one.role == MARKERS else one for one in streams
    ]


def open_console(folder: Path) -> None:
    """Open the console of another session, as a process of its own; a SettingsError if none can."""
    try:
        files = Path(tempfile.mkdtemp(prefix="rtbrain-session-"))
        start_detached(["session", str(folder.absolute())], files, files / "log", files / "exit")
    except OSError as error:
        raise SettingsError(f"{folder}: {one_line(error)}") from error
