"""What a student took from its guide, as a picture: layers that are alike, variance matched."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from rtbrain.offline.objectives.distillation_held import HeldOut

__all__ = ["draw_guidance"]


def draw_guidance(
    path: Path, held: HeldOut, first: Mapping[str, float | None], *, patch_s: float
) -> None:
    """Draw CKA of all pairs of layers before and after, and variance matched by token.

    Parameters
    ----------
    path : Path
        PNG to write.
    held : HeldOut
        Of held-out items, when training has ended.
    first : mapping
        Figures of the same items when it began, as `HeldOut.figures` names them.
    patch_s : float
        Length of a patch, s.
    """
    from matplotlib.figure import Figure

    n_student, n_guide = held.cka.shape
    before = np.array(
        [
            [first.get(f"cka_student_{s + 1}_guide_{g + 1}") for g in range(n_guide)]
            for s in range(n_student)
        ],
        np.float64,
    )
    figure = Figure(figsize=(10.5, 3.4), layout="constrained")
    panels = figure.subplots(1, 3, width_ratios=(1, 1, 1.8))
    for panel, values, title in (
        (panels[0], before, "CKA before"),
        (panels[1], held.cka, "CKA after"),
    ):
        image = panel.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
        for (s, g), value in np.ndenumerate(values):
            panel.text(g, s, f"{value:.2f}", ha="center", color="w" if value < 0.6 else "k")
        panel.set_xticks(range(n_guide), [str(g + 1) for g in range(n_guide)])
        panel.set_yticks(range(n_student), [str(s + 1) for s in range(n_student)])
        panel.set_xlabel("layer of the guide")
        panel.set_ylabel("layer of the student")
        panel.set_title(title, fontsize=10)
    figure.colorbar(image, ax=panels[:2], shrink=0.8)
    if held.matched.size:
        end_s = patch_s * (np.arange(held.matched.size) + 1 - held.matched.size)
        panels[2].plot(end_s, held.matched, marker=".")
        panels[2].set_ylim(min(0.0, float(held.matched.min())), 1)
        panels[2].set_xlabel("end of the patch, s before the end of the window")
        panels[2].set_title("share of the guide's variance that the student says", fontsize=10)
        panels[2].grid(alpha=0.3)
    else:
        panels[2].set_visible(False)
    figure.savefig(path, dpi=110)
