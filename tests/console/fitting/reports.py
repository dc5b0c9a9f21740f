"""Reports of fits as bundles hold them, with figures made up."""

import json

from rtbrain.console.calibrate.counting import BlockCounter, CountedBlock, blocks_file

NULL = {"how": "plan drawn again", "n": 199, "n_effective": 60.0, "overlap": 0.02, "of": ""}
BAND = {"p": 0.005, "p_shifted": 0.005, "true": 0.9, "median": 0.5, "band_95": [0.41, 0.59]}
TEXTS = {
    "yes": "Yes: better than chance (0.91 [0.87, 0.94], p 0.005; time alone 0.50).",
    "not shown": "Not shown to be better than chance: 0.58 [0.47, 0.68]. Record 20 more blocks "
    "of each.",
    "not enough data": "Not enough data: 8 pairs of stretches, 10 are needed. AUC 0.70.",
}


def interval(score, low, high):
    if low is None:
        return {"low": None, "high": None, "brief": f"{score:.2f}"}
    return {"low": low, "high": high, "brief": f"{score:.2f} [{low:.2f}, {high:.2f}]"}


def scores(score, low=None, high=None):
    of = {name: interval(score, low, high) for name in ("auc", "balanced_accuracy")}
    return {"pooled": {"auc": score, "balanced_accuracy": score}, "interval_95": of}


CURVE = {
    "up": [0.5, 0.6, 0.7, 0.75, 0.8, 0.9],
    "down": [0.27, 0.36, 0.46, 0.52, 0.6, 0.77],
    "n_found": [58, 57, 55, 52, 48, 20],
    "false_alarms": [9, 4, 1, 0, 0, 0],
    "rest_s": [400.0, 410.0, 420.0, 1320.0, 425.0, 430.0],
    "false_alarms_per_hour_interval_95": [
        *([20.0, 190.0], [4.0, 130.0], [0.2, 48.0]),
        *([0.0, 30.2], [0.0, 93.0], [0.0, 92.0]),
    ],
    "dispersion": [3.0] * 6,
    "delay_interval_95": [
        [0.2, 0.4],
        [0.25, 0.45],
        [0.39, 0.48],
        [0.4, None],
        [0.5, None],
        [0.9, None],
    ],
    "delay_s": [0.3, 0.35, 0.43, 0.5, 0.6, None],
    "delay_p90_s": [0.6, 0.65, 0.71, 0.8, None, None],
    "n_events": 59,
}


def preset(up, down, n_found, n_false):
    return {"settings": {"up": up, "down": down}, "n_found": n_found, "false_alarms": n_false}


DETECTIONS = {
    "speech": {
        "n_events": 118,
        "calibrated": True,
        "same_data": False,
        "of": "this recording",
        "presets": {
            "few_misses": preset(0.5, 0.27, 58, 9),
            "balanced": preset(0.7, 0.46, 55, 1),
            "few_alarms": preset(0.8, 0.6, 48, 0),
        },
        "curves": {"0": CURVE},
    }
}


def report(answer="yes", score=0.91, **more):
    low, high = (None, None) if answer == "not enough data" else (score - 0.04, score + 0.03)
    return {
        "task": "classification",
        "windows": 2400,
        "windows_invalid": 12,
        "split": {"kind": "blocks", "folds": ["1", "2", "3", "4", "5"], "embargo_s": 6.0},
        "blocks": {"n": 59, "unit": "pairs of stretches"},
        "scores": {"decoder": scores(score, low, high), "clock only": scores(0.5, 0.42, 0.58)},
        "verdict": {"answer": answer, "text": TEXTS[answer], "warnings": []},
        "confusion": {"classes": ["rest", "speech"], "windows": [[900, 100], [80, 920]]},
        "null_distribution": NULL | {"auc": BAND, "balanced_accuracy": BAND},
        "contacts": {"RH6": 0.31, "RH7": 0.25, "RH5": 0.2, "LA3": 0.14, "LA1": 0.1},
        "detections": DETECTIONS,
        **more,
    }


ENCODER = {
    "scores": {
        "decoder": scores(0.91, 0.87, 0.94),
        "linear": scores(0.89, 0.85, 0.92),
        "clock only": scores(0.5, 0.42, 0.58),
    },
    "simplest": {
        "use": "linear",
        "text": "linear is not shown to be worse (AUC difference -0.020 [-0.050, +0.010], 59 pairs "
        "of stretches): use it, it is simpler",
    },
}


def add_decoder(session, mode="linear", detect=None, **made):
    """A bundle of the session, as far as its pages read it."""
    name = session.next_name("decoder")
    folder = session.folder / name
    folder.mkdir()
    (folder / "report.json").write_text(json.dumps(report(**made)))
    (folder / "manifest.json").write_text(json.dumps({"mode": mode, "detect": detect or {}}))
    return name.as_posix()


def add_calibration(session, reasons=()):
    """A calibration, with a block for each reason to leave it out; an empty one is none."""
    path = session.next_name("calib", ".xdf")
    (session.folder / path).write_bytes(b"XDF:")
    if reasons:
        counter = BlockCounter(blocks_file(session.folder / path))
        counter.done = [
            CountedBlock(0.0, 10.0 * at, 10.0 * at + 8, "rest", reason)
            for at, reason in enumerate(reasons)
        ]
        counter.save()
    return path
