"""Which names count as images, and what an image is called."""

from __future__ import annotations

import pytest

from embedder.sources.naming import image_id, suffix


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("a/b.jpg", ".jpg"),
        ("a/B.JPEG", ".jpeg"),
        ("a.b/c", "(no suffix)"),
        ("notjpg", "(no suffix)"),
        (".jpg", "(no suffix)"),
        ("archive.tar.gz", ".gz"),
        ("a/b.jpg\n", "(unprintable suffix)"),
        ("a/b.\x1b[2Jheic", "(unprintable suffix)"),
        ("🐈.png", ".png"),
    ],
)
def test_suffixes(key: str, expected: str) -> None:
    assert suffix(key) == expected


def test_ids() -> None:
    key, uri = "cats/more/1.x.jpg", "s3://photos/cats/more/1.x.jpg"
    assert image_id("key", key=key, uri=uri) == key
    assert image_id("uri", key=key, uri=uri) == uri
    assert image_id("stem", key=key, uri=uri) == "1.x"
