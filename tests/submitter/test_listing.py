from __future__ import annotations

import hashlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from submitter.clients import Services
from submitter.deadline import RESERVE_SECONDS, Deadline
from submitter.errors import OutOfTimeError
from submitter.listing import list_folders
from submitter.selection import ListingTally
from tests.submitter.cloud import Cloud
from tests.submitter.fake_aws import BUCKET, PAGE, FakeAws

AWKWARD = [
    "images/a b.jpg",
    "images/a+b.jpg",
    "images/100%.jpg",
    "images/%41.jpg",
    "images/'quoted\".jpg",
    "images/😀.jpg",
    "images/é\u0301.jpg",
    "images/u\u2028\u2029\x85.jpg",
    "images/<&>.jpg",
    "images//twice.jpg",
    "images/back\\slash.jpg",
    "images/?#[]@!$*().jpg",
]


def keys_of(cloud: Cloud, *folders: str) -> list[str]:
    listed = list_folders(
        cloud.services.pages, cloud.targets.bucket, folders, tally=ListingTally(), deadline=Deadline()
    )
    return [found.key for found in listed]


def test_awkward_keys_by_a_real_server(submitter_cloud: Cloud) -> None:
    submitter_cloud.put(*AWKWARD)
    assert sorted(keys_of(submitter_cloud, "images/")) == sorted(AWKWARD)


def test_parallel_requests_to_a_real_server(submitter_cloud: Cloud) -> None:
    """In the order of UTF-8 bytes, with keys that no range begins at by itself."""
    keys = sorted([*AWKWARD, *(f"images/{number:03d}é.jpg" for number in range(60))], key=lambda key: key.encode())
    submitter_cloud.put(*keys)
    listed = list_folders(
        submitter_cloud.services.pages,
        submitter_cloud.targets.bucket,
        ["images/"],
        tally=ListingTally(),
        deadline=Deadline(),
        page_size=2,
    )
    assert [found.key for found in listed] == keys


def test_a_folder_is_not_a_prefix(submitter_cloud: Cloud) -> None:
    submitter_cloud.put("images/1.jpg", "images-old/2.jpg", "images.jpg")
    assert keys_of(submitter_cloud, "images/") == ["images/1.jpg"]


def test_what_is_known_of_an_object(submitter_cloud: Cloud) -> None:
    submitter_cloud.put("a/1.jpg", body=b"abc", storage_class="GLACIER")
    tally = ListingTally()
    (found,) = list_folders(
        submitter_cloud.services.pages,
        submitter_cloud.targets.bucket,
        ["nothing/", "a/"],
        tally=tally,
        deadline=Deadline(),
    )
    assert (found.etag, found.size, found.storage_class) == (hashlib.md5(b"abc").hexdigest(), 3, "GLACIER")
    assert tally.empty_paths == ["nothing/"]


@pytest.fixture
def connected(submitter_fake: FakeAws) -> tuple[FakeAws, Services]:
    """Clients take long to make, and one set does for every example."""
    return submitter_fake, submitter_fake.connect()


keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.sets(keys, max_size=5))
def test_any_key_arrives_whole(connected: tuple[FakeAws, Services], names: set[str]) -> None:
    fake, services = connected
    fake.objects = {}
    fake.put(*(f"images/{name}" for name in names))
    listed = list_folders(services.pages, BUCKET, ["images/"], tally=ListingTally(), deadline=Deadline())
    assert {found.key for found in listed} == {f"images/{name}" for name in names}


def test_pages_are_followed(submitter_fake: FakeAws) -> None:
    submitter_fake.put(*(f"images/{number:05d}.jpg" for number in range(2 * PAGE + 1)))
    pages = submitter_fake.connect().pages
    listed = list_folders(pages, BUCKET, ["images/"], tally=ListingTally(), deadline=Deadline())
    assert sum(1 for _ in listed) == 2 * PAGE + 1


def test_time_runs_out(submitter_fake: FakeAws) -> None:
    submitter_fake.put(*(f"images/{number:05d}.jpg" for number in range(3 * PAGE)))
    left = iter([60_000, RESERVE_SECONDS * 1000])
    listed = list_folders(
        submitter_fake.connect().pages,
        BUCKET,
        ["images/"],
        tally=ListingTally(),
        deadline=Deadline(remaining_ms=lambda: next(left)),
    )
    with pytest.raises(
        OutOfTimeError, match=r"after listing 2,000 objects.*nothing was submitted.*terminal.*Inventory"
    ):
        list(listed)
