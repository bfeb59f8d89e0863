from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator

import pytest

from submitter.clients import Services
from submitter.cost import Rates
from submitter.dry_run import DryRun, dry_run
from submitter.manifest import Entry
from submitter.new_run import NewRun
from submitter.selection import ListingTally, S3Object, select
from submitter.summaries import dry_run_text
from submitter.tar_sample import BEGINNING, FILES, sampled
from tests.embedder.tars import tar_bytes
from tests.submitter.fake_aws import Answer, FakeAws, xml_error

SMALL = b"\xff" * 20_000
LARGE = bytes(BEGINNING + 512)


def order_of(fake: FakeAws) -> NewRun:
    tally = ListingTally()
    found = (S3Object(key=key, etag="e", size=len(body)) for key, body in fake.objects.items())
    return NewRun(
        run_id="r", source="paths", entries=select(found, ("tar",), tally, kind="tar"), tally=tally, kind="tars"
    )


def planned(fake: FakeAws, services: Services | None = None, **rates: float) -> DryRun:
    return dry_run(order_of(fake), "pictures", Rates(**rates), services or fake.connect())  # type: ignore[arg-type]


def shard(images: int) -> bytes:
    """Images with captions and what a Mac leaves, as WebDataset packs them."""

    def members() -> Iterator[tuple[str, bytes]]:
        for number in range(images):
            yield f"./{number:06d}.JPG", SMALL
            yield f"./._{number:06d}.JPG", b"resources"
            yield f"./{number:06d}.json", b"{}"

    return tar_bytes(members())


def test_files_that_are_read_whole_are_counted(submitter_fake: FakeAws) -> None:
    submitter_fake.objects |= {"0.tar": shard(4), "1.tar": shard(3), "2.tar": tar_bytes({"notes.txt": b"none"})}
    plan = planned(submitter_fake)
    assert plan.estimated is not None
    assert (plan.images, plan.tars, plan.estimated.images, plan.estimated.sampled_images) == (None, 3, 7, 7)
    assert plan.estimated.assumed_because is None
    assert (plan.write_units, plan.jobs) == (21, 1)
    assert plan.cost.dynamodb_writes == pytest.approx(21 * 0.625e-6)
    assert plan.cost.s3_requests == pytest.approx((0.003 + 3) * 5e-6 + (1 + 1) * 4e-7), "one part, one shard"


def test_the_beginnings_of_a_few_stand_for_all(submitter_fake: FakeAws) -> None:
    body = shard(250)
    assert len(body) > BEGINNING + 10**6
    submitter_fake.objects |= {f"shards/{number}.tar": body for number in range(10)}
    asked = list[str]()

    def counting(operation: str, answer: Callable[[], Answer]) -> Answer:
        asked.append(operation)
        return answer()

    plan = planned(submitter_fake, submitter_fake.connect(counting))
    assert plan.estimated is not None
    assert asked == ["GetObject"] * FILES
    assert plan.estimated.images == pytest.approx(2500, rel=0.01)
    assert plan.estimated.sampled_images < 250 * FILES
    text = dry_run_text(plan)
    assert "images      about 2," in text
    assert "kB an image, by " in text
    assert "in 3 tar files" in text
    assert "in all      about $" in text
    assert plan.as_json()["estimated"]["bytes_per_image"] == plan.estimated.bytes_per_image


def test_an_image_larger_than_what_is_read_counts_by_its_header(submitter_fake: FakeAws) -> None:
    submitter_fake.objects["0.tar"] = tar_bytes({f"{number}.jpg": LARGE for number in range(3)})
    plan = planned(submitter_fake)
    assert plan.estimated is not None
    assert (plan.estimated.images, plan.estimated.sampled_images) == (3, 1)


def squeezed(data: bytes) -> bytes:
    file = io.BytesIO()
    with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as packed:
        packed.write(data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("bodies", "why"),
    [
        ({"0.tar": squeezed(shard(3))}, "s3://pictures/0.tar is no tar file: "),
        ({"0.tar": tar_bytes({"notes.txt": b"none"})}, "the beginnings of 1 of the files hold no image"),
        ({"0.tar": b""}, "the beginnings of 0 of the files hold no image"),
    ],
)
def test_where_no_image_is_found_its_size_is_assumed(
    submitter_fake: FakeAws, bodies: dict[str, bytes], why: str
) -> None:
    submitter_fake.objects |= bodies
    plan = planned(submitter_fake, bytes_per_tar_image=1000)
    assert plan.estimated is not None
    assert plan.estimated.images == round(plan.bytes / 1000)
    assert (plan.estimated.sampled_tars, plan.estimated.sampled_images) == (0, 0)
    assert f"1.0 kB an image is assumed, because {why}" in dry_run_text(plan)


def test_who_may_not_read_the_images_has_a_plan_all_the_same(submitter_fake: FakeAws) -> None:
    submitter_fake.objects["0.tar"] = shard(250)
    denied = submitter_fake.connect(lambda *_: xml_error(403, "AccessDenied"))
    plan = planned(submitter_fake, denied)
    assert plan.estimated is not None
    assert plan.estimated.images == round(plan.bytes / 100_000)
    assert plan.write_units == 3 * plan.estimated.images
    assert "S3 answers AccessDenied for s3://pictures/0.tar" in plan.estimated.basis


def test_the_sample_does_not_depend_on_the_order() -> None:
    entries = [Entry(key=f"{number}.tar", etag=None, size=number, kind="tar") for number in range(20)]
    chosen = sampled(entries)
    assert len(chosen) == FILES
    assert sampled(entries[::-1]) == chosen != entries[1 : FILES + 1]
    assert not sampled([Entry(key="absent.tar", etag=None, size=None, kind="tar")])
