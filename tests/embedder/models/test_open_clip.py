"""Models of OpenCLIP: images and words get the vectors that OpenCLIP itself gives them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from safetensors.torch import save_file

from embedder import embed, gallery, read
from embedder.errors import ConfigurationError
from embedder.models import open_clip as family
from embedder.models.catalog import find_model
from embedder.models.checkpoint import Checkpoint
from embedder.records import Preprocessing
from tests.embedder import reference
from tests.embedder.commands import command
from tests.embedder.pictures import put
from tests.embedder.stored import fill, stored
from tests.photographs import variation
from tests.seeded_backbones import lively

TINY = {
    "embed_dim": 48,
    "vision_cfg": {"image_size": 64, "layers": 2, "width": 128, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
}
"""An architecture as people describe their own ones to OpenCLIP."""
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("architectures") / "tiny-clip.json"
    path.write_text(json.dumps(TINY))
    open_clip.add_model_config(path)
    return "tiny-clip"


def original(name: str) -> Any:
    return lively(lambda: open_clip.create_model(name), 64)


def test_images_and_words_have_the_vectors_of_open_clip(tiny: str, tmp_path: Path) -> None:
    model = original(tiny)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    for number in range(4):
        (tmp_path / "images").mkdir(exist_ok=True)
        variation(number).save(tmp_path / "images" / f"{number}.png")
    store, weights = tmp_path / "v.db", ("--weights", tmp_path / "w.safetensors")
    report = embed(
        tmp_path / "images", store, model=f"open_clip/{tiny}", weights=weights[1], engine="torch", precision="full"
    )
    assert (report.embedded, report.dimension) == (4, 48)
    assert report.fingerprint.endswith("/pre1/float32/normalized")

    transform = open_clip.image_transform(64, is_train=False)
    ids, vectors = read(store)
    with torch.inference_mode():
        pictures = torch.stack([transform(reference.upright(tmp_path / "images" / each)) for each in ids])
        images = model.encode_image(pictures, normalize=True).numpy()
        words = model.encode_text(open_clip.get_tokenizer(tiny)(["a red car in snow"]), normalize=True)[0].numpy()
    assert min(reference.cosine(*pair) for pair in zip(vectors, images, strict=True)) >= 0.9999
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    page = tmp_path / "page.html"
    found = command("similar", store, "--text", "a red car in snow", *weights, "--json", "--html", page)
    assert found.returncode == 0, found.stderr
    assert found.report["text"] == "a red car in snow"
    scores = {each["image_id"]: each["score"] for each in found.report["matches"]}
    assert scores == {each: pytest.approx(image @ words, abs=1e-4) for each, image in zip(ids, images, strict=True)}
    assert "“a red car in snow”" in page.read_text(encoding="utf-8")


WORDS = ("dog", "a red car in snow", "the sea / at night", "# not a comment here", "never shown")


def regions_of(page: Path) -> list[dict[str, Any]]:
    found = re.search(r'id="data"[^>]*>(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    regions: list[dict[str, Any]] = json.loads(found[1])["regions"]
    return regions


def test_regions_of_a_gallery_have_the_nearest_label(tiny: str, tmp_path: Path) -> None:
    checkpoint = Checkpoint.find(find_model(f"open_clip/{tiny}"), "random")
    texts, chance = checkpoint.encode_texts(WORDS), np.random.default_rng(0)
    store = str(tmp_path / "v.db")
    identity = str(checkpoint.fingerprint("float32", normalize=None, preprocessing="pre1"))
    planted = [
        stored(
            f"{place}/{number}",
            vector=(texts[place] + 0.001 * chance.normal(size=48)).astype("<f4").tobytes(),
            dimension=48,
            fingerprint=identity,
        )
        for place in range(4)
        for number in range(25)
    ]
    planted.append(stored("4/empty", vector=bytes(48 * 4), dimension=48, fingerprint=identity))
    fill(store, planted)
    gallery(store, tmp_path / "page.html", labels=[*WORDS, " dog", ""], weights="random")
    named = [each for each in regions_of(tmp_path / "page.html") if len(each["images"]) > 1]
    assert {each["word"]["text"] for each in named} == set(WORDS[:4])
    for each in named:
        place, word = WORDS.index(each["word"]["text"]), each["word"]
        share = [planted[image].image_id.startswith(f"{place}/") for image in each["images"]]
        assert sum(share) > len(share) / 2
        after = WORDS.index(word["next_text"])
        assert 1 > word["score"] >= word["next_score"] == pytest.approx(texts[place] @ texts[after], abs=0.02)

    words = tmp_path / "words.txt"
    words.write_text("\ufeff# comment\ndog\n\n a red car in snow \r\ndog\nthe sea / at night\n", encoding="utf-8")
    page = tmp_path / "told.html"
    made = command("gallery", store, "--labels", words, "--weights", "random", "--html", page)
    assert made.returncode == 0, made.stderr
    assert "1 line with a label that is there already" in made.stderr
    told = {each["word"]["text"] for each in regions_of(page) if len(each["images"]) > 1}
    assert {"dog", "a red car in snow", "the sea / at night"} <= told


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n# words\n", "has no label; expected a word or a phrase"),
        (b"dog\ndog\n", "has one label, 'dog', which would name every region; expected two"),
        (b"\xff\xfe", "is not UTF-8"),
        (None, "cannot be read: No such file"),
        (b"dog\ncat\n", "squeezenet1_1 knows images only; words need a store made with a model of both"),
    ],
)
def test_labels_that_name_nothing_are_refused(tmp_path: Path, content: bytes | None, said: str) -> None:
    fill(str(tmp_path / "v.db"), [stored("1.jpg", fingerprint="squeezenet1_1/random/pre1/float32")])
    if content is not None:
        (tmp_path / "words.txt").write_bytes(content)
    words = ("--labels", tmp_path / "words.txt", "--weights", "random", "--html", tmp_path / "page.html")
    refused = command("gallery", tmp_path / "v.db", *words)
    assert refused.returncode == 2
    assert said in refused.stderr
    assert not (tmp_path / "page.html").exists()


def test_one_text_is_no_list_of_labels(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is one text; expected a list"):
        gallery(tmp_path / "v.db", tmp_path / "page.html", labels="dog")


def test_a_model_that_knows_no_words_is_answered_with_one_that_does(tmp_path: Path) -> None:
    put(tmp_path / "images", "1.jpg")
    store = tmp_path / "v.db"
    embed(tmp_path / "images", store, model="squeezenet1_1", weights="random", engine="torch", precision="full")
    refused = command("similar", store, "--text", "snow", "--weights", "random")
    assert refused.returncode == 2
    assert "squeezenet1_1 knows images only" in refused.stderr
    assert "open_clip/ViT-B-32/laion2b_s34b_b79k" in refused.stderr
    for query in ([], ["1.jpg", "--text", "snow"]):
        assert "expected one query" in command("similar", store, *query).stderr


def test_preprocessing_and_weights_are_those_of_the_published_configuration() -> None:
    model = find_model("open_clip/ViT-B-32/laion2b_s34b_b79k")
    assert model.preprocessing == Preprocessing(
        resize=224, crop=224, interpolation="bicubic", mean=CLIP_MEAN, std=CLIP_STD, fit="short"
    )
    assert (model.dimension, model.normalize) == (512, True)
    address = "https://huggingface.co/laion/CLIP-ViT-B-32-laion2B-s34B-b79K/resolve/main/open_clip_model.safetensors"
    assert model.url == address
    siglip = find_model("open_clip/ViT-B-16-SigLIP/webli").preprocessing
    assert (siglip.fit, siglip.mean, siglip.resize) == ("both", (0.5, 0.5, 0.5), 224)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-32", "ViT-B-32/ is followed by one of: openai, "),
        ("ViT-B-32/laion3b", "ViT-B-32/ is followed by one of: openai, "),
        ("ViT-B-33/openai", "similar architectures are: ViT-B-32, "),
    ],
)
def test_an_unknown_model_is_answered_with_those_that_are_known(name: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no model open_clip/") as caught:
        family.find(name)
    assert said in str(caught.value)
