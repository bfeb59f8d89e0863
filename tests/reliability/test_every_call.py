"""A small run in which one call to AWS fails: the first, the second, … the last, each in three ways."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from embedder import EmbedderError, Report
from embedder.options import Layer
from embedder.pipeline.session import open_session
from submitter.clients import Services
from submitter.config import Targets
from submitter.errors import SubmitterError, aws_errors
from submitter.handler import handler
from submitter.manifest import RunLocation
from submitter.retry import retry_of
from submitter.run_results import open_run
from submitter.status import Status, read_status
from submitter.submit import submit
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import RESET, Fault, Request
from tests.reliability.accounts import SpoiltAccount
from tests.submitter.lambda_events import LambdaContext

WAYS = {"the request is lost": RESET, "the answer is lost": Fault(cut=0), "the answer is cut": Fault(cut=60)}
PICTURES = {f"i/{number}.jpg": jpeg(number) for number in range(4)} | {"i/bad.jpg": jpeg(9)[:300]}
T = TypeVar("T")


@dataclass(slots=True)
class Nth:
    """Counts the requests to all services, and spoils one of them."""

    number: int | None = None
    fault: Fault = RESET
    count: int = 0
    spoilt: str = ""

    def __call__(self, request: Request) -> Fault | None:
        self.count += 1
        if self.count != self.number:
            return None
        self.spoilt = request.what
        return self.fault


@dataclass(slots=True)
class Story:
    """Submit, work, ask for the status, retry and work again; what fails is started once more, as AWS does."""

    encoder: PixelEncoder
    submitted: dict[str, Any] = field(default_factory=dict)
    retried: dict[str, Any] = field(default_factory=dict)
    status: Status | None = None
    restarts: int = 0

    def play(self) -> None:
        context, retry_id = LambdaContext(uuid.uuid4().hex), uuid.uuid4().hex
        self.submitted = self._patiently(lambda: handler({"Paths": ["i"], "ShardSize": 3}, context))
        for number in range(self.submitted["shards"]):
            self._work(self.submitted["run_uri"], number)
        self.status = self._patiently(lambda: self._read_status(self.submitted["run_uri"]))
        self.retried = self._patiently(lambda: self._retry(self.submitted["run_uri"], retry_id))
        for number in range(self.retried["shards"]):
            self._work(self.retried["run_uri"], number)

    def _patiently(self, step: Callable[[], T]) -> T:
        try:
            return step()
        except (EmbedderError, SubmitterError):
            self.restarts += 1
            return step()

    def _work(self, run_uri: str, number: int) -> None:
        if self._patiently(lambda: self._attempt(run_uri, number)).exit_code == 75:
            self.restarts += 1
            assert self._attempt(run_uri, number).exit_code in (0, 65)

    def _attempt(self, run_uri: str, number: int) -> Report:
        return open_session(run_uri, None, Layer(values={"weights": "random"}), shard=number).run()

    def _read_status(self, run_uri: str) -> Status:
        services = Services()
        with aws_errors():
            return read_status(open_run(run_uri, services), services)

    def _retry(self, run_uri: str, run_id: str) -> dict[str, Any]:
        services = Services()
        with aws_errors():
            results = open_run(run_uri, services)
            results.refresh()
            return submit(retry_of(results, run_id), Targets.read(), services).as_json()


def tell(account: SpoiltAccount, dynamodb: DynamoDB, encoder: PixelEncoder, nth: Nth) -> None:
    """Play the story with one fault, and check the world that it leaves."""
    cloud, story = account.cloud(), Story(encoder)
    for key, body in PICTURES.items():
        cloud.put(key, body=body)
    encoder.batches.clear()
    with account.spoiling(nth, nth):
        story.play()
    good = len(PICTURES) - 1
    assert set(dynamodb.items(cloud.targets.table)) == {each for each in PICTURES if each != "i/bad.jpg"}
    status = story.status
    assert status
    assert (status.images, status.embedded + status.skipped, status.failed, status.missing) == (good + 1, good, 1, 0)
    assert (story.submitted["shards"], story.retried["shards"], story.retried["images"]) == (2, 1, 1)
    run_ids = [RunLocation.parse(each["run_uri"]).run_id for each in (story.submitted, story.retried)]
    assert sorted(job["jobName"] for job in cloud.jobs()) == sorted(f"embedder-{each}-0" for each in run_ids)
    # Pictures may be encoded again only if their worker had to be started again.
    assert sum(encoder.batches) <= good + 3 * story.restarts
    assert story.restarts <= (nth.number is not None)


@pytest.mark.timeout(0)
@pytest.mark.parametrize("step", [pytest.param(300, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_every_call_may_fail_once(
    spoilt_account: SpoiltAccount, dynamodb: DynamoDB, encoder: PixelEncoder, step: int
) -> None:
    sound = Nth()
    tell(spoilt_account, dynamodb, encoder, sound)
    cases = list(itertools.product(range(1, sound.count + 1), WAYS.items()))[::step]
    for number, (way, fault) in cases:
        nth = Nth(number, fault)
        try:
            tell(spoilt_account, dynamodb, encoder, nth)
        except BaseException as error:
            error.add_note(f"call {number} of about {sound.count}, {nth.spoilt}: {way}")
            raise
    print(f"{len(cases)} of {sound.count} calls × {len(WAYS)} ways")
