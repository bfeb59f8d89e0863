"""Checks of the weights, the device and the engine, and of the vectors against the reference."""

from __future__ import annotations

from pathlib import Path

from embedder.decoding.probe import preprocessing_version
from embedder.doctor import Finding, ok, skipped
from embedder.encoders import Encoder
from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.models.checkpoint import Checkpoint
from embedder.models.weights import DEFAULT, DIGITS, RANDOM, downloadable_size, published_path, sha256
from embedder.options import RunOptions
from embedder.system.files import try_writing


class ModelExam:
    """The checks of one model. Each check relies on those before it."""

    def __init__(self, model: Model, options: RunOptions) -> None:
        self.model = model
        self.options = options
        self.usable: Checkpoint | None = None
        self.encoder: Encoder | None = None

    def fingerprint(self) -> str:
        """Return the fingerprint of the vectors that a run would make.

        Raises:
            ConfigurationError: only the weights tell it, and they are not here.
        """
        if self.options.weights == DEFAULT and not self.model.digest and not published_path(self.model).exists():
            raise ConfigurationError(
                f"the fingerprint of {self.model.name} is not known before its weights are here; see the check weights"
            )
        checkpoint = Checkpoint.find(self.model, self.options.weights)
        return str(
            checkpoint.fingerprint(
                self.options.dtype, normalize=self.options.normalize, preprocessing=preprocessing_version()
            )
        )

    def weights(self) -> Finding:
        """Check that the weights are here, unaltered, and fit the model. This downloads nothing."""
        published = self.options.weights == DEFAULT
        path = published_path(self.model) if published else Path(self.options.weights)
        if published and not path.exists():
            return self._download(path)
        checkpoint = Checkpoint.find(self.model, self.options.weights)
        made_by = f"vectors will be {self.fingerprint()}"
        if checkpoint.weights.choice == RANDOM:
            self.usable = checkpoint
            return Finding(
                "warning",
                f"random, for trying things out; {made_by}",
                "give --weights default or the PATH of a state dict",
            )
        checkpoint.module()  # loads the weights, and checks a published file against its hash
        self.usable = checkpoint
        terms = self._license if published else ""
        return ok(f"{path}, SHA-256 {sha256(path)[: 2 * DIGITS]}…, fits {self.model.name}; {made_by}{terms}")

    @property
    def _license(self) -> str:
        return f"; their licence is {self.model.license}" if self.model.license else ""

    def _download(self, path: Path) -> Finding:
        """Try what a run would do first: reach the published file, and write where it will be kept."""
        if not self.model.url:
            return Finding("failed", f"{self.model.name} has no published weights", "give --weights PATH, or random")
        try:
            bytes_ = downloadable_size(self.model)
        except ConfigurationError as error:
            found, _, remedy = str(error).partition(". ")
            return Finding("failed", found, remedy)
        folder = path.parent
        while not folder.exists():
            folder = folder.parent
        try:
            try_writing(folder)
        except OSError as error:
            return Finding(
                "failed",
                f"{path} is not there, and {folder} cannot be written: {error.strerror}",
                "set TORCH_HOME to a writable folder",
            )
        how_much = f" ({bytes_ / 1e6:.0f} MB)" if bytes_ else ""
        return Finding(
            "warning",
            f"{path} is not there; {self.model.url} answers, and a run will download it first{how_much}{self._license}",
            f"if later runs have no network, copy the file to {path}, or bake it into the image",
        )

    def device(self) -> Finding:
        """Name the GPU that torch can use, or the reason why it cannot use one."""
        import torch

        present = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
        if torch.cuda.is_available():
            about = torch.cuda.get_device_properties(0)
            found = f"{about.name}, {about.total_memory / (1 << 30):.0f} GiB, CUDA {torch.version.cuda}"
            return ok(found + (", not used with --device cpu" if self.options.device == "cpu" else ""))
        if self.options.device == "cuda":
            return Finding(
                "failed",
                "--device cuda, and torch finds no CUDA device",
                "use --device cpu, or check nvidia-smi and the driver",
            )
        if present and self.options.device == "auto":
            return Finding(
                "warning",
                f"{', '.join(present)} is there and torch cannot use it (CUDA {torch.version.cuda or 'none'})",
                "check the driver with nvidia-smi; it may be older than this torch needs, or torch is a CPU build",
            )
        return ok("the CPU; there is no NVIDIA device")

    def engine(self) -> Finding:
        """Name the installed engines, and the one that a run would choose."""
        from embedder.encoders.choice import installed_engines, open_encoder

        if self.usable is None:
            return skipped("there are no weights to run")
        options = self.options
        self.encoder = open_encoder(
            self.usable,
            engine=options.engine,
            device=options.device,
            precision=options.precision,
            batch_size=options.batch_size,
        )
        engines = installed_engines()
        encoder = self.encoder
        found = f"{encoder.engine} in {encoder.arithmetic} on {encoder.device}, of {', '.join(engines)}"
        if engines == ["torch"] and self.encoder.device == "cpu":
            return Finding("warning", found, "pip install '.[mnn]': about twice as fast on the CPU")
        return ok(found)

    def golden(self) -> Finding:
        """Compare the engine's vectors of the golden pictures with those of eager float32 torch."""
        from embedder.encoders.golden import GOLDEN_PICTURES
        from embedder.encoders.prepared import Prepared
        from embedder.encoders.proof import agreement, least_cosine

        if self.usable is None or self.encoder is None:
            return skipped("there is no engine to try")
        with Prepared.open(self.usable) as prepared:
            worst = agreement(self.encoder, prepared).cosine
        least = least_cosine(self.encoder.device)
        if not worst >= least:
            raise ConfigurationError(
                f"{self.encoder.engine} has cosine {worst:.5f} to torch on {GOLDEN_PICTURES} pictures, but needs "
                f"{least}; use --engine torch --device cpu"
            )
        return ok(f"cosine {worst:.6f} to torch on {GOLDEN_PICTURES} pictures; at least {least} is needed")
