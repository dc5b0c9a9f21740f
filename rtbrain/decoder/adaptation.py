"""A live decoder that adapts to labels, and the versions of it that are written as it goes."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from rtbrain.config import RUNNING
from rtbrain.decoder.bundle import Bundle
from rtbrain.decoder.memory import Memory
from rtbrain.decoder.online import Markers, SupervisedReadout
from rtbrain.decoder.readout import LinearReadout, Readout
from rtbrain.decoder.versions import VersionFolder
from rtbrain.errors import RtbrainError, SettingsError
from rtbrain.types import Decode, Embedding

SAVE_EVERY_S = 180.0
_SETTLE = 2.0  # time constants of the normaliser


class Adaptation:
    """Stage from Embedding to Decode that adapts to labels, and keeps its versions.

    One is written every 3 min where it changed, and the last by `close`, in a thread of its own and
    beside the bundle in `folder`; without one, or where they cannot be written, an event says so,
    and decoding goes on. `on_event` is called with ``adapted`` (the ``version``, its ``folder`` and
    the ``reason``), with ``not_saved`` and the ``reason``, and as by `SupervisedReadout`.
    SettingsError where there are no markers, or the bundle remembers nothing of its fit.
    """

    def __init__(
        self,
        bundle: Bundle,
        folder: Path | None,
        readout: Readout,
        markers: Markers | None,
        on_event: Callable[..., None],
    ) -> None:
        memory = Memory.from_tensors(bundle.tensors)
        if markers is None:
            raise SettingsError(
                "adapt: supervised needs labels: name their marker stream (--markers)"
            )
        if memory is None:
            raise SettingsError(
                "adapt: supervised needs what the bundle remembers of its fit, and it has nothing: "
                "fit it again, or rtbrain refit it --with the recordings that it was fitted on"
            )
        window, spectrogram = bundle.recipe.window, bundle.recipe.spectrogram
        running = spectrogram.form in RUNNING and not spectrogram.frozen
        self.readout = SupervisedReadout(
            readout,
            memory,
            bundle.manifest.labels,
            markers,
            event_s=None if window.hop_s is not None else window.offset_s + window.length_s,
            settle_s=_SETTLE * spectrogram.time_constant_s if running else 0.0,
            on_event=on_event,
        )
        self._versions = None if folder is None else VersionFolder(folder, bundle)
        self._on_event = on_event
        self._saved: LinearReadout = self.readout.frozen
        self._pool = ThreadPoolExecutor(1, "rtbrain-versions")
        self._writing: Future[tuple[Path, str]] | None = None
        self._reason = ""
        self._due = time.monotonic() + SAVE_EVERY_S

        self.pull_labels, self.forget_labels = self.readout.pull_labels, self.readout.forget_labels

    def __call__(self, item: Embedding) -> Decode:
        """Decode one embedding, and write a version if that is due."""
        decode = self.readout(item)
        self._poll()
        return decode

    def reset(self) -> None:
        """Return to the readout of the bundle."""
        self.readout.reset()

    def _poll(self) -> None:
        if self._writing is not None and self._writing.done():
            self._report()
        if time.monotonic() >= self._due and self._writing is None:
            self._due = time.monotonic() + SAVE_EVERY_S
            self._save()

    def close(self) -> None:
        """Write the last version."""
        self._report()
        self._save()
        self._report()
        self._pool.shutdown()

    def _save(self) -> None:
        adapted = self.readout
        if adapted.readout is self._saved:
            return
        self._saved, self._reason = adapted.readout, adapted.about
        if self._versions is None:
            self._on_event("not_saved", reason="the bundle is not in a folder")
        else:
            self._writing = self._pool.submit(self._versions.save, self._saved, self._reason)

    def _report(self) -> None:
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            folder, version = writing.result()
        except (OSError, RtbrainError) as error:
            self._on_event("not_saved", reason=str(error))
        else:
            self._on_event("adapted", version=version[:12], folder=folder.name, reason=self._reason)
