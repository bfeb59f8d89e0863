"""PNG files whose damage touches no pixel.

A PNG is a row of chunks, each with its length, name and checksum. The picture is in five of them; what
the others say (texts, colour profiles, gamma, resolution, animation) is not used here. Pillow refuses a
file for any of them that it cannot read. So a file that was refused is written anew without them.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from PIL import Image

from embedder.decoding.decoded import Mended

SIGNATURE = b"\x89PNG\r\n\x1a\n"

HEADER_BYTES = 13
"""What IHDR holds."""

PICTURE = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"eXIf"}
"""The chunks that decide what is seen; eXIf has the orientation."""

HARMLESS = {
    *(b"acTL", b"bKGD", b"caBX", b"cHRM", b"cICP", b"cLLI", b"dSIG", b"fcTL", b"fdAT", b"gAMA", b"gIFg", b"gIFt"),
    *(b"gIFx", b"hIST", b"iCCP", b"iTXt", b"mDCV", b"oFFs", b"pCAL", b"pHYs", b"sBIT", b"sCAL", b"sPLT", b"sRGB"),
    *(b"sTER", b"tEXt", b"tIME", b"zTXt"),
}
"""The other chunks that are registered. The animation's are among them: the first picture is in IDAT."""

NAME = re.compile(b"|".join(sorted({*PICTURE, *HARMLESS, b"IEND"})))

ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The passes of an interlaced PNG: the first column and row, and the distances to the next."""

CHANNELS = {2: 3, 4: 2, 6: 4}
"""Numbers a pixel has, by colour type, where there is not one."""

UNPACKED_AT_ONCE = 1 << 20

LONGEST_SEARCH = 1 << 20
"""Bytes in which the end of a chunk with a wrong length is looked for."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk of a file."""

    name: bytes
    body: bytes
    begin: int
    """Where its length stands."""
    end: int
    """Where the next one begins."""
    sound: bool
    """Whether length and checksum are right."""


class _UnclearError(Exception):
    """It cannot be said what belongs to the picture."""


def mended(data: bytes) -> Mended | None:
    """Return the file with the chunks of the picture alone; None if one of these may be damaged."""
    try:
        chunks = list(_chunks(data))
    except _UnclearError:
        return None
    names = [chunk.name for chunk in chunks]
    if names[:1] != [b"IHDR"] or b"IDAT" not in names:
        return None
    parts = [_written(chunk.name, chunk.body) for chunk in chunks if chunk.name in PICTURE - {b"IDAT"}]
    parts += [_written(b"IDAT", chunk.body) for chunk in chunks if chunk.name == b"IDAT"]
    ended = names[-1] == b"IEND"
    only_end = not ended and all(chunk.sound and chunk.name in PICTURE for chunk in chunks)
    notices = ([] if only_end else ["BadChunk"]) + ([] if ended else ["NoEndMarker"])
    return Mended(data=SIGNATURE + b"".join(parts) + _written(b"IEND", b""), notices=tuple(notices))


def has_every_row(data: bytes, image: Image.Image) -> bool:
    """Say whether the packed data fills the picture that Pillow has loaded.

    Pillow leaves the rest black if it does not, and says nothing. Only where the last row is black is the data
    unpacked once more, to count it.
    """
    width, height = image.size
    passes = ADAM7 if image.info.get("interlace") else ((0, 0, 1, 1),)
    last = height - 1 if len(passes) == 1 else (height - 2) | 1
    if last >= 0 and image.crop((0, last, width, last + 1)).tobytes().strip(b"\0"):
        return True
    depth, colours = struct.unpack_from("BB", data, 24)
    row_bits = depth * CHANNELS.get(colours, 1)
    wanted = 0
    for x, y, across, down in passes:
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        wanted += rows * (1 + -(-columns * row_bits // 8)) if columns > 0 < rows else 0
    return _unpacked(data, wanted) >= wanted


def _unpacked(data: bytes, most: int) -> int:
    """How many bytes the image data unpacks to, as far as that is of interest."""
    unpacker, count = zlib.decompressobj(), 0
    with suppress(_UnclearError):  # behind the image data, if Pillow has read that
        for chunk in _chunks(data):
            body = chunk.body if chunk.name == b"IDAT" else b""
            while body and count < most:
                count += len(unpacker.decompress(body, UNPACKED_AT_ONCE))
                body = unpacker.unconsumed_tail
    return count


def has_end(data: bytes) -> bool:
    """Say whether the last chunk is there; at once for a sound file, which ends with it."""
    return data.rfind(b"IEND") >= 0


def _written(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the chunks up to IEND, or to the file's end once there was image data.

    Raises:
        _UnclearError: a chunk that may be part of the picture is damaged.
    """
    at, begun = len(SIGNATURE), False
    while True:
        if len(data) - at < 12:
            if begun:
                return
            raise _UnclearError
        chunk = _chunk(data, at, begun=begun)
        if chunk is None:
            return
        yield chunk
        if chunk.name == b"IEND":
            return
        begun = begun or chunk.name == b"IDAT"
        at = chunk.end


def _chunk(data: bytes, at: int, *, begun: bool) -> Chunk | None:
    """The chunk at a place; None for a harmless one behind the image data that the file's end cuts off."""
    length, name = struct.unpack_from(">I4s", data, at)
    body = data[at + 8 : at + 8 + length]
    end = at + 12 + length
    sound = end <= len(data) and zlib.crc32(body, zlib.crc32(name)) == int.from_bytes(data[end - 4 : end])
    if name == b"IHDR":
        return _header(data, at, Chunk(name, body[:HEADER_BYTES], at, end, sound and length == HEADER_BYTES), sound)
    if sound or name == b"IEND":
        return Chunk(name, body, at, end, sound)
    if name == b"IDAT" and _is_chunk(data, end):
        return Chunk(name, body, at, end, True)  # the packed data has a checksum of its own
    if name == b"eXIf" and _is_chunk(data, end):
        return Chunk(name, body, at, end, False)  # as in a JPEG, whose EXIF has no checksum
    if name not in HARMLESS or _was_transparency(body, data[end - 4 : end]):
        raise _UnclearError
    if _is_chunk(data, end):
        return Chunk(name, body, at, end, False)
    found = _end_of(data, at)
    if found is not None:
        return Chunk(name, data[at + 8 : found - 4], at, found, False)
    if begun and end > len(data) and not NAME.search(data, at + 8):
        return None
    raise _UnclearError


def _header(data: bytes, at: int, chunk: Chunk, sound: bool) -> Chunk:
    """IHDR; one that is too long says what it has to say in its first 13 bytes."""
    if sound and len(chunk.body) == HEADER_BYTES:
        return chunk
    end = at + 12 + HEADER_BYTES
    if zlib.crc32(data[at + 4 : end - 4]) == int.from_bytes(data[end - 4 : end]):
        return Chunk(chunk.name, data[at + 8 : end - 4], at, end, False)
    raise _UnclearError


def _is_chunk(data: bytes, at: int) -> bool:
    """Whether one of a known name begins there, or the file ends."""
    return at == len(data) or NAME.match(data, at + 4) is not None


def _was_transparency(body: bytes, checksum: bytes) -> bool:
    """Whether only the name of a tRNS chunk is damaged."""
    return zlib.crc32(body, zlib.crc32(b"tRNS")) == int.from_bytes(checksum)


def _end_of(data: bytes, at: int) -> int | None:
    """Where a chunk of wrong length ends: before a known name, where its checksum proves it."""
    begin = done = at + 4
    checksum = 0
    for match in NAME.finditer(data, begin + 8, begin + LONGEST_SEARCH):
        end = match.start() - 4  # the next chunk's length stands before its name
        if end - 4 < done:
            continue
        checksum = zlib.crc32(data[done : end - 4], checksum)
        done = end - 4
        if checksum == int.from_bytes(data[end - 4 : end]):
            return end
    return None
