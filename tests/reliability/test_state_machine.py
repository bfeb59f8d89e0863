"""Random histories of pictures, runs and faults: after every step the store and the report agree with `books`."""

from __future__ import annotations

import json
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from embedder import ConfigurationError, Report, embed
from embedder.options import Layer
from embedder.pipeline.session import open_session
from embedder.pipeline.stopping import Stop
from embedder.records import Pixels, Vectors
from submitter.clients import Services
from submitter.config import Targets
from submitter.handler import handler
from submitter.retry import retry_of
from submitter.run_results import RunResults, open_run
from submitter.status import read_status
from submitter.submit import submit
from submitter.verify import Verdict, Verification
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder, only_engine
from tests.embedder.stored import contents
from tests.parts.fault_proxy import RESET, SLOW_DOWN, THROTTLED, UNPROCESSED, Fault, sometimes
from tests.parts.s3 import S3
from tests.reliability.accounts import SpoiltAccount
from tests.reliability.books import COLLISION, CORRUPT, EMBEDDED, MOVED, SKIPPED, Books, Content, Kept
from tests.reliability.places import BucketWorld, FolderWorld, World
from tests.reliability.world import balanced
from tests.submitter.lambda_events import LambdaContext

NAMES = ("a.jpg", "b.JPG", "x/a.jpg", "x/é.jpeg", "x/y/c d.jpg")
RECIPES: dict[str, dict[str, Any]] = {"plain": {}, "unit": {"normalize": True}}
CONTENTS = 5

names = st.sampled_from(NAMES)
recipes = st.sampled_from(sorted(RECIPES))
new_contents = st.builds(Content, st.integers(0, CONTENTS - 1), st.sampled_from([False, False, False, True]))


def file_of(content: Content) -> bytes:
    """The bytes of a picture's file; a damaged one lacks its second half."""
    data = jpeg(content.number, (64, 48))
    return data[: len(data) // 2] if content.damaged else data


class OneByOne(PixelEncoder):
    """The same bytes for a picture whatever the batch it comes in. Before each batch it calls `before_batch`."""

    before_batch: Callable[[], None] = staticmethod(lambda: None)

    def encode(self, pixels: Pixels) -> Vectors:
        type(self).before_batch()
        vectors: Vectors = np.concatenate([super(OneByOne, self).encode(each[None]) for each in pixels])
        return vectors


@dataclass(frozen=True, slots=True)
class Known:
    """What each vector, fingerprint and address means."""

    contents: Mapping[bytes, int]
    fingerprints: Mapping[str, str]

    @classmethod
    def learn(cls, folder: Path) -> Known:
        """Embed each content once, by itself, in every way."""
        numbers: dict[bytes, int] = {}
        fingerprints: dict[str, str] = {}
        pictures = folder / "contents"
        pictures.mkdir()
        for number in range(CONTENTS):
            (pictures / f"{number}.jpg").write_bytes(file_of(Content(number)))
        for name, options in RECIPES.items():
            store = str(folder / f"{name}.db")
            report = embed(pictures, store, weights="random", **options)
            fingerprints[report.fingerprint] = name
            numbers |= {kept.vector: int(Path(image_id).stem) for image_id, kept in contents(store).items()}
        assert (len(numbers), len(fingerprints)) == (CONTENTS * len(RECIPES), len(RECIPES))
        return cls(numbers, fingerprints)


class Machine(RuleBasedStateMachine):
    """The rules for every source and store."""

    def __init__(self, make_world: Callable[[], World], known: Known, runs: Counter[str]) -> None:
        super().__init__()
        self.world = make_world()
        self.known = known
        self.runs = runs
        self.books = Books(self.world.place)
        self.places = {self.world.uri_of("").rstrip("/"): self.world.place}

    def teardown(self) -> None:
        self.world.close()

    @initialize(chosen=st.dictionaries(names, new_contents, min_size=2))
    def begin(self, chosen: dict[str, Content]) -> None:
        for name, content in chosen.items():
            self.put(name, content)

    @rule(name=names, content=new_contents)
    def put(self, name: str, content: Content) -> None:
        """Add a picture, replace it by another, damage or mend it, or write the same bytes once more."""
        image_id = self.world.id_of(name)
        self.world.put(image_id, file_of(content))
        self.books.pictures[image_id] = content

    @precondition(lambda self: self.books.pictures)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        image_id = data.draw(st.sampled_from(sorted(self.books.pictures)))
        self.world.delete(image_id)
        del self.books.pictures[image_id]

    @precondition(lambda self: self.books.pictures)
    @rule(data=st.data(), name=names)
    def rename(self, data: st.DataObject, name: str) -> None:
        before, after = data.draw(st.sampled_from(sorted(self.books.pictures))), self.world.id_of(name)
        content = self.books.pictures.pop(before)
        self.world.delete(before)
        self.world.put(after, file_of(content))
        self.books.pictures[after] = content

    @rule()
    def move(self) -> None:
        self.world.move()
        self.books.place = self.world.place
        self.places[self.world.uri_of("").rstrip("/")] = self.world.place

    @rule(recipe=recipes, recompute=st.booleans(), prune=st.booleans())
    def run(self, recipe: str, recompute: bool, prune: bool) -> None:
        """Run to the end, with another model as well: first without the option that it then needs."""
        self.runs["whole"] += 1
        if not self.books.pictures:
            self._is_refused(recipe, "there is no image|nothing|does not exist")
            return
        mixed = not recompute and self.books.refuses(recipe)
        if mixed and all(kept.recipe != recipe for kept in self.books.stored.values()):
            self._is_refused(recipe, "cannot be compared")
        with tempfile.TemporaryDirectory() as folder:
            lines = Path(folder) / "failures.jsonl"
            report = self._embed(recipe, recompute=recompute, prune=prune, allow_mixed=mixed, failures=str(lines))
            failures = {each["image_id"]: each["error"] for each in map(json.loads, lines.read_text().splitlines())}
        fates = self.books.run(recipe, recompute=recompute)
        assert counts(report) == expected_counts(fates)
        assert failures == {image_id: fate for image_id, fate in fates.items() if fate in (CORRUPT, COLLISION)}
        assert report.exit_code == (65 if report.failed == report.images else 0)
        assert report.pruned == (self.books.prune() if prune else 0)
        self._agrees()

    @precondition(lambda self: self.books.pictures)
    @rule(recipe=recipes, batches=st.integers(0, 2), recompute=st.booleans())
    def stopped_run(self, recipe: str, batches: int, recompute: bool) -> None:
        """Stop a run after some batches: each image is as it was, or as a whole run leaves it."""
        self.runs["stopped"] += 1
        stop, left = Stop(), iter(range(batches))

        def before_batch() -> None:
            if next(left, None) is None:
                stop.by_signal(15)

        with before_each_batch(before_batch):
            report = self._embed(recipe, stop=stop, recompute=recompute, allow_mixed=True, batch_size=1, workers=1)
        assert report.exit_code in (0, 65, 143)
        assert balanced(report.as_json())
        now = self._stored()
        changed = 0
        for image_id in self.books.pictures:
            before = self.books.stored.get(image_id)
            after = self.books.after(image_id, recipe, recompute=recompute)
            kept = now.get(image_id)
            assert kept in (before, after)
            changed += kept != before and self.books.fate(image_id, recipe, recompute=recompute) == EMBEDDED
        assert changed <= report.embedded
        if not recompute:
            assert changed == report.embedded
        assert {each: now[each] for each in now.keys() - self.books.pictures.keys()} == {
            each: kept for each, kept in self.books.stored.items() if each not in self.books.pictures
        }
        self.books.stored = now

    @precondition(lambda self: self.books.pictures)
    @rule(recipe=recipes)
    def two_at_once(self, recipe: str) -> None:
        """Run twice at the same time: both account for every image, and together they do what one does."""
        self.runs["two at once"] += 1
        with ThreadPoolExecutor(2) as executor:
            reports = list(executor.map(lambda _: self._embed(recipe, allow_mixed=True), range(2)))
        wanted = expected_counts(self.books.run(recipe))
        for report in reports:
            assert balanced(report.as_json())
            assert (report.images, report.failed) == (sum(wanted.values()), wanted["failed"])
        assert sum(report.embedded for report in reports) >= wanted[EMBEDDED]
        self._agrees()

    def _embed(self, recipe: str, *, stop: Stop | None = None, **options: Any) -> Report:
        layer = Layer(values={"weights": "random", **RECIPES[recipe], **options})
        return open_session(self.world.source, self.world.store, layer, stop=stop).run()

    def _is_refused(self, recipe: str, reason: str) -> None:
        with pytest.raises(ConfigurationError, match=reason):
            self._embed(recipe)
        self._agrees()

    def _agrees(self) -> None:
        assert self._stored() == self.books.stored

    def _stored(self) -> dict[str, Kept]:
        """What the store holds, in the words of the books."""
        return {
            image_id: Kept(
                Content(self.known.contents[kept.vector]),
                self.known.fingerprints[kept.fingerprint],
                self._place_of(kept.source, image_id),
            )
            for image_id, kept in contents(self.world.store).items()
        }

    def _place_of(self, source: str, image_id: str) -> str:
        ending = self.world.uri_of(image_id)[len(self.world.uri_of("").rstrip("/")) :]
        assert source.endswith(ending)
        return self.places[source.removesuffix(ending)]


class BucketMachine(Machine):
    """The rules that need S3, DynamoDB and Batch."""

    world: BucketWorld

    def __init__(
        self, make_world: Callable[[], World], known: Known, runs: Counter[str], account: SpoiltAccount
    ) -> None:
        super().__init__(make_world, known, runs)
        self.account = account
        self.services = Services()

    def teardown(self) -> None:
        """End every history with a run through faults and a submission."""
        try:
            if self.books.pictures:
                self.run_through_faults("unit", 7)
                self.submitted_run("plain", 2, True, [0])
        finally:
            super().teardown()

    @precondition(lambda self: self.books.pictures)
    @rule(recipe=recipes, seed=st.integers(0, 999))
    def run_through_faults(self, recipe: str, seed: int) -> None:
        """Connections break and services throttle, but for so short a time that the run does all its work."""
        self.runs["through faults"] += 1
        others = sometimes(seed, {RESET: 0.1, SLOW_DOWN: 0.1, Fault(cut=300): 0.1})
        tables = sometimes(seed, {RESET: 0.1, THROTTLED: 0.1, UNPROCESSED: 0.1}, only="Batch")
        with self.account.spoiling(others, tables):
            report = self._embed(recipe, allow_mixed=True)
        assert counts(report) == expected_counts(self.books.run(recipe))
        self._agrees()

    @precondition(lambda self: self.books.pictures)
    @rule(
        recipe=recipes,
        shard_size=st.integers(1, 3),
        twice=st.booleans(),
        turns=st.lists(st.integers(0, len(NAMES) - 1), max_size=len(NAMES) + 1),
    )
    def submitted_run(self, recipe: str, shard_size: int, twice: bool, turns: list[int]) -> None:
        """Submit, perhaps delivered twice; work on some shards, some of them twice; then retry what is left."""
        self.runs["submitted"] += 1
        context = LambdaContext(uuid.uuid4().hex)
        event = {"Paths": ["i"], "ShardSize": shard_size}
        submitted = handler(event, context)
        if twice:
            assert handler(event, context) == submitted
        keys = sorted(self.books.pictures, key=str.encode)
        shards = [keys[start : start + shard_size] for start in range(0, len(keys), shard_size)]
        assert (submitted["images"], submitted["shards"]) == (len(keys), len(shards))

        fates: dict[str, str] = {}
        for number in (turn % len(shards) for turn in turns):
            again = shards[number][0] in fates
            expected = {each: fates[each] for each in shards[number]} if again else None
            report = self._work(submitted["run_uri"], number, recipe)
            fates |= expected or self.books.run(recipe, shards[number])
            assert counts(report) == expected_counts({each: fates[each] for each in shards[number]})
        self._agrees()

        results = self._results(submitted["run_uri"])
        status = read_status(results, self.services)
        wanted = expected_counts(fates)
        assert (status.images, status.missing) == (len(keys), len(keys) - len(fates))
        assert (status.embedded, status.skipped, status.failed) == tuple(
            wanted[each] for each in ("embedded", "skipped", "failed")
        )
        self._retry(results, recipe, {each for each in keys if fates.get(each) in (None, CORRUPT, COLLISION)})
        self._verify(results)

    def _retry(self, results: RunResults, recipe: str, left: set[str]) -> None:
        new_run = retry_of(results, uuid.uuid4().hex)
        if not left:
            assert list(new_run.entries) == []
            return
        again = submit(new_run, Targets.read(), self.services).as_json()
        assert again["images"] == len(left)
        reports = [self._work(again["run_uri"], number, recipe) for number in range(again["shards"])]
        wanted = expected_counts(self.books.run(recipe, left))
        assert sum((counts(report) for report in reports), Counter()) == wanted
        self._agrees()

    def _verify(self, results: RunResults) -> None:
        verdict = Verdict()
        found = {
            each.image_id: each.kind
            for each in Verification(results=results, dynamodb=self.services.dynamodb).differences(verdict)
        }
        wanted = {}
        for image_id, content in self.books.pictures.items():
            kept = self.books.stored.get(image_id)
            if kept is None:
                wanted[image_id] = "failed"
            elif kept.content != content:
                wanted[image_id] = "changed"
        assert verdict.images == len(self.books.pictures)
        assert {each: "failed" if kind == "absent" else kind for each, kind in found.items()} == wanted

    def _work(self, run_uri: str, number: int, recipe: str) -> Report:
        layer = Layer(values={"weights": "random", "allow_mixed": True, **RECIPES[recipe]})
        return open_session(run_uri, None, layer, shard=number).run()

    def _results(self, run_uri: str) -> RunResults:
        results = open_run(run_uri, self.services)
        results.refresh()
        return results


def counts(report: Report) -> Counter[str]:
    """A report's sums; those of zero do not count."""
    return +Counter(embedded=report.embedded, skipped=report.skipped, moved=report.moved, failed=report.failed)


def expected_counts(fates: Mapping[str, str]) -> Counter[str]:
    """The sums that a report of these fates must have."""
    of = Counter(fates.values())
    return +Counter(
        embedded=of[EMBEDDED], skipped=of[SKIPPED] + of[MOVED], moved=of[MOVED], failed=of[CORRUPT] + of[COLLISION]
    )


@contextmanager
def before_each_batch(action: Callable[[], None]) -> Iterator[None]:
    OneByOne.before_batch = staticmethod(action)
    try:
        yield
    finally:
        OneByOne.before_batch = staticmethod(lambda: None)


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Known]:
    with only_engine(OneByOne().open):
        yield Known.learn(tmp_path)


def explore(machine: Callable[[], Machine], examples: int, steps: int) -> None:
    run_state_machine_as_test(
        machine,  # type: ignore[arg-type]  # it is called, whatever it is
        settings=settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck)),
    )


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("examples", "steps"), [pytest.param(3, 12, id="short"), pytest.param(400, 40, id="long", marks=pytest.mark.slow)]
)
def test_a_folder_and_a_file(known: Known, tmp_path: Path, examples: int, steps: int) -> None:
    runs = Counter[str]()
    explore(lambda: Machine(lambda: FolderWorld(Path(tempfile.mkdtemp(dir=tmp_path))), known, runs), examples, steps)
    print(dict(runs))


@pytest.mark.timeout(0)
@pytest.mark.parametrize(
    ("examples", "steps"), [pytest.param(2, 6, id="short"), pytest.param(150, 40, id="long", marks=pytest.mark.slow)]
)
def test_a_bucket_and_a_table(
    known: Known,
    s3_moto: S3,
    spoilt_account: SpoiltAccount,
    monkeypatch: pytest.MonkeyPatch,
    examples: int,
    steps: int,
) -> None:
    runs = Counter[str]()

    def make_world() -> BucketWorld:
        return BucketWorld(s3_moto, spoilt_account.cloud().targets.table, monkeypatch)

    explore(lambda: BucketMachine(make_world, known, runs, spoilt_account), examples, steps)
    print(dict(runs))
