"""A storefront's colours, made safe to read.

Promise: whatever colour an operator picks, text on it and text in it reach a contrast of at least 4.5 : 1 (WCAG AA) on
every surface our pages have, in both themes. Pure arithmetic: colours in, custom properties out.
"""

from dataclasses import dataclass

Rgb = tuple[int, int, int]

AA_TEXT = 4.5
WHITE: Rgb = (255, 255, 255)
NEARLY_BLACK: Rgb = (11, 15, 20)
BLACK: Rgb = (0, 0, 0)
STEPS = 100
TINT = 0.10


@dataclass(frozen=True, slots=True)
class Ground:
    """What lies under text in one theme; ``static/tollgate.css`` uses the same colours."""

    surfaces: tuple[Rgb, ...]
    pull: Rgb  # where a colour is pulled to until it can be read


LIGHT = Ground(surfaces=((255, 255, 255), (246, 247, 248), (238, 240, 242)), pull=BLACK)
DARK = Ground(surfaces=((21, 25, 31), (13, 16, 20), (30, 35, 42)), pull=WHITE)


@dataclass(frozen=True, slots=True)
class Palette:
    """One theme's colours as ``#rrggbb``."""

    fill: str  # buttons and marks
    fill_hover: str
    on_fill: str  # text on them
    ink: str  # links and accents as text
    tint: str  # a quiet ground in the brand's hue; ``ink`` is readable on it


def parse(color: str) -> Rgb:
    """``#0f766e`` as three numbers."""
    digits = color.removeprefix("#")
    return (int(digits[0:2], 16), int(digits[2:4], 16), int(digits[4:6], 16))


def hexadecimal(color: Rgb) -> str:
    """Three numbers as ``#0f766e``."""
    return "#{:02x}{:02x}{:02x}".format(*color)


def mix(color: Rgb, other: Rgb, share: float) -> Rgb:
    """The first colour with this share of the second."""
    red, green, blue = (round(one + (two - one) * share) for one, two in zip(color, other, strict=True))
    return (red, green, blue)


def luminance(color: Rgb) -> float:
    """Relative luminance as WCAG defines it."""
    linear = [
        (channel / 255) / 12.92 if channel / 255 <= 0.04045 else ((channel / 255 + 0.055) / 1.055) ** 2.4
        for channel in color
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Rgb, other: Rgb) -> float:
    """Between 1 (the same) and 21 (black on white)."""
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def text_on(fill: Rgb) -> Rgb:
    """White where it can be read, else nearly black, else black; one of them always can."""
    readable = [text for text in (WHITE, NEARLY_BLACK, BLACK) if contrast(text, fill) >= AA_TEXT]
    return readable[0]


def readable(color: Rgb, grounds: tuple[Rgb, ...], pull: Rgb) -> Rgb:
    """The colour, pulled just far enough that it can be read on every ground."""
    for step in range(STEPS + 1):
        pulled = mix(color, pull, step / STEPS)
        if all(contrast(pulled, ground) >= AA_TEXT for ground in grounds):
            return pulled
    return pull


def palette(color: str, ground: Ground) -> Palette:
    """Everything one theme needs from one brand colour."""
    fill = parse(color)
    on_fill = text_on(fill)
    hover = mix(fill, BLACK if on_fill == WHITE else WHITE, 0.12)
    tint = mix(ground.surfaces[0], fill, TINT)
    return Palette(
        fill=hexadecimal(fill),
        fill_hover=hexadecimal(hover),
        on_fill=hexadecimal(on_fill),
        ink=hexadecimal(readable(fill, (*ground.surfaces, tint), ground.pull)),
        tint=hexadecimal(tint),
    )


def stylesheet(*, light: str, dark: str) -> str:
    """``/brand.css``: the two palettes as custom properties that ``static/tollgate.css`` reads."""
    lines = []
    for selector, colors in (
        (":root", palette(light, LIGHT)),
        ("[data-bs-theme=dark]", palette(dark, DARK)),
    ):
        lines.append(
            f"{selector}{{--brand:{colors.fill};--brand-hover:{colors.fill_hover};--brand-on:{colors.on_fill};"
            f"--brand-ink:{colors.ink};--brand-tint:{colors.tint}}}"
        )
    return "\n".join(lines) + "\n"


def mark(color: str) -> str:
    """The shop's mark as SVG: a toll gate with its arm raised, on the brand's colour."""
    on_fill = hexadecimal(text_on(parse(color)))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">'
        f'<rect width="32" height="32" rx="8" fill="{color}"/>'
        f'<g fill="none" stroke="{on_fill}" stroke-width="3.2">'
        '<path d="M9.5 25.5V12" stroke-linecap="round"/><path d="M9.5 17.2 27 6.8" stroke-dasharray="5.2 1.7"/>'
        '<path d="M6 25.5h7" stroke-linecap="round"/></g></svg>'
    )
