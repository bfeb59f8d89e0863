"""Pictures that every engine encodes when it starts, to be compared with the reference's vectors.

They have the statistics that matter for this: the spectrum of photographs, whose amplitude falls with the frequency,
and their range of contrast and brightness. With sensitive weights and bfloat16, these pictures lose slightly more than
photographs do (a median cosine of 0.99984 against 0.99987, at worst 0.99965 against 0.99972); chequers and discs lose
less, so that they would let pass what photographs do not bear. Measured in docs/design.md.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from embedder.records import Pixels

GOLDEN_PICTURES = 16
DECAY = 1.5
"""The amplitude at a frequency f is f to the power of -DECAY; photographs have 1 to 2."""
CONTRASTS = (15, 50)
"""Levels, as a standard deviation, of one half of the pictures and of the other."""
COLOUR = 0.3
"""How far the channels differ from each other, beside what they have in common."""


@cache
def golden_pictures(side: int) -> Pixels:
    """Make the golden pictures, the same on every machine: (GOLDEN_PICTURES, side, side, 3) uint8 RGB."""
    chance = np.random.Generator(np.random.PCG64(7))
    across, down = np.fft.rfftfreq(side), np.fft.fftfreq(side)[:, None]
    amplitudes = np.maximum(np.hypot(across, down), 1 / side) ** -DECAY  # (side, side // 2 + 1)
    pictures = np.empty((GOLDEN_PICTURES, side, side, 3), np.uint8)
    for number, picture in enumerate(pictures):
        common, *colours = (_field(chance, amplitudes, side) for _ in range(4))
        levels = np.stack([common + COLOUR * colour for colour in colours], axis=-1)
        contrast, brightness = CONTRASTS[number % len(CONTRASTS)], chance.uniform(50, 200)
        picture[:] = np.clip(brightness + contrast * levels, 0, 255)
    return pictures


def _field(chance: np.random.Generator, amplitudes: np.ndarray, side: int) -> np.ndarray:
    """Draw a random field of that spectrum, (side, side), with mean 0 and standard deviation 1."""
    spectrum = amplitudes * (chance.normal(size=amplitudes.shape) + 1j * chance.normal(size=amplitudes.shape))
    field = np.fft.irfft2(spectrum, s=(side, side))
    field -= field.mean()
    return np.asarray(field / field.std())
