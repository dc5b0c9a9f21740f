"""A decoder fitted again on a new session, beside what it was fitted on before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rtbrain.bundling import statistics_of_bundle
from rtbrain.decoder import Bundle, LinearReadout, Memory
from rtbrain.decoder.versions import changed
from rtbrain.errors import SettingsError
from rtbrain.learn.evaluate import label_settings
from rtbrain.learn.fit.cross_validation import outputs_of
from rtbrain.learn.fit.decoder import FittedDecoder, load
from rtbrain.learn.fit.inputs import ignore_note
from rtbrain.learn.fit.labels import Labelled
from rtbrain.learn.fit.readout import apply_temperature, fit_temperature, targets_of
from rtbrain.learn.fit.solvers import balanced_weights, fit_ridge, fit_softmax
from rtbrain.learn.fit.splits import Fold, block_folds
from rtbrain.learn.intervals import MARGIN, Interval, paired_jackknife, stretch_blocks
from rtbrain.learn.metrics import scores_of
from rtbrain.learn.refit.recalibrate import with_drift, with_thresholds
from rtbrain.learn.refit.session_rows import SessionReader, SessionRows, common_windows
from rtbrain.terminal import OnProgress, no_progress
from rtbrain.types import Floats, Ints

HALF_LIFE = 2.0  # sessions until what a decoder was fitted on counts for half
_FEWEST_KNOWN = 3  # windows by which a session is known
_N_FOLDS = (5, 4, 3, 2)


def refit(
    decoder: FittedDecoder | str | Path,
    recordings: Any,
    *,
    old: Any = (),
    half_life: float = HALF_LIFE,
    margin: float = MARGIN,
    classes: Sequence[str] | None = None,
    trigger: str | None = None,
    exclude: Sequence[str] | None = None,
    sfreq_hz: float | None = None,
    stream: str | None = None,
    scale: float = 1.0,
    on_progress: OnProgress = no_progress,
    on_note: Callable[[str], None] = ignore_note,
) -> FittedDecoder:
    """Fit the readout of a decoder again, with a new session added to what it was fitted on.

    The front end, the encoder and the penalty stay; the normaliser is that of the new session.
    Both readouts are compared on blocks of the new session, of which the new one has seen none.
    Where it may be worse by more than `margin`, the old one is kept; the session is remembered all
    the same. With a new readout, thresholds of detections are chosen anew on its held-out decodes,
    and drift is calibrated on the session, where it is long enough: the text says which.

    Parameters
    ----------
    decoder : FittedDecoder, str or Path
        From `rtbrain.fit`, or the folder of a bundle.
    recordings : str, Path, mne.io.BaseRaw, tuple, Recording, or a list of these
        The new session, with markers as in the fit; several recordings are one session.
    old : likewise, optional
        What it was fitted on, in place of what the bundle remembers of it.
    half_life : float
        Sessions until an old one counts for half.
    margin : float
        Balanced accuracy, or R² of values, that the new readout may lose: the lower bound of the
        95 % interval of the difference must lie above.
    classes, trigger : optional
        Labels, where they are not those that the decoder was fitted with, as for
        `rtbrain.evaluate`.
    exclude : sequence of str, optional
        Channels to leave out, as if they were bad.
    sfreq_hz, stream, scale
        As for `rtbrain.read`.
    on_progress, on_note : callable
        ``on_progress(done, total, what)``, and what looks wrong in a recording.

    Returns
    -------
    FittedDecoder
        With the comparison as ``report["refit"]``; ``save(folder)`` writes the new bundle.

    Raises
    ------
    SettingsError
        The labels are not those of the decoder, nothing is known of what it was fitted on, or it
        was fitted on the session already.
    RecordingError
        A recording cannot be read, or holds no valid window.
    StreamError
        A recording has another rate, or lacks the decoder's channels.

    Examples
    --------
    >>> import rtbrain
    >>> recording = "synthetic:3,duration_s=60,n_channels=12,start_s=600"
    >>> decoder = rtbrain.refit("bundle", recording, sfreq_hz=2048)
    >>> decoder.report["refit"]["kept"]
    'new'
    """
    fitted = decoder if isinstance(decoder, FittedDecoder) else load(decoder)
    bundle = fitted.bundle
    if not half_life > 0 or not 0 <= margin <= 1:
        raise SettingsError(
            f"expected a half-life above 0 and a margin of 0 to 1, got {half_life:g} and {margin:g}"
        )
    read = SessionReader(
        bundle,
        label_settings(bundle, classes, trigger),
        {"stream": stream, "sfreq_hz": sfreq_hz, "scale": scale},
        exclude,
        on_progress,
        on_note,
    )
    statistics = statistics_of_bundle(bundle)
    memory = Memory.from_tensors(bundle.tensors)
    if old:
        with read.open(old) as opened:
            memory = _remembered(bundle, read(*opened))
    if memory is None:
        raise SettingsError(
            "the bundle remembers nothing of what it was fitted on: name those recordings as well "
            "(--with), or fit it again"
        )
    with read.open(recordings) as session:
        # As in a fit the normaliser begins anew. It would take minutes to forget the last session,
        # and a readout of these is wrong after them: 0.72 in place of 0.83 on a synthetic patient.
        after = read(*session)
        for each in (Memory.from_tensors(bundle.tensors), memory):
            _refuse_known(each, after)
        # A frozen one keeps the statistics of its session, with the old readout.
        frozen = bundle.recipe.spectrogram.frozen and statistics is not None
        before = after
        if frozen:
            before, after = common_windows(read(*session, statistics), after)
        aged = memory.aged(0.5 ** (1 / half_life))
        weights = LinearReadout.from_tensors(bundle.tensors, bundle.manifest.task)
        compared = compare(weights, aged, before, after, margin=margin)
        took, kept = compared.took, "new" if compared.took else "old"
        remembered = aged.add(after.features, targets_of(after.labelled))
        tensors = remembered.as_tensors()
        if took:
            tensors["memory.temperature"] = np.array([compared.temperature])
            tensors |= compared.readout.as_tensors()
        if took or not frozen:
            tensors |= after.normaliser
        summary = compared.summary(margin) | {"half_life": half_life, "kept": kept}
        kind: Any = "refit" if took else "kept"
        version = changed(bundle, kind, tensors, summary["text"], {"refit": summary})
        if took:
            version = with_thresholds(
                version, bundle, read, session, after, compared.fold, compared.by_fold
            )
            version = with_drift(version, session, on_progress)
    return FittedDecoder(version, fitted.controls, dict if took else fitted.draw)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two readouts on windows of a session that the new one has not seen."""

    readout: LinearReadout
    temperature: float
    score: str
    old: float
    new: float
    difference: Interval
    took: bool
    fold: Ints  # int64 [n_labelled], that held each window out
    by_fold: Sequence[LinearReadout]

    def summary(self, margin: float) -> dict[str, Any]:
        """As plain values for a report, with a sentence."""
        name, difference = self.score.replace("_", " "), self.difference
        found = f"{name} {self.old:.2f} of the old readout, {self.new:.2f} of the new one"
        if np.isnan(difference.low):
            why = f"{difference.n_blocks} {difference.unit} are too few to compare them"
        else:
            why = (
                f"the difference is {difference.score:+.2f} [{difference.low:.2f}, "
                f"{difference.high:.2f}]"
            )
        verdict = "the new one is used" if self.took else "the old one is kept"
        return {
            "score": self.score,
            "old": self.old,
            "new": self.new,
            "difference": difference.score,
            "interval_95": difference.summary(),
            "margin": margin,
            "text": f"{found}: {why}; {verdict}",
        }


def compare(
    old: LinearReadout,
    memory: Memory,
    before: SessionRows,
    after: SessionRows,
    *,
    margin: float,
) -> Comparison:
    """The readout of a memory and a new session, and whether it may replace the old one.

    `before` are the windows as the old one sees them, `after` as the new one does, and as it is
    fitted.
    """
    labelled, embargo_s = after.labelled, after.embargo_s
    key = "balanced_accuracy" if labelled.task == "classification" else "r2"
    held_out = np.full((labelled.rows.size, len(labelled.names)), np.nan, np.float32)
    fold_of, by_fold = np.full(labelled.rows.size, -1, np.int64), []
    for number, fold in enumerate(_folds(labelled, embargo_s)):
        by_fold.append(_fitted(memory, after, fold.train))
        held_out[fold.test] = _logits(by_fold[number], after.features[fold.test])
        fold_of[fold.test] = number
    readout, temperature = _fitted(memory, after, np.arange(labelled.rows.size)), 1.0
    if key == "balanced_accuracy":
        balance = balanced_weights(labelled.targets, len(labelled.names))
        temperature = fit_temperature(held_out, labelled.targets, balance)
        readout, *by_fold = [apply_temperature(one, temperature) for one in (readout, *by_fold)]
    everything = np.arange(labelled.rows.size)
    outputs = outputs_of(old, before.features, everything)
    blocks = stretch_blocks(labelled, embargo_s=embargo_s)
    difference = paired_jackknife(held_out, outputs, labelled.targets, blocks)[key]
    of_old, of_new = (scores_of(one, labelled.targets)[key] for one in (outputs, held_out))
    took = difference.low > -margin
    of_folds = fold_of, by_fold
    return Comparison(readout, temperature, key, of_old, of_new, difference, took, *of_folds)


def _refuse_known(memory: Memory | None, session: SessionRows) -> None:
    """Refuse a session that is remembered: nothing of it would be held out."""
    n_known = 0 if memory is None else memory.n_known(session.features)
    if n_known >= _FEWEST_KNOWN:
        raise SettingsError(
            f"the decoder was fitted on this session already ({n_known} of its windows are "
            "remembered): nothing would be held out; name another recording"
        )


def _folds(labelled: Labelled, embargo_s: float) -> list[Fold]:
    for n_folds in _N_FOLDS:
        try:
            return block_folds(labelled, n_folds=n_folds, embargo_s=embargo_s)
        except SettingsError as error:
            last = error
    raise last


def _fitted(memory: Memory, session: SessionRows, rows: Ints) -> LinearReadout:
    """Readout of what is remembered and of some windows of a session, by the memory's penalty."""
    z = np.concatenate((memory.z.astype(np.float32), memory.standardise(session.features[rows])))
    targets = np.concatenate((memory.targets, targets_of(session.labelled)[rows]))
    weights = np.append(memory.weights.astype(np.float64), np.ones(rows.size))
    c, task = memory.c.item(), session.labelled.task
    if task == "classification":
        found = fit_softmax(
            z,
            targets.argmax(axis=1),
            n_classes=targets.shape[1],
            c=c,
            tolerance=1e-5,
            weights=weights,
        )
        weight, bias = found[:, :-1], found[:, -1]
    else:
        weight, bias, _ = fit_ridge(z, targets, 0.0, weights=weights, penalty=1 / c)
    scaled = weight / memory.scale
    return LinearReadout(
        scaled.astype(np.float32), (bias - scaled @ memory.mean).astype(np.float32), task
    )


def _logits(readout: LinearReadout, features: Floats) -> Floats:
    outputs: Floats = (features @ readout.weight.T + readout.bias).astype(np.float32)
    return outputs


def _remembered(bundle: Bundle, session: SessionRows) -> Memory:
    """Memory of recordings that are named again, by the penalty of the fit."""
    if "c" not in bundle.report:
        raise SettingsError("the bundle does not say its penalty: fit it again")
    features = session.features.astype(np.float64)
    scale = features.std(axis=0)
    scaling = features.mean(axis=0), np.where(scale > 1e-6, scale, 1.0)
    penalty = float(bundle.report["c"]), float(bundle.report.get("temperature", 1.0))
    return Memory.of(session.features, targets_of(session.labelled), scaling, *penalty)
