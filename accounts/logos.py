"""Logos: whatever picture an operator uploads becomes a small PNG of ours.

Promise: only pixels survive. The file is read with bounds on bytes and pixels, scripts and metadata are left behind
(SVG is refused: it is a program), and what is stored is a PNG of at most 256 kB.
"""

import io
import warnings

from PIL import Image, ImageOps

from plumbing.refusals import Refusal

LARGEST_UPLOAD_BYTES = 2_097_152
LARGEST_PIXELS = 16_000_000
LARGEST_PNG_BYTES = 262_144
SIDES_PX = (512, 384, 256, 128, 64)
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")


class LogoRefused(Refusal, ValueError):
    """No logo comes of this file; the sentence says why."""


def png_of(upload: bytes) -> bytes:
    """Our own PNG of this picture, as large as fits."""
    if len(upload) > LARGEST_UPLOAD_BYTES:
        raise LogoRefused("The picture is larger than 2 MB.")
    picture = _pixels(upload)
    for side_px in SIDES_PX:
        shrunk = picture.copy()
        shrunk.thumbnail((side_px, side_px))
        written = io.BytesIO()
        shrunk.save(written, "PNG", optimize=True)
        if written.tell() <= LARGEST_PNG_BYTES:
            return written.getvalue()
    raise LogoRefused("The picture stays too large even when it is shrunk.")


def _pixels(upload: bytes) -> Image.Image:
    try:
        upright = ImageOps.exif_transpose(_opened(upload)).convert("RGBA")
    except LogoRefused:
        raise
    except Exception as error:  # a decoder meets hostile bytes in more ways than it documents
        raise LogoRefused("This is not a PNG, JPEG, WebP or GIF picture that can be read.") from error
    clean = Image.new("RGBA", upright.size)
    clean.paste(upright)  # pixels alone; no profile, no comment, no place
    return clean


def _opened(upload: bytes) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own, lower bound decides
        opened = Image.open(io.BytesIO(upload), formats=FORMATS)
    if opened.width * opened.height > LARGEST_PIXELS:
        raise LogoRefused("The picture has more than 16 million pixels.")
    return opened
