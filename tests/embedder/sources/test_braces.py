from __future__ import annotations

import pytest

from embedder.errors import ConfigurationError
from embedder.sources.braces import expand, fixed_folder


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a.tar", ["a.tar"]),
        ("{08..11}.tar", ["08.tar", "09.tar", "10.tar", "11.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{a,b}/{0..1}", ["a/0", "a/1", "b/0", "b/1"]),
        ("{a,a}", ["a"]),
        ("{a}{}{x..y}", ["{a}{}{x..y}"]),
    ],
)
def test_names(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


def test_a_typing_error_is_no_endless_list() -> None:
    with pytest.raises(ConfigurationError, match="more than 100,000 names"):
        expand("{0..999999999999}{0..9}.tar")


def test_what_all_names_have_in_common() -> None:
    assert fixed_folder("s3://b/shards/x{0..9}.tar") == "s3://b/shards/"
    assert fixed_folder("{a,b}/0.tar") == ""
