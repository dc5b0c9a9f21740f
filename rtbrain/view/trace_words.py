"""What the panel of traces says in words: why the signal is not live, and what is seen of it."""

from rtbrain.view.session import Feed
from rtbrain.view.trace_scene import Scene

__all__ = ["what_is_seen", "why_stale"]


def why_stale(feed: Feed, found: bool, t_newest: float | None, now: float) -> str:
    """Why the signal is not live; empty where it is.

    Parameters
    ----------
    feed : Feed
        Of the signal.
    found : bool
        Whether it was ever there.
    t_newest : float or None
        Time of its newest sample, s, LSL clock.
    now : float
        LSL clock, s.
    """
    if not found:
        asked = f": {feed.name}" if feed.name else ""
        doing = "connecting" if feed.state == "connecting" else "waiting for a signal"
        return f"{doing}{asked}"
    if feed.state == "live":
        return ""
    if t_newest is None:
        return f"signal {feed.state}"
    return f"signal {feed.state}: newest sample {max(0.0, now - t_newest):.0f} s ago"


def what_is_seen(scene: Scene) -> str:
    """Which contacts are seen, on which scale of time, and how many of all are bad."""
    if scene.lanes is None:
        return ""
    said = ["1 s a division"]
    n_all = len(scene.lanes.rows)
    if scene.n_lanes < n_all:
        said.insert(0, f"contacts {scene.seen.start + 1}-{scene.seen.stop} of {n_all} (PgUp, PgDn)")
    if scene.bad:
        said.append(f"{len(scene.bad)} bad" + (" in all" if scene.n_lanes < n_all else ""))
    return ", ".join(said)
