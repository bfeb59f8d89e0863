"""A picture that Pillow opened, as the pixels that the model sees: opaque, upright, resized and cropped."""

from __future__ import annotations

import numpy as np
from PIL import Image

from embedder.decoding import simd
from embedder.decoding.rendering import to_rgb
from embedder.records import Pixels, Preprocessing

UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}

LONGEST_RESIZE = 16
"""The most crops in the long side of a picture that is resized as a whole before it is cut; a 1 × 20,000 image would
become a 256 × 5,120,000 one. Shorter pictures are resized as a whole, as the reference does it: Pillow rounds to 8 bits
between its two passes and may swap them with the size of the result, so that resizing the cropped part alone differs by
one level here and there (relative error 8e-3)."""


class Fitter:
    """Turns pictures of any mode and size into model input. Threads may share it.

    Args:
        preprocessing: how the model's publisher prepares images.
        exact: whether every pixel must equal the preset's. Otherwise pixels may differ by a level if that is faster.
    """

    def __init__(self, preprocessing: Preprocessing, *, exact: bool) -> None:
        self.preprocessing = preprocessing
        self.exact = exact

    def fit(self, image: Image.Image, orientation: int) -> Pixels:
        """Return a loaded picture as model input, (crop, crop, 3).

        Args:
            orientation: as EXIF numbers them.

        Raises:
            ImageError: nothing says which colours its numbers mean.
        """
        upright = to_rgb(image)
        if orientation in UPRIGHT:
            upright = upright.transpose(UPRIGHT[orientation])
        return self._crop(upright)

    def _crop(self, image: Image.Image) -> Pixels:
        """Resize the picture as the preprocessing says, and cut out the centre: (crop, crop, 3)."""
        preprocessing = self.preprocessing
        if preprocessing.fit == "short":
            return self._crop_short(image)
        filter = FILTERS[preprocessing.interpolation]
        resize, crop = preprocessing.resize, preprocessing.crop
        if preprocessing.fit == "both":
            square = image.resize((resize, resize), filter)
        else:
            # In this order, as the libraries compute it: another one would round some sides to another number.
            width, height = (max(1, round(side / (max(image.size) / resize))) for side in image.size)
            square = Image.new("RGB", (resize, resize), preprocessing.fill)
            square.paste(image.resize((width, height), filter), ((resize - width) // 2, (resize - height) // 2))
        corner = round((resize - crop) / 2)
        return np.asarray(square.crop((corner, corner, corner + crop, corner + crop)))

    def _crop_short(self, image: Image.Image) -> Pixels:
        """Resize the short side and crop the centre. What the crop lacks is black, and nearer the right and bottom."""
        resize, crop = self.preprocessing.resize, self.preprocessing.crop
        short = min(image.size)
        # torchvision truncates the long side.
        width, height = (resize if side == short else int(resize * side / short) for side in image.size)
        size = min(crop, width), min(crop, height)
        part = self._centre(image, (width, height), size)
        if size == (crop, crop):
            return part
        square = np.zeros((crop, crop, 3), np.uint8)
        left, top = (crop - size[0]) // 2, (crop - size[1]) // 2
        square[top : top + size[1], left : left + size[0]] = part
        return square

    def _centre(self, image: Image.Image, resized: tuple[int, int], size: tuple[int, int]) -> Pixels:
        """Resize the whole picture and cut out its centre.

        Args:
            resized: width and height of the whole, afterwards.
            size: width and height of the centre.
        """
        filter = self.preprocessing.interpolation
        # torchvision rounds the crop's corner (half to even).
        left, top = (round((whole - part) / 2) for whole, part in zip(resized, size, strict=True))
        x, y = image.width / resized[0], image.height / resized[1]  # source pixels per resized pixel
        box = (left * x, top * y, min(size[0] * x, image.width - left * x), min(size[1] * y, image.height - top * y))
        if not self.exact and simd.is_installed():
            return simd.resized(image, box, size, filter)
        if max(resized) <= LONGEST_RESIZE * self.preprocessing.crop:
            whole = image.resize(resized, FILTERS[filter])
            return np.asarray(whole.crop((left, top, left + size[0], top + size[1])))
        right, bottom = box[0] + box[2], box[1] + box[3]
        return np.asarray(image.resize(size, FILTERS[filter], box=(*box[:2], right, bottom)))
