"""Models of every family: the pipeline's vectors are what goes into torchvision's own classifier."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import densenet, get_model_weights

from embedder import embed, read
from embedder.encoders.choice import installed_engines, open_encoder
from embedder.encoders.golden import golden_pictures
from embedder.encoders.pytorch import reference_vectors
from embedder.errors import ConfigurationError
from embedder.models import torchvision as family
from embedder.models.catalog import find_model
from embedder.models.checkpoint import Checkpoint
from tests.embedder import reference
from tests.seeded_backbones import architecture, write_backbone

FAMILIES = {
    "mobilenet_v3_small": ("classifier.3", 1024),
    "shufflenet_v2_x0_5": ("fc", 1024),
    "squeezenet1_1": ("classifier.1", 512),
}
MORE = {
    "alexnet": ("classifier.6", 4096),
    "convnext_tiny": ("classifier.2", 768),
    "densenet121": ("classifier", 1024),
    "efficientnet_b0": ("classifier.1", 1280),
    "efficientnet_b1": ("classifier.1", 1280),
    "efficientnet_v2_s": ("classifier.1", 1280),
    "googlenet": ("fc", 1024),
    "inception_v3": ("fc", 2048),
    "maxvit_t": ("classifier.5", 512),
    "mnasnet0_5": ("classifier.1", 1280),
    "mobilenet_v2": ("classifier.1", 1280),
    "mobilenet_v3_large": ("classifier.3", 1280),
    "regnet_y_400mf": ("fc", 440),
    "resnet50": ("fc", 2048),
    "resnext50_32x4d": ("fc", 2048),
    "swin_t": ("head", 768),
    "swin_v2_t": ("head", 768),
    "vgg11_bn": ("classifier.6", 4096),
    "vit_b_16": ("heads.head", 768),
    "vit_b_32": ("heads.head", 768),
    "wide_resnet50_2": ("fc", 2048),
}
"""Model → the layer that classifies, and how many numbers go into it; both from torchvision's source."""

EVERY = {**FAMILIES, **MORE}
REFUSED_BY_MNN = {"swin_v2_t"}
"""Models for which MNN 3.6 computes something else, which it is found out for."""

Make = Callable[[str], Path]


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Makes a model's state dict; only the last one is kept, since some are large."""
    place = tmp_path_factory.mktemp("seeded")

    def make(name: str) -> Path:
        path = place / f"{name}.pth"
        if not path.exists():
            for other in place.iterdir():
                other.unlink()
            write_backbone(name, path)
        return path

    return make


def classifier_inputs(name: str, weights: Path, images: torch.Tensor) -> np.ndarray:
    """What goes into the classifier of torchvision's whole model: (B, 3, H, W) normalised to (B, D)."""
    model = architecture(name)
    model.load_state_dict(torch.load(weights, weights_only=True))
    seen: list[torch.Tensor] = []
    model.eval().get_submodule(EVERY[name][0]).register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        model(images)
    (inputs,) = seen
    return (inputs.mean((2, 3)) if inputs.ndim == 4 else inputs).numpy()  # SqueezeNet's is a picture still


def check_family(name: str, weights: Path, images: Path, store: Path) -> None:
    report = embed(images, store, model=name, weights=weights, device="cpu", engine="torch", precision="full")
    digest = Checkpoint.find(find_model(name), str(weights)).weights.digest
    assert (report.embedded, report.fingerprint) == (3, f"{name}/{digest}/pre1/float32")
    preset = get_model_weights(name).DEFAULT.transforms()
    ids, vectors = read(str(store))
    pictures = torch.stack([preset(reference.upright(images / image_id)) for image_id in ids])
    expected = classifier_inputs(name, weights, pictures)
    assert vectors.shape == expected.shape == (3, EVERY[name][1]) == (3, report.dimension)
    for image_id, ours, theirs in zip(ids, vectors, expected, strict=True):
        cosine, error = reference.cosine(ours, theirs), reference.relative_error(ours, theirs)
        print(f"{name} {image_id}: cosine {cosine:.7f}, relative error {error:.1e}")
        assert cosine >= 0.9999
        assert error <= 1e-3


@pytest.mark.parametrize("name", FAMILIES)
def test_a_vector_is_what_goes_into_the_classifier(name: str, seeded: Make, images: Path, tmp_path: Path) -> None:
    check_family(name, seeded(name), images, tmp_path / "vectors.db")


@pytest.mark.slow
@pytest.mark.parametrize("name", MORE)
def test_a_vector_is_what_goes_into_the_classifier_of_more(
    name: str, seeded: Make, images: Path, tmp_path: Path
) -> None:
    check_family(name, seeded(name), images, tmp_path / "vectors.db")


def check_engine(name: str, engine: str, weights: Path) -> None:
    checkpoint = Checkpoint.find(find_model(name), str(weights))
    if engine == "mnn" and name in REFUSED_BY_MNN:
        with pytest.raises(ConfigurationError, match="the engine mnn in float32 does not agree with torch"):
            open_encoder(checkpoint, engine=engine, device="cpu", precision="full")
        return
    pixels = golden_pictures(checkpoint.preprocessing.crop)[:2]
    expected = reference_vectors(checkpoint, pixels)
    vectors = open_encoder(checkpoint, engine=engine, device="cpu", precision="full").encode(pixels)
    for one, other in zip(vectors, expected, strict=True):
        cosine, error = reference.cosine(one, other), reference.relative_error(one, other)
        print(f"{name} with {engine}: cosine {cosine:.7f}, relative error {error:.1e}")
        assert cosine >= 0.9999


@pytest.mark.parametrize("engine", installed_engines()[:-1])
@pytest.mark.parametrize("name", ["squeezenet1_1", "mobilenet_v3_small"])
def test_fast_engines_serve_other_families(name: str, engine: str, seeded: Make) -> None:
    check_engine(name, engine, seeded(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("engine", installed_engines()[:-1])
def test_fast_engines_serve_every_family_or_say_that_they_do_not(name: str, engine: str, seeded: Make) -> None:
    check_engine(name, engine, seeded(name))


@pytest.mark.slow
def test_every_model_of_torchvision_gives_vectors() -> None:
    names = family.names()
    assert len(names) >= 80
    for name in names:
        model = find_model(name)
        assert model.url.endswith(".pth")
        side = model.preprocessing.crop
        assert 224 <= side <= model.preprocessing.resize
        with torch.inference_mode():
            assert family.build(find_model(name)).module(torch.zeros(1, 3, side, side)).shape == (1, model.dimension)


class TestStateDicts:
    """Files as people have them: another classifier, none, older names, no versions."""

    def vectors(self, name: str, weights: Path) -> np.ndarray:
        return reference_vectors(Checkpoint.find(find_model(name), str(weights)), golden_pictures(224)[:1])

    @pytest.mark.parametrize("name", ["mobilenet_v3_small", "squeezenet1_1", "mnasnet0_5"])
    def test_the_classifier_is_not_looked_at(self, name: str, seeded: Make, tmp_path: Path) -> None:
        expected = self.vectors(name, seeded(name))
        state = torch.load(seeded(name), weights_only=True)
        head = EVERY[name][0]
        for count, path in ((7, tmp_path / "seven.safetensors"), (0, tmp_path / "none.safetensors")):
            other = {part: values for part, values in state.items() if not part.startswith(f"{head}.")}
            if count:
                kept = state[f"{head}.weight"][:count].contiguous()
                other = {**other, f"{head}.weight": kept, f"{head}.bias": torch.zeros(count)}
            save_file(other, path)
            assert np.array_equal(self.vectors(name, path), expected)

    def test_a_transformers_other_head_may_have_any_form(self) -> None:
        backbone = family.build(find_model("vit_b_32"))
        state = OrderedDict(backbone.module.state_dict())
        backbone.load({**state, "heads.weight": torch.zeros(3, 768), "heads.0.bias": torch.zeros(3)})
        with pytest.raises(ValueError, match=r"the file has the unknown extra\.weight"):
            backbone.load({**state, "extra.weight": torch.zeros(1)})

    def test_branches_that_only_training_uses_may_be_missing(self, seeded: Make, tmp_path: Path) -> None:
        state = torch.load(seeded("googlenet"), weights_only=True)
        torch.save({part: value for part, value in state.items() if not part.startswith("aux")}, tmp_path / "g.pth")
        assert np.array_equal(
            self.vectors("googlenet", tmp_path / "g.pth"), self.vectors("googlenet", seeded("googlenet"))
        )

    def test_names_from_before_densenet_was_renamed_are_read_as_torchvision_reads_them(self) -> None:
        original = architecture("densenet121")
        old = {
            part.replace("norm1.", "norm.1.").replace("norm2.", "norm.2.").replace("conv1.", "conv.1.")
            if "denselayer" in part
            else part: value
            for part, value in original.state_dict().items()
            if not part.endswith("num_batches_tracked")  # they are older than that, too
        }
        assert "features.denseblock1.denselayer1.norm.1.weight" in old

        class Published:
            def get_state_dict(self, **_options: Any) -> dict[str, torch.Tensor]:
                return dict(old)

        theirs, ours = architecture("densenet121"), family.build(find_model("densenet121"))
        densenet._load_state_dict(theirs, Published(), progress=False)
        ours.load(old)
        expected = theirs.state_dict()
        for part, value in ours.module.state_dict().items():
            assert part.endswith("num_batches_tracked") or torch.equal(value, expected[part]), part

    @pytest.mark.parametrize("versioned", [True, False])
    def test_names_from_before_transformers_were_renamed_are_read(self, versioned: bool) -> None:
        backbone = family.build(find_model("vit_b_32"))
        state = architecture("vit_b_32").state_dict()
        old = OrderedDict(
            (part.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."), value)
            for part, value in state.items()
        )
        assert "encoder.layers.encoder_layer_0.mlp.linear_2.bias" in old
        if versioned:
            old._metadata = {part: {"version": 1} for part in state._metadata}  # type: ignore[attr-defined]
        backbone.load(old)
        part = "encoder.layers.encoder_layer_3.mlp.3.weight"
        assert torch.equal(backbone.module.state_dict()[part], state[part])

    def test_what_does_not_fit_is_named(self, tmp_path: Path) -> None:
        state = architecture("squeezenet1_1").state_dict()
        torch.save({**state, "features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "grey.pth")
        with pytest.raises(
            ConfigurationError, match=r"do not fit squeezenet1_1: size mismatch for features\.0\.weight"
        ):
            self.vectors("squeezenet1_1", tmp_path / "grey.pth")


def test_googles_two_normalise_as_their_published_weights_want_it() -> None:
    for name in ("googlenet", "inception_v3"):
        assert vars(family.build(find_model(name)).module)["transform_input"] is True


def test_random_weights_are_always_the_same_and_leave_chance_alone() -> None:
    before = torch.get_rng_state()
    first, second = (family.build(find_model("squeezenet1_1")).module for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert isinstance(first, nn.Module)
