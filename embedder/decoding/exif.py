"""What the EXIF block of a picture says."""

from __future__ import annotations

from datetime import datetime

from PIL import ExifTags, Image

TIME = "%Y:%m:%d %H:%M:%S"


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; as in a browser, an unreadable EXIF block counts as none."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) else 1


def taken(image: Image.Image) -> str | None:
    """Return when a picture was taken, ISO 8601: with an offset from UTC if the camera wrote one, else in local time.

    A date that is missing, empty or unreadable is None, as is one that no calendar has.
    """
    try:
        tags = image.getexif().get_ifd(ExifTags.IFD.Exif)
        when = datetime.strptime(_text(tags.get(ExifTags.Base.DateTimeOriginal)), TIME)
    except Exception:
        return None
    try:
        offset = datetime.strptime(_text(tags.get(ExifTags.Base.OffsetTimeOriginal)), "%z").tzinfo
    except ValueError:
        offset = None
    return when.replace(tzinfo=offset).isoformat()


def _text(value: object) -> str:
    return value.strip("\0 ") if isinstance(value, str) else ""
