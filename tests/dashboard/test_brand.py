import re

from django.conf import settings
from hypothesis import given
from hypothesis import strategies as st

from dashboard import brand

COLORS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@given(COLORS, st.sampled_from([brand.LIGHT, brand.DARK]))
def test_every_colour_can_be_read(color, ground):
    colors = brand.palette(color, ground)
    assert brand.contrast(brand.parse(colors.on_fill), brand.parse(colors.fill)) >= 4.5
    for surface in (*ground.surfaces, brand.parse(colors.tint)):
        assert brand.contrast(brand.parse(colors.ink), surface) >= 4.5


@given(COLORS)
def test_a_hovered_button_is_no_harder_to_read(color):
    colors = brand.palette(color, brand.LIGHT)
    at_rest = brand.contrast(brand.parse(colors.on_fill), brand.parse(colors.fill))
    assert brand.contrast(brand.parse(colors.on_fill), brand.parse(colors.fill_hover)) >= at_rest - 0.01


def test_contrast_is_the_one_of_wcag():
    assert brand.contrast((0, 0, 0), (255, 255, 255)) == 21
    assert round(brand.contrast((118, 118, 118), (255, 255, 255)), 2) == 4.54


def test_the_grounds_are_those_of_the_stylesheet():
    text = (settings.BASE_DIR / "static" / "tollgate.css").read_text()
    for name, place in (("surface", 0), ("ground", 1), ("sunken", 2)):
        pair = re.search(rf"--{name}: light-dark\((#\w+), (#\w+)\)", text)
        assert pair
        assert brand.parse(pair[1]) == brand.LIGHT.surfaces[place]
        assert brand.parse(pair[2]) == brand.DARK.surfaces[place]
