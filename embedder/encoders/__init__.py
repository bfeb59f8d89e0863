"""Pixels to vectors: one file for each engine behind one small protocol.

To add an engine, write a file beside these and give it a line in `ENGINES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from embedder.system.doors import behind

if TYPE_CHECKING:
    from torch import nn

    from embedder.encoders.prepared import Prepared
    from embedder.records import Pixels, Preprocessing, Vectors  # which needs numpy, and --help imports this file

Device: TypeAlias = Literal["cpu", "cuda"]
Arithmetic: TypeAlias = Literal["float32", "bfloat16", "bfloat16-split", "float16"]
"""In which numbers a network computes. `bfloat16-split` keeps each weight as a high and a low half."""


class Network(Protocol):
    """What an engine runs: a model with its weights."""

    @property
    def name(self) -> str:
        """The model's name, for sentences."""

    @property
    def key(self) -> str:
        """A folder name for what is made of this network: another network has another one."""

    @property
    def dimension(self) -> int:
        """Numbers in a vector."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What its input is."""

    def module(self) -> nn.Module:
        """Build the network: (B, 3, crop, crop) normalised to (B, dimension), float32, on the CPU.

        Raises:
            ConfigurationError: its weights cannot be had or do not fit.
        """


class Encoder(Protocol):
    """A network, loaded and ready."""

    engine: str
    device: str
    dimension: int
    lanes: int
    """How many `encode` calls at once are worth while; any number may be made."""
    batch_size: int
    """The most pictures worth handing to one `encode`."""

    @property
    def arithmetic(self) -> str:
        """In which numbers it computes."""

    def encode(self, pixels: Pixels) -> Vectors:
        """Return one vector for each picture.

        Args:
            pixels: (B, crop, crop, 3) uint8 RGB.

        Returns:
            (B, dimension) float32, row for row.
        """


Opener: TypeAlias = "Callable[[Prepared, Arithmetic, int | None], Encoder]"
"""Loads a prepared network, to compute in an arithmetic, for batches of at most so many pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A way to run a network on a device."""

    name: str
    """What `--engine` calls it."""
    opens: str | Opener
    """The opener, or where it is: `package.module:Class`."""
    device: Device = "cpu"
    arithmetics: Mapping[Arithmetic, frozenset[str]] = field(default_factory=lambda: {"float32": frozenset()})
    """The arithmetics that the engine supports. Each is tried if the processor has one of its features, or if it names
    none."""
    module: str = ""
    """The Python module that it needs besides torch."""
    distribution: str = "torch"
    """The package whose version determines the engine's results."""
    trusted: bool = False
    """Whether its float32 vectors are the reference by definition, and need no proof."""

    @property
    def installed(self) -> bool:
        return not self.module or find_spec(self.module) is not None

    def open(self, prepared: Prepared, arithmetic: Arithmetic, batch_size: int | None) -> Encoder:
        """Load a network. Raises whatever the engine raises."""
        return behind(self.opens)(prepared, arithmetic, batch_size)


FALLBACKS: Mapping[Arithmetic, Arithmetic] = {"bfloat16-split": "bfloat16"}
"""An arithmetic that is exacter and slower than another, and so only of use where vectors do not bear that one."""

BFLOAT16 = frozenset({"amx_bf16", "avx512_bf16"})
FLOAT16 = frozenset({"amx_fp16"})
"""AVX512-FP16 alone is not enough: OpenVINO's f16 was slower than its f32 without AMX-FP16."""

ENGINES = [
    Engine(name="mnn", opens="embedder.encoders.mnn:MNNEncoder", module="MNN", distribution="mnn"),
    Engine(
        name="openvino",
        opens="embedder.encoders.openvino:OpenVINOEncoder",
        arithmetics={"bfloat16": BFLOAT16, "bfloat16-split": BFLOAT16, "float16": FLOAT16, "float32": frozenset()},
        module="openvino",
        distribution="openvino",
    ),
    Engine(
        name="torch",
        opens="embedder.encoders.cuda:CudaEncoder",
        device="cuda",
        arithmetics={"float16": frozenset(), "float32": frozenset()},
    ),
    Engine(
        name="torch",
        opens="embedder.encoders.pytorch:TorchEncoder",
        arithmetics={"bfloat16": BFLOAT16, "float32": frozenset()},
        trusted=True,
    ),
]
"""Every way to run a network. `auto` measures those that can work here; the last is there when no other works."""


def engine_names() -> list[str]:
    """Return what `--engine` takes besides `auto`."""
    return list(dict.fromkeys(each.name for each in ENGINES))
