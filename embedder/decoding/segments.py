"""JPEG files whose damage touches no pixel.

A JPEG begins with segments, each with its name and length: tables, the frame's size, and what programs
want to say besides. Then comes the packed data, in one scan or several, and an end marker. A file that was
refused is written anew with the segments that the picture needs, and with an end marker. Whether its data
is whole is then libjpeg's to say: it warns where a single bit is missing.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from embedder.decoding.decoded import Mended

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
DHT, JPG, DAC, SOS, DQT, DNL, DRI, APP0, APP1, APP14, COM = (
    *(0xC4, 0xC8, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xE0, 0xE1, 0xEE, 0xFE),
)
FRAMES = set(range(0xC0, 0xD0)) - {DHT, JPG, DAC}
ARITHMETIC = {marker for marker in FRAMES if marker > JPG}
PICTURE = {*FRAMES, DHT, DAC, SOS, DQT, DRI}
"""The segments that libjpeg needs."""

NAMES = {*PICTURE, DNL, COM, *range(0xE0, 0xF0)}
"""The segments that may stand before the data."""

BEGIN = re.compile(rb"\xff[" + b"".join(re.escape(bytes([name])) for name in sorted(NAMES)) + rb"]")

END_OF_SCAN = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")
"""In packed data FF is followed by 00, or by the number of a restart."""

LONGEST = 2 + 0xFFFF
"""Bytes of a segment at the most."""

JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a file."""

    marker: int
    begin: int
    """Where its body begins in the file."""
    end: int
    """Where the next one ought to begin."""
    body: bytes

    def as_bytes(self) -> bytes:
        body = self.body[: 0xFFFF - 2]
        return struct.pack(">BBH", 0xFF, self.marker, len(body) + 2) + body


@dataclass(slots=True)
class Structure:
    """What a JPEG consists of."""

    header: list[Segment]
    """Everything up to the first scan's segment, which is the last of them."""
    damaged: bool
    """Whether anything in the header is where it does not belong."""
    scans: list[bytes]
    """The bodies of all scans' segments."""
    ended: bool
    """Whether there is an end marker."""
    cut: int | None
    """Where a segment behind the header begins that the file's end cuts off."""
    height: int | None
    """What stands in a segment behind the first scan (DNL), for a frame that says 0."""

    @property
    def frame(self) -> Segment | None:
        frames = [segment for segment in self.header if segment.marker in FRAMES]
        return frames[0] if len(frames) == 1 and len(frames[0].body) >= 9 else None


def mended(data: bytes) -> Mended | None:
    """Return the file with what the picture needs; None if it is unclear what that is, or some is missing."""
    structure = structure_of(data)
    frame = structure.frame if structure else None
    if structure is None or frame is None:
        return None
    stated = int.from_bytes(frame.body[1:3])
    if not stated and not structure.height:
        return None
    if not structure.ended and not _is_complete(frame, structure.scans):
        return None
    file = _written(data, structure, structure.height)
    notices = ["BadSegment"] if structure.damaged else []
    if not structure.ended:
        notices.append("NoEndMarker")
    if not notices and stated:
        notices = ["BadSegment"]  # no damage was seen, so a segment that was left out could not be read
    return Mended(data=file, notices=tuple(notices))


def remains(data: bytes) -> bytes:
    """Return the file up to the segment that its end cuts off, if it does, with an end marker."""
    structure = structure_of(data)
    return _written(data, structure, structure.height) if structure else data


def first_rows(data: bytes) -> bytes | None:
    """Return the file as if the picture ended with its first row of blocks; None where that cannot be said."""
    structure = structure_of(data)
    frame = structure.frame if structure else None
    if structure is None or frame is None:
        return None
    blocks = max((factors & 15 for factors in frame.body[7::3]), default=1)
    return _written(data, structure, 8 * blocks, always=True)


def _written(data: bytes, structure: Structure, height: int | None, *, always: bool = False) -> bytes:
    """The file as libjpeg needs it, with a height for a frame that says 0, or for any."""
    header = [_needed(segment, height, always=always) for segment in structure.header]
    rest = data[structure.header[-1].end : structure.cut]
    return b"".join([SOI, *header, rest, b"" if structure.ended else EOI])


def structure_of(data: bytes) -> Structure | None:
    """Take a file apart; None if no scan is found where one has to be."""
    header, damaged = [], False
    for found in _header(data):
        if found is None:
            damaged = True
        else:
            header.append(found)
    if not header or header[-1].marker != SOS:
        return None
    scans, ended, cut, height = [header[-1].body], False, None, None
    at = header[-1].end
    while match := END_OF_SCAN.search(data, at):
        marker = data[match.end() - 1]
        if marker == EOI[1]:
            ended = True
            break
        segment = _segment(data, match.start())
        if segment is None and marker in PICTURE:
            cut = match.start()
            break
        if segment is None:
            at = match.end()
            continue
        if marker == SOS:
            scans.append(segment.body)
        elif marker == DNL and len(scans) == 1 and len(segment.body) == 2:
            height = int.from_bytes(segment.body)
        at = segment.end
    return Structure(header=header, damaged=damaged, scans=scans, ended=ended, cut=cut, height=height)


def _header(data: bytes) -> Iterator[Segment | None]:
    """Yield the segments up to the first scan's, and None wherever something is out of place."""
    at: int | None = len(SOI)
    while at is not None:
        segment = _segment(data, at)
        if segment is None:
            yield None
            at = _next(data, at, at + LONGEST)
        elif segment.marker == SOS:
            yield segment
            return
        elif segment.marker in PICTURE or _segment(data, segment.end) is not None:
            yield segment
            at = segment.end
        else:
            yield None  # its length is wrong, or rubbish follows
            at = _next(data, segment.begin, segment.begin + LONGEST)
            if at is not None:
                yield Segment(segment.marker, segment.begin, at, data[segment.begin : at])


def _segment(data: bytes, at: int) -> Segment | None:
    """The segment at a place, which fill bytes may precede; None if there is none, or one of the picture's is cut."""
    while data[at : at + 2] == b"\xff\xff":
        at += 1
    if data[at : at + 1] != b"\xff" or at + 4 > len(data) or data[at + 1] not in NAMES:
        return None
    marker, begin, end = data[at + 1], at + 4, at + 2 + int.from_bytes(data[at + 2 : at + 4])
    if marker in PICTURE and not begin <= end <= len(data):
        return None
    return Segment(marker, begin, max(begin, end), data[begin:end])


def _next(data: bytes, at: int, until: int) -> int | None:
    """Where segments that lead to a scan begin. Those of a preview within EXIF are passed over."""
    while match := BEGIN.search(data, at, until):
        scan = _scan(data, match.start())
        if scan is None:
            at = match.start() + 1
        elif data[match.start() - 2 : match.start()] == SOI and match.start() > len(SOI):
            at = data.find(EOI, scan) + 2
            if at < 2:
                return None
        else:
            return match.start()
    return None


def _scan(data: bytes, at: int) -> int | None:
    """Where the data of a scan begins to which the segments from here on lead."""
    while segment := _segment(data, at):
        if segment.marker == SOS:
            return segment.end
        at = segment.end
    return None


def _needed(segment: Segment, height: int | None, *, always: bool = False) -> bytes:
    """The segment as libjpeg needs it, or nothing."""
    marker, body = segment.marker, segment.body
    if marker in FRAMES and height and (always or body[1:3] == b"\0\0"):
        return replace(segment, body=body[:1] + struct.pack(">H", height) + body[3:]).as_bytes()
    if marker in PICTURE or (marker == APP1 and body.startswith(b"Exif\0\0")):
        return segment.as_bytes()
    if marker == APP0 and body.startswith(b"JFIF\0"):
        return replace(segment, body=JFIF).as_bytes()
    if marker == APP14 and body.startswith(b"Adobe") and len(body) >= 12:  # it says how colours are stored
        return replace(segment, body=body[:12]).as_bytes()
    return b""


def _is_complete(frame: Segment, scans: Iterable[bytes]) -> bool:
    """Whether the scans bring every coefficient of every component to its last bit.

    libjpeg does not miss a scan that never came. Nor does it miss data that is packed arithmetically.
    """
    if frame.marker in ARITHMETIC:
        return False
    components = set(frame.body[6::3])
    last_bit: dict[tuple[int, int], int] = {}
    for scan in scans:
        count = scan[0] if scan else 0
        if len(scan) != 4 + 2 * count:
            return False
        first, last, bits = scan[-3], scan[-2], scan[-1] & 15
        for component in scan[1 : 1 + 2 * count : 2]:
            last_bit |= {(component, number): bits for number in range(first, last + 1)}
    wanted = {(component, number) for component in components for number in range(64)}
    return all(last_bit.get(each) == 0 for each in wanted)
