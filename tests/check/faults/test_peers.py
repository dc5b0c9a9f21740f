"""What rtbrain says of other clients, observed: the day that one of them mends it, this fails."""

import pytest

from rtbrain.check.faults import peers

pytestmark = [pytest.mark.lsl, pytest.mark.filterwarnings("ignore")]  # the peers' own warnings


def test_peers_go_wrong_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "GONE_S", 1.0)
    monkeypatch.setattr(peers, "STALL_S", 3.0)
    observed = {(row.peer.split(".")[0], row.number): row for row in peers.observe()}
    silent = {key for key, row in observed.items() if row.silent}
    # MNE-LSL acquires the newest samples after a stall; liblsl serves the oldest.
    assert silent == {(peer, number) for peer in ("pylsl", "mne_lsl") for number in (1, 2)} | {
        ("pylsl", 6),
        ("mne_lsl", 9),
    }
    assert "its header still says 500 Hz, first label A1" in observed["pylsl", 2].observed
    assert "at 250 Hz" in observed["pylsl", 2].observed
    assert "sent were 250 Hz" in observed["mne_lsl", 2].observed
    assert "4 of 4 do" in observed["mne_lsl", 9].observed
