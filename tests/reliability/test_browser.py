"""A second opinion: Chromium draws a picture of every kind that it shows, and ours has the same pixels."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from embedder.decoding.decoder import Decoder
from embedder.models.catalog import IMAGENET_PRESET
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels
from tests.embedder import corpus
from tests.embedder.decoding.broken import BESIDE, interlaced
from tests.embedder.pictures import encoded
from tests.parts.browser import browsing
from tests.reliability.decoding import textured

SIDE = 48
"""Pictures are squares of this size, and the preset leaves such as they are."""

DRAW = """
const [files, done] = arguments;
const canvas = document.createElement("canvas");
canvas.width = canvas.height = SIDE;
const context = canvas.getContext("2d", {willReadFrequently: true});
async function draw(data) {
  const image = new Image();
  image.src = "data:;base64," + data;
  try { await image.decode(); } catch (error) { return null; }
  if (image.naturalWidth != SIDE || image.naturalHeight != SIDE) return null;
  context.fillStyle = "white";
  context.fillRect(0, 0, SIDE, SIDE);
  context.drawImage(image, 0, 0);
  return btoa(String.fromCharCode(...context.getImageData(0, 0, SIDE, SIDE).data));
}
(async () => { const drawn = []; for (const file of files) drawn.push(await draw(file)); done(drawn); })();
""".replace("SIDE", str(SIDE))


def smooth(seed: int = 3) -> Image.Image:
    """A picture on which decoders agree: its colours change slowly."""
    return textured(seed, (SIDE // 6, SIDE // 6)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def see_through() -> Image.Image:
    image = smooth().convert("RGBA")
    image.putalpha(smooth(4).convert("L"))
    return image


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[corpus.ORIENTATION] = orientation
    return found


def jpegs() -> Iterator[tuple[str, bytes]]:
    for number in range(1, 9):
        yield f"turned-{number}.jpg", encoded(smooth(), "JPEG", quality=95, exif=exif(number))
    for name in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            data = encoded(smooth(), "JPEG", quality=95, subsampling=name, progressive=progressive)
            yield f"{name}{'-progressive' * progressive}.jpg", data
    yield "grey.jpg", encoded(smooth().convert("L"), "JPEG", quality=95)
    yield "cmyk.jpg", encoded(smooth().convert("CMYK"), "JPEG", quality=95)
    yield "restarts.jpg", encoded(smooth(), "JPEG", quality=95, restart_marker_blocks=1)
    yield "no-end.jpg", encoded(smooth(), "JPEG", quality=95)[:-2]


def pngs() -> Iterator[tuple[str, bytes]]:
    grey = smooth().convert("L")
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = see_through() if mode in ("LA", "RGBA") else smooth()
        yield f"{mode}.png", encoded(image.convert(mode), "PNG")
    yield "grey-colour.png", encoded(grey, "PNG", transparency=128)
    yield "palette-colour.png", encoded(smooth().quantize(16), "PNG", transparency=3)
    yield "palette-alphas.png", encoded(smooth().quantize(16), "PNG", transparency=bytes(range(0, 256, 16)))
    yield "16-bit.png", encoded(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), "PNG")
    yield "16-bit-colour.png", corpus.rgb16_png(np.asarray(smooth()).astype(np.uint16) * 257)
    yield "interlaced.png", interlaced(np.asarray(smooth()))
    yield "animated.png", encoded(smooth(), "PNG", save_all=True, append_images=[smooth(5)])
    for number in range(1, 9):
        yield f"turned-{number}.png", encoded(smooth(), "PNG", exif=exif(number))
    whole = encoded(smooth(), "PNG")
    for damage, chunk in BESIDE.items():
        yield f"{damage}.png", whole[:33] + chunk + whole[33:]


def others() -> Iterator[tuple[str, bytes]]:
    yield "lossy.webp", encoded(smooth(), "WEBP", quality=95)
    yield "lossless.webp", encoded(smooth(), "WEBP", lossless=True)
    yield "alpha.webp", encoded(see_through(), "WEBP", lossless=True, exact=True)
    yield "lossy-alpha.webp", encoded(see_through(), "WEBP", quality=95)
    yield "animated.webp", encoded(smooth(), "WEBP", lossless=True, save_all=True, append_images=[smooth(5)])
    yield "colour.avif", encoded(smooth(), "AVIF", quality=95, subsampling="4:4:4")
    yield "subsampled.avif", encoded(smooth(), "AVIF", quality=95, subsampling="4:2:0")
    yield "alpha.avif", encoded(see_through(), "AVIF", quality=95)
    yield "grey.avif", encoded(smooth().convert("L"), "AVIF", quality=95)
    for number in range(1, 9):
        yield f"turned-{number}.webp", encoded(smooth(), "WEBP", lossless=True, exif=exif(number))
        yield f"turned-{number}.avif", encoded(smooth(), "AVIF", quality=95, exif=exif(number))
    for mode in ("1", "L", "P", "RGB"):
        yield f"{mode}.bmp", encoded(smooth().convert(mode), "BMP")
    yield "plain.gif", encoded(smooth().quantize(32), "GIF", interlace=0)
    yield "interlaced.gif", encoded(smooth().quantize(32), "GIF", interlace=1)
    yield "transparent.gif", encoded(smooth().quantize(32), "GIF", transparency=5)
    yield "animated.gif", encoded(smooth().quantize(32), "GIF", save_all=True, append_images=[smooth(5).quantize(32)])


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, Pixels | None]]:
    """Every file, and what Chromium draws of it on white; None if it shows nothing."""
    files = {**dict(jpegs()), **dict(pngs()), **dict(others())}
    with browsing(tmp_path_factory.mktemp("profile")) as driver:
        driver.get("about:blank")
        driver.set_script_timeout(60)
        found = driver.execute_async_script(DRAW, [base64.b64encode(data).decode() for data in files.values()])
    return {name: (data, pixels_of(each)) for (name, data), each in zip(files.items(), found, strict=True)}


def pixels_of(drawing: str | None) -> Pixels | None:
    """A canvas's numbers, as the page gives them, without its alpha."""
    if drawing is None:
        return None
    return np.frombuffer(base64.b64decode(drawing), np.uint8).reshape(SIDE, SIDE, 4)[..., :3]


WRONG_LENGTH = [name for name in BESIDE if "that states to be" in name]
BAD_FRAMES = ["frames in a wrong order", "a frame beyond the picture", "a frame of three bytes"]
NOT_SHOWN = {f"{name}.png" for name in (*WRONG_LENGTH, *BAD_FRAMES)}
"""What is broken beside the picture and keeps Chromium from it, though not us."""

SHOWN_OTHERWISE = {
    "no-end.jpg": "Chromium leaves out the last rows, for which its decoder waits until it sees the end marker",
    "two animations.png": "Chromium plays the animation, which has no frames",
    **{f"turned-{number}.webp": "Chromium ignores the orientation of a WebP" for number in range(2, 9)},
}

LEVELS = {"alpha.avif": 15, "alpha.webp": 1, "lossy-alpha.webp": 1}
"""How far apart the two are, where they are. Of the AVIF ours is nearer to what went in: 1.2 levels against 3.7."""


@pytest.mark.filterwarnings("ignore:Invalid APNG")
def test_the_pixels_are_those_that_chromium_draws(drawn: dict[str, tuple[bytes, Pixels | None]]) -> None:
    ours = Decoder(replace(IMAGENET_PRESET, resize=SIDE, crop=SIDE), max_pixels=DEFAULT_MAX_PIXELS)
    agreeing, wrong = 0, {}
    for name, (data, theirs) in drawn.items():
        pixels = ours.decode(data).pixels.astype(int)
        if name in NOT_SHOWN or name in SHOWN_OTHERWISE:
            continue
        difference = 255 if theirs is None else int(np.abs(pixels - theirs).max())
        if difference > LEVELS.get(name, 0):
            wrong[name] = difference
        agreeing += difference == 0
    assert wrong == {}
    print(f"{agreeing} of {len(drawn)} are equal to the last bit")
    assert agreeing >= 75
