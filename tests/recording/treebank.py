"""A Brain Treebank subject on disk, with a film whose words and triggers the test chooses."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np

LABELS = ("*LT1a1", "LT1a2", "#LT1a3", "LT_1a4", "DC1")


def write_table(path: Path, names, rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *rows])


def write_json(path: Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_trial(
    root: Path, data, triggers, words, *, labels=LABELS, in_root=False, columns=()
) -> Path:
    """Write all files of sub_3, trial 1; words are rows (text, start, end, *columns)."""
    folder = root if in_root else root / "all_subject_data"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "sub_3_trial001.h5"
    with h5py.File(path, "w") as file:
        for number, row in enumerate(data):
            file[f"data/electrode_{number}"] = np.asarray(row)
    write_json(root / "electrode_labels/sub_3/electrode_labels.json", list(labels))
    places = [[label, 70 + n, 110, 96.5] for n, label in enumerate(labels[:4])]
    write_table(root / "localization/sub_3/depth-wm.csv", ["Electrode", "L", "I", "P"], places)
    rows = [["trigger", *row] for row in triggers]
    timings = root / "subject_timings/sub_3_trial001_timings.csv"
    write_table(timings, ["type", "movie_time", "index"], rows)
    write_json(root / "subject_metadata/sub_3_trial001_metadata.json", {"filename": "a-film"})
    names = ["", "text", "start", "end", *columns]
    numbered = [[n, *word] for n, word in enumerate(words)]
    write_table(root / "transcripts/a-film/features.csv", names, numbered)
    return path
