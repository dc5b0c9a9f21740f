"""A session on the disk: its settings, its files, its jobs and its log. Without Qt."""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, NonNegativeFloat, PositiveFloat

from rtbrain.config.files import parse_settings
from rtbrain.config.front_end import Settings
from rtbrain.console.jobs import KILLED, Job
from rtbrain.console.log import SessionLog
from rtbrain.errors import SettingsError, one_line
from rtbrain.files import parse_json, strict_json, write_atomically
from rtbrain.stream_names import recorder_name

VERSION: Literal[1] = 1
IGNORE = "ignore"  # the meaning of a marker that is of no class
JOBS = ("recorder", "decoder", "fit", "cue", "report", "export", "player", "view")
# Where files of a kind are, and how the first of them is called.
FOLDERS = MappingProxyType(
    {"calib": "calibration", "decoder": "decoders", "run": "runs", "report": "reports"}
)
_SETTINGS = "session.json"


def _require_code(text: str) -> str:
    if not re.fullmatch("[A-Za-z0-9-]{1,40}", text):
        raise ValueError("expected 1 to 40 letters, digits or hyphens, and no name of a person")
    return text


Code = Annotated[str, AfterValidator(_require_code)]

Role = Literal["signal", "markers", "record"]


class UsedStream(Settings):
    """A stream and what it is used as."""

    name: str
    """As announced."""
    source_id: str = ""
    """As announced; empty where it has none."""
    role: Role
    """The one signal, markers that are read, or what is recorded too."""


class SessionSettings(Settings):
    """What a session is about, as ``session.json`` holds it."""

    version: Literal[1] = VERSION
    """Of this format."""
    code: Code = "sub-01"
    """A code for the participant, never a name."""
    session: Code = "ses-01"
    """A code for the session."""
    task: Code = "task"
    """A code for the task."""
    streams: tuple[UsedStream, ...] = ()
    """The streams that are used."""
    trigger: str | None = None
    """Channel of the signal whose codes are the markers, as TRIG or Status:0xFF."""
    markers: dict[str, str] = Field(default_factory=dict)
    """The class that each marker text or code stands for, or ``ignore``."""
    classes: tuple[str, ...] = ()
    """Classes, in the order of the outputs."""
    target: str | None = None
    """The class that is detected."""
    plan: dict[str, Any] | None = None
    """The plan of cues, as `rtbrain cue` reads it; None where other software shows them."""
    mains_hz: Literal[50, 60] | None = None
    """Mains frequency to remove, Hz; None measures it."""
    unit: str | None = None
    """Unit of a signal that names none, or a wrong one."""
    scale: PositiveFloat = 1.0
    """What that unit makes of the signal: the factor for --scale of commands."""
    accepted: tuple[str, ...] = ()
    """Checks to look at that a person went on with."""
    recipe: Literal["both", "linear", "encoder"] = "both"
    """Which decoders are fitted."""
    decoder: str | None = None
    """Folder of the chosen decoder, as decoders/decoder-01."""
    outlet: str = "rtbrain"
    """Name that the decoder sends under."""
    preset: str | None = None
    """Preset that the threshold is of; None for one's own."""
    threshold: float | None = None
    """Probability, or value, of a detection."""
    rearm: float | None = None
    """What the output must fall below before the next one."""
    hold_s: NonNegativeFloat | None = None
    """How long the output must stay at or above the threshold, s."""
    outputs: dict[str, Any] = Field(default_factory=dict)
    """Where triggers go, as in the settings of rtbrain decode."""

    def of_role(self, role: str) -> tuple[UsedStream, ...]:
        """Streams that are used as something."""
        return tuple(stream for stream in self.streams if stream.role == role)

    @property
    def signal(self) -> UsedStream | None:
        """The signal, once it is chosen."""
        return next(iter(self.of_role("signal")), None)


class Session:
    """A session in a folder, made if it is new.

    `problem` says why something cannot be written, until it can.

    Raises
    ------
    SettingsError
        The folder is not a session's, is of another version, or cannot be written.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder.expanduser().absolute()
        self.settings = _load(self.folder)
        self.problem = ""
        self.clock = clock
        self._log = SessionLog(self.folder / "log.sh", clock)
        self._unsaved = not (self.folder / _SETTINGS).exists()
        self._ended: set[str] = set()
        self._news: list[Job] = []
        self._jobs: dict[str, Job] = {}
        for name in JOBS:
            if (job := Job.join(self.folder, name)) is not None:
                self._jobs[name] = job
                if job.running:
                    self._log.joined(name)
                    continue
                self._ended.add(name)
                if not job.logged:
                    if not job.stopping:
                        self._log.joined(name)
                    self._log_end(job, "while no console was open, ")
        if self._unsaved:
            self._log.note("a new session")
        self.save()

    @property
    def jobs(self) -> Mapping[str, Job]:
        """The last job of each name, running or not; also those that an earlier console started."""
        return MappingProxyType(self._jobs)

    def running(self, name: str) -> bool:
        """Whether a job of this name runs."""
        return name in self._jobs and self._jobs[name].running

    @property
    def growing(self) -> str:
        """File that is being recorded, relative to the folder; empty where none is."""
        job = self._jobs.get("recorder")
        return job.argv[1] if job is not None and job.running and len(job.argv) > 1 else ""

    def records(self, kind: str) -> bool:
        """Whether a file of this kind, of `FOLDERS`, is being recorded."""
        return self.growing.startswith(f"{FOLDERS[kind]}/")

    @property
    def recorder(self) -> str:
        """Name of the recorder, whose status events are on ``NAME-status``."""
        return recorder_name(self.settings.outlet)

    def change(self, **values: Any) -> None:
        """Change settings and save them; a SettingsError where a value cannot be.

        A full disk loses nothing: they are saved once there is room.
        """
        changed = {**dict(self.settings), **values}
        self.settings = parse_settings(changed, SessionSettings, where=_SETTINGS)
        self._unsaved = True
        self.save()

    def save(self) -> None:
        """Write what is not written yet."""
        problem = self._log.flush()
        if self._unsaved:
            try:
                text = strict_json(self.settings.model_dump(mode="json"))
                write_atomically(self.folder / _SETTINGS, text)
                self._unsaved = False
            except OSError as error:
                problem = error.strerror or str(error)
        self.problem = problem

    def poll(self) -> list[Job]:
        """Jobs that have ended since the last poll; writes what could not be written before."""
        self._take_ended()
        ended, self._news = self._news, []
        if self._unsaved or self.problem:
            self.save()
        return ended

    def _take_ended(self) -> None:
        """Log jobs that have ended: in the log, what comes next comes after that."""
        for name, job in self._jobs.items():
            if name not in self._ended and not job.running:
                self._ended.add(name)
                self._log_end(job)
                self._news.append(job)

    def _log_end(self, job: Job, when: str = "") -> None:
        code = job.exit_code
        how = when + ("killed" if code == KILLED else f"exit code {code}")
        how = how if not code or not job.output else f"{how}, {job.output[-1]}"
        self._log.end(job.name, how, well=code == 0)
        job.log_end()

    def start(self, job: str, argv: Sequence[str]) -> Job:
        """Start ``rtbrain ARGV`` as a job, in the folder of the session.

        Raises a SettingsError where one of this name runs, or it cannot be started.
        """
        if job not in JOBS:
            raise SettingsError(f"expected a job of {', '.join(JOBS)}, got {job!r}")
        if self.running(job):
            raise SettingsError(f"{job} runs already: end it first")
        self._take_ended()
        started = Job.start(self.folder, job, argv)
        self._log.start(job, argv)
        self._jobs[job] = started
        self._ended.discard(job)
        return started

    def stop(self, job: str, note: str = "") -> None:
        """Ask a job to end; a second time, end it at once.

        But a recorder ends when the disk lets it: killed, it would lose what waits.
        """
        if not self.running(job):
            return
        if self._jobs[job].stopping:
            if job != "recorder":
                self._jobs[job].kill()
        else:
            self._take_ended()
            self._log.stop(job, note)
            self._jobs[job].stop()

    def log(self, command: Sequence[str] = (), note: str = "") -> None:
        """Add a command that was carried out, or a remark, to ``log.sh``."""
        if command:
            self._log.run(command, note)
        elif note:
            self._log.note(note)

    def next_name(self, kind: str, suffix: str = "") -> Path:
        """Next free name of a kind, relative to the folder: ``calibration/calib-02.xdf``."""
        above = Path(FOLDERS[kind])
        try:  # also what is left of one that was removed, as its report
            names = [
                path.name for one in FOLDERS.values() for path in (self.folder / one).iterdir()
            ]
        except OSError as error:
            raise SettingsError(f"the folder of the session is gone: {one_line(error)}") from error
        found = [re.match(rf"{kind}-(\d+)(?!\d)", name) for name in names]
        numbers = [int(one[1]) for one in found if one]
        return above / f"{kind}-{max(numbers, default=0) + 1:02d}{suffix}"

    def files(self, kind: str, suffix: str = "") -> list[Path]:
        """What there is of a kind, relative to the folder, in order."""
        above = self.folder / FOLDERS[kind]
        return sorted(path.relative_to(self.folder) for path in above.glob(f"{kind}-*{suffix}"))


def open_session(folder: Path) -> Session:
    """The session in a folder; a new one sends by a name that no other session commands."""
    is_new = not (folder.expanduser() / _SETTINGS).exists()
    session = Session(folder)
    if is_new:
        session.change(outlet=f"rtbrain-{token_hex(2)}")
    return session


def _load(folder: Path) -> SessionSettings:
    """Settings of a session; in an empty or absent folder, those of a new one."""
    path = folder / _SETTINGS
    try:
        if folder.exists() and not folder.is_dir():
            raise SettingsError(f"{folder} is a file: expected a folder, new or of a session")
        if not path.exists() and folder.is_dir() and any(folder.iterdir()):
            raise SettingsError(
                f"{folder} is not a session: it has no {_SETTINGS}; name an empty or a new folder"
            )
        for above in FOLDERS.values():
            (folder / above).mkdir(parents=True, exist_ok=True)
        (folder / "jobs").mkdir(exist_ok=True)
        if not path.exists():
            return SessionSettings()
        values = parse_json(path.read_bytes())
    except OSError as error:
        raise SettingsError(f"{folder}: {one_line(error)}: name another folder") from error
    except ValueError as error:
        raise SettingsError(f"{path}: not readable: {one_line(error)}") from error
    version = values.get("version") if isinstance(values, dict) else None
    if version != VERSION:
        raise SettingsError(
            f"{path}: expected a session of version {VERSION}, got {str(version)[:20]!r}: open it "
            "with the rtbrain that made it, or name a new folder"
        )
    return parse_settings(values, SessionSettings, where=str(path))
