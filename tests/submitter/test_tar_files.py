from __future__ import annotations

from collections.abc import Callable

from submitter.deadline import Deadline
from submitter.selection import ListingTally
from submitter.tar_files import find_tars
from tests.submitter.fake_aws import BUCKET, Answer, FakeAws


def find(fake: FakeAws, *keys: str) -> tuple[list[str], list[str], int]:
    """Return the keys that are found, those that are named as absent, and the number of requests."""
    asked = []

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        asked.append(operation)
        return serve()

    tally = ListingTally()
    found = find_tars(fake.connect(intercept).pages, BUCKET, keys, tally=tally, deadline=Deadline())
    return [each.key for each in found], tally.empty_paths, len(asked)


def test_few_names_are_looked_for_and_of_many_the_folder_is_listed(submitter_fake: FakeAws) -> None:
    many = [f"t/train-{number:03}.tar" for number in range(300)]
    submitter_fake.put(*many[:-1], *(f"{number}.jpg" for number in range(2500)), "1.tar", "1.tar.md5", "b/x.tar")
    keys, absent, requests = find(submitter_fake, *many, "2.tar", "1.tar", "b/x.tar")
    assert keys == [*many[:-1], "1.tar", "b/x.tar", many[-1], "2.tar"]
    assert (absent, requests) == ([many[-1], "2.tar"], 1 + 2 + 1)
    assert find(submitter_fake, "2.tar", "c/3.tar")[0] == [], "nothing at all is there"
    assert len(find(submitter_fake, "1.tar", *(f"u/{number}.tar" for number in range(150)))[1]) == 100
