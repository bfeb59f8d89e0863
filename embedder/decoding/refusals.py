"""What a file is that Pillow does not open: a name and a sentence for its failure."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from PIL import TiffImagePlugin

from embedder.decoding import heif, segments
from embedder.errors import ImageError

Namer = Callable[[bytes], ImageError]

HEAD = 4096
"""Bytes of a file that are looked at, to say what it is."""


def _corrupt(what: str) -> ImageError:
    return ImageError("Corrupt", what)


def _unsupported(what: str) -> ImageError:
    return ImageError("Unsupported", what)


JPEG_SIDE = 65_500
"""The limit of libjpeg."""


def _jpeg(data: bytes) -> ImageError:
    structure = segments.structure_of(data)
    frame = structure.frame if structure else None
    if frame is None:
        return _corrupt("a JPEG whose header is cut off or damaged")
    if frame.body[0] != 8:
        return _unsupported(f"a JPEG with {frame.body[0]} bits a sample: convert it to 8")
    if frame.marker not in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
        return _unsupported("a lossless or hierarchical JPEG: convert it to a baseline one")
    if frame.body[5] not in (1, 3, 4):
        return _unsupported(f"a JPEG with {frame.body[5]} components a pixel: convert it to RGB")
    height, width = int.from_bytes(frame.body[1:3]), int.from_bytes(frame.body[3:5])
    if max(width, height) > JPEG_SIDE:
        return ImageError("TooManyPixels", f"{width} x {height}: a JPEG's side has {JPEG_SIDE:,} pixels at the most")
    if not height:
        return _corrupt("a JPEG that states its height neither in its header nor behind its first scan")
    return _corrupt("a JPEG whose header is damaged")


BMP_COMPRESSIONS = {0: "none", 1: "RLE8", 2: "RLE4", 3: "bit fields", 4: "JPEG", 5: "PNG", 6: "bit fields with alpha"}


def _bmp(data: bytes) -> ImageError:
    size = int.from_bytes(data[14:18], "little")
    if len(data) < 14 + max(12, min(size, 124)):
        return _corrupt("a BMP whose header is cut off")
    if size not in (12, 40, 52, 56, 64, 108, 124):
        return _unsupported(f"a BMP with a header of {size} bytes, which is of no known kind: save it anew")
    short = size == 12
    bits = int.from_bytes(data[24:26] if short else data[28:30], "little")
    packed = 0 if short else int.from_bytes(data[30:34], "little")
    how = BMP_COMPRESSIONS.get(packed, f"number {packed}")
    return _unsupported(f"a BMP with {bits} bits a pixel and the compression {how}: save it with 24 bits, uncompressed")


TIFF_KINDS = {1: "numbers", 2: "signed numbers", 3: "floats", 5: "complex numbers", 6: "complex numbers"}
TIFF_COMPRESSIONS = {
    34661: "JBIG",
    34712: "JPEG 2000",
    34887: "LERC",
    34892: "lossy JPEG",
    50001: "WebP",
    50002: "JPEG XL",
    52546: "JPEG XL",
}
COUNTS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")


def _tiff(data: bytes) -> ImageError:
    try:
        tags = _directory(data)
        bits, kind = _first(tags.get(258, 1)), _first(tags.get(339, 1))
        samples, packed = int(_first(tags.get(277, 1))), int(_first(tags.get(259, 1)))
    except Exception:  # whatever the bytes made Pillow's parser do
        return _corrupt("a TIFF whose directory is cut off or damaged")
    if 256 not in tags or 257 not in tags:
        return _corrupt("a TIFF whose directory does not state its width and height")
    count = COUNTS[samples] if samples < len(COUNTS) else str(samples)
    numbers = TIFF_KINDS.get(kind, "numbers")
    text = f"a TIFF with {count} {bits}-bit {numbers[:-1] if samples == 1 else numbers} a pixel"
    if packed not in TiffImagePlugin.COMPRESSION_INFO or packed in TIFF_COMPRESSIONS:
        text += f", compressed by {TIFF_COMPRESSIONS.get(packed, f'method {packed}')}"
    if tags.get(284) == 2 and samples > 1:
        text += ", stored plane by plane"
    return _unsupported(f"{text}: convert it to RGB with 8 bits")


def _directory(data: bytes) -> TiffImagePlugin.ImageFileDirectory_v2:
    file = io.BytesIO(data)
    found = TiffImagePlugin.ImageFileDirectory_v2(file.read(16 if data[2] == 43 or data[3] == 43 else 8))
    file.seek(found.next)
    found.load(file)
    return found


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _html(data: bytes) -> ImageError:
    title = re.search(rb"<title[^>]*>\s*([^<]{1,80}?)\s*<", data[:HEAD], re.IGNORECASE)
    return _no_image("an HTML page" + (f", {_text(title[1])!r}" if title else ""))


def _xml(data: bytes) -> ImageError:
    if re.search(rb"<svg[\s>]", data[:HEAD]):
        return _unsupported("an SVG drawing, which has no pixels: render it, as PNG for example")
    code = re.search(rb"<Code>(\w{1,60})</Code>", data[:HEAD])
    return _no_image(f"an answer of S3 that says {_text(code[1])}" if code else "an XML document")


BOXED_PIXELS, BOXED_SIDE = 1 << 28, 1 << 15
"""The limits of libavif, which Pillow leaves as they are; those of libheif are wider."""


def _container(data: bytes) -> ImageError:
    """A file that says what is in it by a brand, as MP4 does and all that came of it."""
    brands = data[8:12], *(data[at : at + 4] for at in range(16, min(int.from_bytes(data[:4]), 256), 4))
    avif = any(brand in (b"avif", b"avis") for brand in brands)
    if avif or any(brand[:3] in (b"hei", b"hev") or brand in (b"mif1", b"msf1") for brand in brands):
        what = "an AVIF" if avif else "an HEIC picture"
        if not avif and not heif.is_installed():
            return _unsupported(f"{what}: install pillow-heif (pip install 'embedder[heif]') or convert it")
        width, height = stated_size(data) or (0, 0)
        if width * height > BOXED_PIXELS or max(width, height) > BOXED_SIDE:
            return ImageError("TooManyPixels", f"{what} of {width} x {height}, which is more than its decoder allows")
        return _corrupt(f"{what} whose boxes are cut off or damaged, or packed in a way that is not read")
    if brands[0][:3] in (b"cr3", b"crx"):
        return _unsupported("a camera's raw picture (CR3): develop it, as JPEG for example")
    return _no_image("a video (MP4 or QuickTime)")


def _no_image(what: str) -> ImageError:
    return ImageError("NotAnImage", f"not an image: {what}")


def _text(found: bytes) -> str:
    return " ".join(found.decode("utf-8", "replace").split())


def _always(error: str, what: str) -> Namer:
    return lambda _: ImageError(error, what)


def _is(what: str) -> Namer:
    return lambda _: _no_image(what)


def _damaged(what: str) -> Namer:
    return _always("Corrupt", f"{what} whose header is cut off or damaged")


def _picture(what: str) -> Namer:
    return _always("Unsupported", f"{what}, a format that is not read: convert it to PNG or JPEG")


KINDS: tuple[tuple[str, Namer], ...] = (
    (r"\xff\xd8", _jpeg),
    (r"\x89PNG\r\n\x1a\n", _damaged("a PNG")),
    (r"GIF8[79]a", _damaged("a GIF")),
    (r"RIFF....WEBP", _damaged("a WebP")),
    (r"BM.{4}....", _bmp),
    (r"II[*+]\0|MM\0[*+]", _tiff),
    (r"....ftyp", _container),
    (r"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n", _picture("JPEG XL")),
    (r"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", _picture("JPEG 2000")),
    (r"8BPS", _picture("a Photoshop document")),
    (r"\0\0[\x01\x02]\0[^\0]\0", _picture("a Windows icon")),
    (r"P[1-7][\s#]", _picture("a PNM picture")),
    (r"%!PS|\xc5\xd0\xd3\xc6", _picture("a PostScript drawing")),
    (r"gimp xcf", _picture("a GIMP document")),
    (r"qoif", _picture("QOI")),
    (r"v/1\x01|\#\?RADIANCE", _picture("a high dynamic range picture")),
    (r".{128}DICM", _picture("a DICOM picture")),
    (r"%PDF-", _is("a PDF document")),
    (r"\x1aE\xdf\xa3", _is("a video (Matroska or WebM)")),
    (r"RIFF....AVI |\0\0\x01[\xb3\xba]|FLV\x01", _is("a video")),
    (r"PK\x03\x04|PK\x05\x06", _is("a ZIP archive or an office document")),
    (r"\x1f\x8b", _is("compressed data (gzip)")),
    (r"\0\x05\x16\x07", _is("what a Mac keeps beside a file (AppleDouble), and not the file")),
    (r"version https://git-lfs", _is("a pointer of Git LFS, and not the file: git lfs pull brings it")),
    (r"(?i:\s*(?:<!--.{0,500}?-->\s*)*<(?:!doctype\s+html|html|head|body)\b)", _html),
    (r"\s*<(?:\?xml|Error\b|svg\b|!DOCTYPE|!--)", _xml),
    (r"\s*(?:\{\s*(?:\"|\})|\[\s*[\[\]{\"\d-])", _is("JSON")),
    (r"\0{64}", _is("it begins with zeros, as a file that was never written")),
)
"""Patterns of a file's first bytes, each with the function that names the kind of file."""

PATTERNS = [(re.compile(pattern.encode("latin-1"), re.DOTALL), name) for pattern, name in KINDS]


def refusal(data: bytes) -> ImageError:
    """Say what a file is that could not be opened."""
    head = data[: HEAD + 4].removeprefix(b"\xef\xbb\xbf")
    for pattern, name in PATTERNS:
        if pattern.match(head):
            return name(data)
    if data[:64].isascii() and data[:64].decode().isprintable():
        return _no_image(f"it begins with the text {data[:24].decode()!r}")
    return _no_image(f"it begins with the bytes {data[:8].hex(' ')}, which are of no format known here")


def stated_size(data: bytes) -> tuple[int, int] | None:
    """The largest width and height that the properties of an AVIF or HEIC state, which its decoder may not tell."""
    sizes = [
        (int.from_bytes(found[1]), int.from_bytes(found[2]))
        for found in re.finditer(rb"\0\0\0\x14ispe\0{4}(.{4})(.{4})", data[: 1 << 16], re.DOTALL)
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


STARTS = {
    b"\xff\xd8": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"RIFF": "WebP",
    b"BM": "BMP",
    b"II": "TIFF",
    b"MM": "TIFF",
}


def unreadable(data: bytes, error: Exception) -> ImageError:
    """Say what is wrong with a file that was opened and could not be decoded."""
    text = str(error).strip().rstrip(".")
    if data.startswith(segments.SOI) or text.startswith("Unsupported"):
        named = refusal(data)
        if named.error != "Corrupt":
            return named
    what = next((name for start, name in STARTS.items() if data.startswith(start)), "picture")
    # What a parser says when it runs out of bytes is for programmers.
    told = f": {text}" if isinstance(error, OSError | SyntaxError) and text else ""
    return _corrupt(f"the {what} is damaged or cut off{told}")
