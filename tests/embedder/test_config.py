"""Options: from the command line, the environment and Python, the same table and the same sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedder import config, options
from embedder.errors import ConfigurationError
from embedder.options import FailureLimit, Layer, RunOptions


def test_defaults_are_those_of_the_contract() -> None:
    options = RunOptions()
    assert (options.model, options.weights, options.device, options.engine) == ("resnet18", "default", "auto", "auto")
    assert (options.dtype, options.normalize, options.image_id) == ("float32", None, "key")
    assert (options.recompute, options.allow_mixed, options.prune, options.failures) == (False, False, False, None)
    assert options.suffixes == ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif")
    assert str(options.max_failures) == "100%"
    assert options.max_pixels == 178_956_970


def test_the_first_layer_that_names_an_option_wins() -> None:
    options = RunOptions.resolve(
        Layer(values={"batch_size": "3"}),
        Layer(values={"batch_size": 5, "dtype": "float16"}),
        Layer(values={"dtype": "float32"}),
    )
    assert (options.batch_size, options.dtype, options.workers) == (3, "float16", None)


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("batch_size", "16", 16),
        ("batch_size", 16, 16),
        ("normalize", "yes", True),
        ("normalize", "0", False),
        ("recompute", True, True),
        ("suffixes", ".JPG, png ,", ("jpg", "png")),
        ("suffixes", ["jpg", "PNG"], ("jpg", "png")),
        ("max_failures", 5, FailureLimit(5, percent=False)),
        ("max_failures", "2.5%", FailureLimit(2.5, percent=True)),
        ("failures", "f.jsonl", Path("f.jsonl")),
        ("weights", Path("w.pth"), "w.pth"),
        ("max_pixels", "1000", 1000),
    ],
)
def test_values_are_parsed(name: str, value: object, parsed: object) -> None:
    assert getattr(RunOptions.resolve(Layer(values={name: value})), name) == parsed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "0"),
        ("batch_size", "-1"),
        ("batch_size", "many"),
        ("batch_size", "1.5"),
        ("batch_size", ""),
        ("workers", "0"),
        ("device", "tpu"),
        ("precision", "half"),
        ("dtype", "float64"),
        ("image_id", "name"),
        ("normalize", "maybe"),
        ("suffixes", " , "),
        ("max_failures", "-1"),
        ("max_failures", "101%"),
        ("max_failures", "-1%"),
        ("max_failures", "nan%"),
        ("max_failures", "some"),
        ("max_failures", "1.5"),
        ("max_pixels", "0"),
    ],
)
def test_nonsense_is_refused_with_its_name(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=name) as caught:
        RunOptions.resolve(Layer(values={name: value}))
    assert repr(value) in str(caught.value)
    assert "expected" in str(caught.value)
    with pytest.raises(ConfigurationError, match=f"EMBEDDER_{name.upper()}"):
        RunOptions.resolve(config.environment_layer({f"EMBEDDER_{name.upper()}": value}))


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="there is no option 'batchsize'"):
        RunOptions.resolve(Layer(values={"batchsize": 3}))


def test_every_option_has_a_variable() -> None:
    variables = {"EMBEDDER_BATCH_SIZE": "3", "EMBEDDER_NORMALIZE": "true", "EMBEDDER_SUFFIXES": "jpg", "OTHER": "x"}
    found = config.environment_layer(variables).parsed()
    assert found == {"batch_size": 3, "normalize": True, "suffixes": ("jpg",)}
    assert config.environment_layer({}).parsed() == {}


def test_a_value_that_a_higher_layer_overrides_is_still_checked() -> None:
    with pytest.raises(ConfigurationError, match="EMBEDDER_WORKERS: 'x'"):
        RunOptions.resolve(Layer(values={"workers": "2"}), config.environment_layer({"EMBEDDER_WORKERS": "x"}))


def test_switches_and_texts_of_the_environment() -> None:
    assert config.switch_from_environment("json", {"EMBEDDER_JSON": "1"})
    assert not config.switch_from_environment("json", {"EMBEDDER_JSON": ""})
    with pytest.raises(ConfigurationError, match="EMBEDDER_QUIET: 'perhaps'"):
        config.switch_from_environment("quiet", {"EMBEDDER_QUIET": "perhaps"})
    assert config.text_from_environment("store", {"EMBEDDER_STORE": "v.db"}) == "v.db"
    assert config.text_from_environment("store", {"EMBEDDER_STORE": ""}) is None


@pytest.mark.parametrize(
    ("limit", "failed", "images", "exceeded"),
    [
        ("100%", 0, 0, False),
        ("100%", 9, 10, False),
        ("100%", 10, 10, True),
        ("0", 0, 10, False),
        ("0", 1, 10, True),
        ("0%", 1, 10, True),
        ("3", 3, 10, False),
        ("3", 4, 10, True),
        ("10%", 1, 10, False),
        ("10%", 2, 10, True),
        ("2.5%", 1, 40, False),
        ("2.5%", 2, 40, True),
        ("1000", 1, 1, True),
    ],
)
def test_how_many_failures_are_too_many(limit: str, failed: int, images: int, exceeded: bool) -> None:
    assert FailureLimit.parse(limit).exceeded(failed=failed, images=images) is exceeded


@given(percent=st.integers(0, 100), images=st.integers(1, 10**6))
def test_a_percentage_is_of_all_images(percent: int, images: int) -> None:
    limit = FailureLimit.parse(f"{percent}%")
    allowed = images * percent // 100
    assert not limit.exceeded(failed=min(allowed, images - 1), images=images)
    assert limit.exceeded(failed=allowed + 1, images=images) or allowed + 1 > images


@given(text=st.text(max_size=8))
def test_any_text_is_a_limit_or_an_error(text: str) -> None:
    try:
        limit = FailureLimit.parse(text)
    except ValueError as error:
        assert "expected" in str(error)  # noqa: PT017
    else:
        assert limit.value >= 0
        assert FailureLimit.parse(str(limit)) == limit or limit.value > 1e5 or limit.percent


def test_a_worker_knows_its_shard() -> None:
    assert config.shard_index({}) == 0
    assert config.shard_index({"AWS_BATCH_JOB_ARRAY_INDEX": "7", "EMBEDDER_SHARD_OFFSET": "10000"}) == 10007
    with pytest.raises(ConfigurationError, match="AWS_BATCH_JOB_ARRAY_INDEX: '-1'"):
        config.shard_index({"AWS_BATCH_JOB_ARRAY_INDEX": "-1"})


def test_the_options_that_type_checkers_know_are_all_there_are() -> None:
    assert set(options.Options.__annotations__) == set(options.OPTIONS)
