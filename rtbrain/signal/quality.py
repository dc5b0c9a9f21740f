"""Channel quality, first in the signal chain: bad contacts become NaN."""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rtbrain.errors import SettingsError
from rtbrain.marks import BLANKED
from rtbrain.signal.quality_rules import (
    ABSOLUTE,
    QUALITY_REASONS,
    BlockMeasures,
    QualityCodes,
    ShaftCorrelation,
    absolute_codes,
    relative_codes,
)
from rtbrain.signal.reference import contact_rows, shaft_pairs
from rtbrain.types import Chunk, Floats, Mask, Montage

_BLOCK_S = 0.25
# Two places: the last contact of a shaft must not be judged by a single neighbour, perhaps dead.
_REACH = 2
# Blocks to look back on, 2 s, and how many of them must be bad. What no living contact does
# takes 0.5 s; what a blink or a movement of 0.3 to 1 s might do takes longer than those.
_BLOCKS = 8
_BAD_ABSOLUTE = 2
_BAD_RELATIVE = 4
# Blocks without a fault, 5 s, before a contact is good again: longer than the look back, so that
# a loose plug does not come and go.
_CLEAN_BLOCKS = 20
_KEPT_BLOCKS = 256
_IS_ABSOLUTE = np.array([code in ABSOLUTE for code in range(len(QUALITY_REASONS))])


class ContactLevels(NamedTuple):
    """What was measured of the contacts in a block, and which were bad after it."""

    t_stop: float  # s
    levels_db: Floats  # float32 [2, n_contacts]: change from sample to sample, mains; NaN if bad
    bad: Mask  # bool [n_contacts]


class ChannelQuality:
    """Sets bad contacts, and every non-finite sample, to NaN.

    Raw samples are measured in blocks of 0.25 s of the sample counter. A contact turns bad when 2
    of its last 8 blocks break an absolute rule (not finite, flat, saturated) or 4 a relative one
    (mains, noisy, quiet, uncorrelated with its shaft), and good again after 20 blocks, 5 s,
    without a fault. A verdict holds from the sample after its block on. A non-finite sample is
    NaN at once.

    Relative rules compare contacts of one kind, at least 4 that are good. Where more than half of
    all contacts break one in the same block, none counts: the reference moved.

    A gap ends the block that it falls into, and of a block that is blanked for the most part none
    is judged; verdicts stay.

    Channels that are no contacts pass as they are. Without `mains_hz`, 50 and 60 Hz are looked for.
    `on_event` is called with ``("channel_bad", channel=label, reason=text)`` and
    ``("channel_good", ...)`` with the reason that has ended. SettingsError if the mains frequency
    is not above 0, or a block has less than 8 samples.
    """

    def __init__(
        self,
        montage: Montage,
        *,
        mains_hz: float | None = None,
        on_event: Callable[..., None] | None = None,
    ) -> None:
        if mains_hz is not None and not mains_hz > 0:
            raise SettingsError(f"quality: mains_hz must be above 0, got {mains_hz}: set 50 or 60")
        self._block_samples = round(_BLOCK_S * montage.sfreq_hz)
        if self._block_samples < 8:
            raise SettingsError(
                f"quality: a rate of {montage.sfreq_hz} Hz is too low to judge contacts, "
                "expected 32 Hz or more: leave quality out"
            )
        self.montage = montage
        self._on_event = on_event
        rows = contact_rows(montage)
        self._rows = np.asarray(rows, np.int64)
        self._all = len(rows) == montage.n_channels
        contacts = montage.pick([montage.names[row] for row in rows])
        self.names = contacts.names
        self._pairs = shaft_pairs(contacts, _REACH)
        self._measures = BlockMeasures(
            len(rows), self._block_samples, montage.sfreq_hz, mains_hz, *self._pairs
        )
        self._kinds = [np.array(contacts.kinds) == kind for kind in sorted(set(contacts.kinds))]
        self.reset()

    def reset(self) -> None:
        """Forget everything; all contacts are good again, without an event."""
        n_contacts = len(self.names)
        self._correlation = ShaftCorrelation(n_contacts, *self._pairs)
        self._block = np.empty((n_contacts, self._block_samples), np.float32)
        self._n_held: int | None = None  # samples of the block so far; None until one begins
        self._n_blanked = 0  # of them
        self._expected: int | None = None  # number of the next sample
        self._broke_absolute = np.zeros((_BLOCKS, n_contacts), np.bool_)
        self._broke_relative = np.zeros((_BLOCKS, n_contacts), np.bool_)
        self._at = 0
        self._latest = np.zeros(n_contacts, np.int8)  # last rule that each contact broke
        self._clean = np.zeros(n_contacts, np.int64)  # blocks without a fault
        self.blocks: deque[ContactLevels] = deque(maxlen=_KEPT_BLOCKS)  # the newest last
        self._reason = np.zeros(n_contacts, np.int8)  # why it is bad; 0 where it is good

    @property
    def bad(self) -> dict[str, str]:
        """Labels of the bad contacts, and why they are."""
        return {
            self.names[row]: QUALITY_REASONS[self._reason[row]] for row in self._reason.nonzero()[0]
        }

    def __call__(self, chunk: Chunk) -> Chunk:
        """Chunk with NaN for bad contacts and samples; the same chunk where there are none."""
        if chunk.gap > 0 or chunk.first_sample != self._expected:
            self._n_held = None
        self._expected = chunk.first_sample + chunk.n_samples
        raw = chunk.data if self._all else chunk.data[self._rows]
        data: Floats | None = None
        finite = np.isfinite(raw)
        if not finite.all():
            data = np.where(finite, raw, np.float32(np.nan))
        start = 0
        while start < chunk.n_samples:
            at = (chunk.first_sample + start) % self._block_samples
            stop = min(start + self._block_samples - at, chunk.n_samples)
            bad = self._reason > 0
            if bad.any():
                data = raw.copy() if data is None else data
                data[bad, start:stop] = np.nan
            n_blanked = 0
            if chunk.flags is not None:
                n_blanked = int(np.count_nonzero(chunk.flags[start:stop] == BLANKED))
            self._hold(raw[:, start:stop], at, n_blanked, float(chunk.timestamps[stop - 1]))
            start = stop
        if data is None:
            return chunk
        if not self._all:
            contacts, data = data, chunk.data.copy()
            data[self._rows] = contacts
        return replace(chunk, data=data)

    def _hold(self, samples: Floats, at: int, n_blanked: int, t_stop: float) -> None:
        """Put samples into the block at `at`, and measure them; judge it when it is full."""
        if at == 0:
            self._n_held = self._n_blanked = 0
            self._measures.begin()
        if self._n_held is None:
            return
        self._n_held = at + samples.shape[1]
        self._block[:, at : self._n_held] = samples
        self._n_blanked += n_blanked
        self._measures.add(self._block, self._n_held)
        judged = 2 * self._n_blanked < self._block_samples
        if self._n_held == self._block_samples and self.names and judged:
            self._judge(t_stop)

    def _judge(self, t_stop: float) -> None:
        measured = self._measures.finish(self._block)
        absolute = absolute_codes(measured)
        alive = absolute == 0
        good = alive & (self._reason == 0)
        correlation = self._correlation(measured.correlation, good)
        relative, judged = relative_codes(measured, correlation, self._kinds, alive, good)
        relative[~alive] = 0
        if 2 * np.count_nonzero(relative) > len(self.names):
            relative[:] = 0
            judged[:] = False
        self._remember(absolute, relative, judged)
        many = self._broke_absolute.sum(axis=0) >= _BAD_ABSOLUTE
        many |= self._broke_relative.sum(axis=0) >= _BAD_RELATIVE
        for row in np.flatnonzero(many & (self._reason == 0)):
            self._reason[row] = self._latest[row]
            self._report("channel_bad", int(row), self._latest[row])
        for row in np.flatnonzero((self._clean >= _CLEAN_BLOCKS) & (self._reason > 0)):
            reason, self._reason[row] = self._reason[row], 0
            self._report("channel_good", int(row), reason)
        levels_db = np.stack((measured.change_db, measured.mains_db)).astype(np.float32)
        bad = self._reason > 0
        levels_db[:, bad | ~np.isfinite(levels_db).all(axis=0)] = np.nan
        self.blocks.append(ContactLevels(t_stop, levels_db, bad))

    def _remember(self, absolute: QualityCodes, relative: QualityCodes, judged: Mask) -> None:
        self._broke_absolute[self._at] = absolute > 0
        self._broke_relative[self._at] = relative > 0
        self._at = (self._at + 1) % _BLOCKS
        codes = absolute + relative  # one of them is 0
        broken = codes > 0
        self._latest[broken] = codes[broken]
        # Where the relative rules were not applied, they clear no contact either.
        cleared = ~broken & (judged | _IS_ABSOLUTE[self._reason])
        self._clean[cleared] += 1
        self._clean[broken] = 0

    def _report(self, event: str, row: int, reason: int) -> None:
        if self._on_event is not None:
            self._on_event(event, channel=self.names[row], reason=QUALITY_REASONS[reason])
