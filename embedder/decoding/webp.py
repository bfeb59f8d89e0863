"""WebP files whose damage touches no pixel: a wrong length in the first line, or metadata that is cut off."""

from __future__ import annotations

import struct

from embedder.decoding.decoded import Mended

PICTURE = {b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF"}
"""The chunks that decide what is seen."""

FIRST_CHUNK = 12
"""Behind `RIFF`, the length, and `WEBP`."""


def mended(data: bytes) -> Mended | None:
    """Return the file with the length that its chunks add up to; None where that does not help."""
    at, picture = FIRST_CHUNK, False
    while at + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, at)
        if not name.isascii() or at + 8 + size > len(data):
            break
        picture = picture or name in (b"VP8 ", b"VP8L", b"ANMF")
        at += 8 + size + size % 2
    if not picture or data[at : at + 4] in PICTURE:  # which the file's end cuts off
        return None
    body = data[FIRST_CHUNK - 4 : at].ljust(at - 8, b"\0")
    return Mended(data=b"RIFF" + struct.pack("<I", len(body)) + body, notices=("WrongLength",))
