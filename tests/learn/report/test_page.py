"""The page of a report says first what is claimed, shows texts as texts, and needs nothing else."""

import copy
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

import rtbrain
from rtbrain.learn.fit.decoder import FittedDecoder
from rtbrain.learn.nulls import PERMUTED, REDRAWN, SHIFTED
from rtbrain.learn.report.page import fit_page
from rtbrain.learn.report.score_table import EARLIER
from tests.apps.program import rtbrain as run

PICTURES = {"roc.png": b"\x89PNG roc", "other.png": b"\x89PNG other"}


class Parsed(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.sources: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.sources += [value or "" for key, value in attrs if key in {"src", "href"}]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


@pytest.fixture(scope="module")
def decoder() -> FittedDecoder:
    return rtbrain.fit(
        "synthetic:3,duration_s=60,n_channels=6",
        sfreq_hz=2048,
        classes=["rest", "speech"],
        n_folds=2,
        n_permutations=9,
        front_end="recipe",
    )


def test_the_verdict_is_the_same_text_in_report_table_api_and_page(
    decoder: FittedDecoder, tmp_path: Path
) -> None:
    verdict = decoder.report["verdict"]
    assert verdict["answer"] == "not enough data"
    text = verdict["text"]
    # A minute holds 7 pairs of stretches; ten are needed, and so it is said.
    assert text.startswith(f"Not enough data: {decoder.report['blocks']['n']} pairs of stretches")
    assert decoder.verdict.split("\n")[0] == text
    assert text.split(".")[0] in " ".join(repr(decoder.scores).split())
    page = Parsed((decoder.save(tmp_path / "bundle") / "report.html").read_text())
    assert text in page.words
    before, after = page.words.split(text)
    assert "What was measured, without a claim" in after
    assert len(before.split()) < 20 + before.count("{") * 20, "nothing stands before the verdict"
    assert rtbrain.load(tmp_path / "bundle").verdict == decoder.verdict


def test_every_report_has_rows_of_time_alone_shifted_labels_and_random_weights(
    decoder: FittedDecoder,
) -> None:
    words = Parsed(fit_page(decoder.bundle, {})).words
    for row in ("decoder", "clock only", "random init", "labels shifted"):
        assert row in words
        assert row in decoder.scores
    assert (
        decoder.report["clock"]["score"] == decoder.report["scores"]["clock only"]["pooled"]["auc"]
    )
    null = decoder.report["null_distribution"]
    assert null["n"] == 9
    assert f"9 shifts, about {null['n_effective']:.0f} independent" in words
    assert "±" not in words + repr(decoder.scores)


@pytest.mark.parametrize(
    ("how", "clock", "row", "doubt"),
    [
        (SHIFTED, {"p": 0.5, "order": 0.0}, "the larger of two tests", ""),
        (SHIFTED, {"p": 0.005, "order": 0.0}, "the larger of two tests", "the order of the labels"),
        (PERMUTED, {"p": 0.5, "order": 0.0}, "does not see drift between clips", "one clip to the"),
        (REDRAWN, {"p": 0.5, "order": 0.2}, "exact whatever drifts", "the order of the labels"),
    ],
)
def test_a_page_claims_no_more_than_its_controls_can_say(
    decoder: FittedDecoder, how: str, clock: dict[str, float], row: str, doubt: str
) -> None:
    report = copy.deepcopy(decoder.report)
    report["verdict"]["answer"] = "yes"
    report["null_distribution"]["how"] = how
    report["clock"] |= clock
    words = Parsed(fit_page(replace(decoder.bundle, report=report), {})).words
    assert ("beyond what time, slow drift" in words) == (not doubt)
    assert ("That it decodes the labels and not" in words) == bool(doubt)
    assert doubt in words
    assert row in words
    assert ("larger of two tests" in words) == (how == SHIFTED)


def test_a_page_is_whole_without_scripts_or_the_network_and_shows_texts_as_texts(
    decoder: FittedDecoder,
) -> None:
    bad = "<script>alert(1)</script>&\x1b[31m"
    report = copy.deepcopy(decoder.report)
    report["warnings"] = [bad]
    report["encoder"] = bad
    bundle = replace(decoder.bundle, report=report)
    page = Parsed(fit_page(bundle, PICTURES))
    assert not page.open
    assert not {"script", "link", "iframe", "a"} & set(page.tags)
    assert len(page.sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert page.words.count("<script>alert(1)</script>&") == 2
    assert "\x1b" not in page.words


def test_a_bundle_of_an_earlier_version_decodes_and_says_that_its_report_is_earlier(
    decoder: FittedDecoder, tmp_path: Path
) -> None:
    scores = {
        name: {
            "pooled": {"balanced_accuracy": None, "auc": 0.875},
            "pooled_interval_95": {"balanced_accuracy": [0.7, 0.9], "auc": [0.8, 0.9]},
            "by_fold": {key: {"mean": 0.8, "std": 0.1} for key in ("balanced_accuracy", "auc")},
        }
        for name in ("decoder", "STFT")
    }
    kept = ("task", "encoder", "labels", "windows", "windows_invalid", "split", "lag")
    null = {"interval_95": [0.3, 0.7], "p": 0.1, "n_permutations": 9}
    report = {key: decoder.report[key] for key in kept} | {
        "scores": scores,
        "null_distribution": {"balanced_accuracy": null, "auc": null},
    }
    written = replace(decoder, bundle=replace(decoder.bundle, report=report))
    earlier = rtbrain.load(written.save(tmp_path / "first"))
    assert earlier.verdict == EARLIER
    assert earlier.scores["STFT"]["auc"] == 0.875
    assert "0.875" in repr(earlier.scores)
    assert earlier.decode("synthetic:3,duration_s=2,n_channels=6", sfreq_hz=2048).valid.any()
    again = earlier.save(tmp_path / "again")
    shown = " ".join(run("inspect", again).stdout.split())
    assert "balanced accuracy –, auc 0.875" in shown
    assert "is of an earlier version" in shown
    assert "Decodes describe" in shown
