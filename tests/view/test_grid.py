"""Everything has its place in the window, at every size; nothing overlaps or lies outside."""

import itertools

import pytest
from PySide6.QtCore import QRect

from rtbrain.view.grid import MENU_PX, PANELS, place_panels

SIZES = [(1024, 700), (1280, 800), (1920, 1080), (2560, 1440), (3840, 2160)]


def placed(size, scale=1.0, **options):
    width, height = size
    options = {"strip": False} | options
    return place_panels(
        width, height - round(scale * MENU_PX), lambda n: round(n * scale), **options
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1.0, 1.25, 1.5])
@pytest.mark.parametrize("strip", [False, True])
def test_panels_fill_the_window_and_none_overlaps(size, scale, strip):
    places = placed(size, scale, strip=strip)
    area = QRect(0, 0, size[0], size[1] - round(scale * MENU_PX))
    assert set(places) >= {"status", *PANELS}
    if "tabs" in places:
        assert places.pop("spectrum") == places["contacts"]
    for place in places.values():
        assert area.contains(place)
        assert min(place.width(), place.height()) > 0
    for one, other in itertools.combinations(places.values(), 2):
        assert not one.intersects(other)


def test_the_places_are_those_of_the_design():
    places = placed((1280, 800), strip=True)
    top = {name: (box.x(), box.y() + MENU_PX, box.width()) for name, box in places.items()}
    assert top["status"] == (0, 26, 1280)
    assert top["strip"] == (0, 70, 1280)
    assert top["decode"] == (8, 98, 952)
    assert top["now"] == (968, 98, 304)
    assert top["signal"] == (8, 298, 952)
    assert places["decode"].height() == places["now"].height() == 192
    assert places["signal"].bottom() + MENU_PX == 791
    wide = placed((1920, 1080))
    assert (wide["now"].width(), wide["now"].height()) == (420, 264)
    assert placed((1280, 750))["decode"].height() == 184
    assert placed((1280, 720))["decode"].height() == 176


def test_the_strip_alone_moves_the_panels():
    without, with_strip = placed((1280, 800)), placed((1280, 800), strip=True)
    assert with_strip["decode"] == without["decode"].translated(0, 20)
    assert with_strip["signal"].bottom() == without["signal"].bottom()


def test_a_narrow_window_shows_spectrum_and_contacts_in_one_place():
    assert "tabs" in placed((1024, 700))
    assert "tabs" not in placed((1280, 800))
    assert "tabs" not in placed((1024, 700), hidden={"spectrum"})


def test_hidden_panels_leave_their_room_to_the_others():
    places = placed((1280, 800), hidden={"now", "spectrum", "contacts"})
    assert places["signal"].width() == 1280 - 16
    assert placed((1280, 800), hidden={"decode", "now"})["signal"].y() == 52
