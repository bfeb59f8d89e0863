"""What every store does, whichever it is: the same tests on SQLite and on DynamoDB."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder.records import StoredVector, VectorInfo
from embedder.stores import open_store
from tests.embedder.stored import contents, fill, many, opened, stored

ODD_IDS = (
    "line\nbreak.jpg",
    "return\r\n.jpg",
    "🐈/猫.jpg",
    'it\'s "quoted" `here`.jpg',
    "100%_*?[a]#.jpg",
    "back\\slash.jpg",
    " space at both ends ",
    "next\x85line\u2028.jpg",
    "é.jpg",
    "e\u0301.jpg",
    "; DROP TABLE vectors; --",
    "-- option",
    "A.jpg",
    "a.jpg",
)


def info(vector: StoredVector) -> VectorInfo:
    return VectorInfo(**{each.name: getattr(vector, each.name) for each in dataclasses.fields(VectorInfo)})


def test_what_was_written_comes_back(store_name: str) -> None:
    vectors = {each.image_id: each for each in many(30)}
    for number, scale in enumerate((0.1, 1 / 3, 1e-30, 3e38, 0.0)):
        vectors[f"image-{number:05d}"] = stored(f"image-{number:05d}", number, scale=scale)
    full = {"width": 6000, "height": 4000, "size": 12_345_678, "format": "JPEG", "taken": "2024-05-01T12:30:00+02:00"}
    vectors["image-00007"] = stored("image-00007", 7, **full)
    vectors["image-00008"] = stored("image-00008", 8, **full | {"taken": None})
    fill(store_name, list(vectors.values()))
    assert contents(store_name) == vectors
    with opened(store_name) as store:
        asked = ["image-00007", "image-00029"]
        assert {each.image_id: each for each in store.get(asked)} == {each: vectors[each] for each in asked}
        assert store.lookup(asked) == {each: info(vectors[each]) for each in asked}
        assert {each.image_id: each for each in store.describe()} == {
            name: info(each) for name, each in vectors.items()
        }


def test_an_empty_store_has_nothing(store_name: str) -> None:
    with opened(store_name) as store:
        store.prepare()
        assert store.lookup(["a"]) == {}
        assert store.lookup([]) == {}
        assert store.sample() is None
        assert list(store.get(["a"])) == []
        assert list(store.get([])) == []
        assert list(store.blocks()) == []
        assert list(store.blocks("a")) == []
        assert list(store.describe()) == []


def test_the_same_id_is_replaced_whole(store_name: str) -> None:
    fill(store_name, [stored("a", 1, modified="1-1", scale=0.1), stored("b", 2)])
    replacement = stored("a", 3, fingerprint="another/model", modified=None, data_type="float16", dimension=1024)
    fill(store_name, [replacement])
    assert contents(store_name) == {"a": replacement, "b": stored("b", 2)}


def test_odd_ids_stay_what_they_are(store_name: str) -> None:
    vectors = {each: stored(each, number) for number, each in enumerate(ODD_IDS)}
    fill(store_name, list(vectors.values()))
    assert contents(store_name) == vectors
    with opened(store_name) as store:
        assert {each.image_id: each for each in store.get(ODD_IDS)} == vectors
        assert set(store.lookup(ODD_IDS)) == set(ODD_IDS)
        store.delete(ODD_IDS[:5])
    assert set(contents(store_name)) == set(ODD_IDS[5:])


PREFIXES = ("cats/", "Cats/", "ca", "cats/100%", "cats/_", "cats/*", "cats/[ab]", "cats/?", "%", "猫", "猫/🐈", "dogs/")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_text_and_no_pattern(store_name: str, prefix: str) -> None:
    ids = [
        *("cats/1.jpg", "cats/100%.jpg", "cats/1000.jpg", "cats/_1.jpg", "cats/*.jpg", "cats/a.jpg", "cats/[ab].jpg"),
        *("cats/?.jpg", "Cats/1.jpg", "catsandmore.jpg", "ca", "c", "%.jpg", "猫/1.jpg", "猫/🐈.jpg", "old/cats/1.jpg"),
    ]
    fill(store_name, [stored(each) for each in ids])
    with opened(store_name) as store:
        found = [each for block in store.blocks(prefix) for each in block.image_ids]
    assert sorted(found) == sorted(each for each in ids if each.startswith(prefix))


def test_blocks_hold_what_was_written_in_an_order_that_stays(store_name: str) -> None:
    others = [stored("half", data_type="float16", dimension=1024), stored("eighth", data_type="uint8", scale=1e-5)]
    vectors = {each.image_id: each for each in [*many(1500), *others]}
    fill(store_name, list(vectors.values()))
    with opened(store_name) as store:
        blocks = list(store.blocks())
        rows = [
            row
            for block in blocks
            for row in zip(
                *(block.image_ids, block.fingerprints, block.data_types, block.dimensions, block.scales, block.vectors),
                strict=True,
            )
        ]
        assert [each for block in store.blocks() for each in block.image_ids] == [row[0] for row in rows]
    expected = [
        (each.image_id, each.fingerprint, each.data_type, each.dimension, each.scale, each.vector)
        for each in vectors.values()
    ]
    assert sorted(rows, key=lambda row: row[0]) == sorted(expected)


def test_deleting_takes_only_what_is_named(store_name: str) -> None:
    fill(store_name, many(60))
    with opened(store_name) as store:
        store.delete([f"image-{number:05d}" for number in range(55)] + ["nowhere"])
        store.delete([])
        assert sorted(each.image_id for each in store.describe()) == [f"image-{number:05d}" for number in range(55, 60)]


def test_a_sample_is_one_of_those_stored(store_name: str) -> None:
    vectors = {each.image_id: info(each) for each in many(3)}
    fill(store_name, many(3))
    with opened(store_name) as store:
        found = store.sample()
    assert found is not None
    assert found == vectors[found.image_id]


def test_hundreds_of_ids_at_once_and_the_same_twice(store_name: str) -> None:
    vectors = many(730)
    fill(store_name, vectors)
    asked = [each.image_id for each in vectors]
    with opened(store_name) as store:
        found = [each.image_id for each in store.get([*asked, "nowhere"])]
        assert sorted(found) == asked
        assert sorted(store.lookup([*asked, "nowhere"])) == asked
        assert sorted({each.image_id for each in store.get([*asked[:3], *asked[:3]])}) == asked[:3]


def test_what_is_closed_is_there_when_opened_again(store_name: str) -> None:
    fill(store_name, many(2))
    assert set(contents(store_name)) == {"image-00000", "image-00001"}
    again = open_store(store_name, must_exist=True)
    again.close()
    again.close()


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40), unique=True, max_size=25)
)
def test_any_text_is_an_id(store_name: str, ids: list[str]) -> None:
    if not ids:
        return
    vectors = {each: stored(each, number) for number, each in enumerate(ids)}
    with opened(store_name) as store:
        store.write(list(vectors.values()))
        assert {each.image_id: each for each in store.get(ids)} == vectors
        for prefix in {ids[0], ids[0][:1]}:
            found = {each for block in store.blocks(prefix) for each in block.image_ids}
            assert found >= {each for each in ids if each.startswith(prefix)}
            assert all(each.startswith(prefix) for each in found)
        store.delete(ids)
        assert store.lookup(ids) == {}
