"""Pages to look at: each one file that loads nothing from elsewhere, whatever the images are called."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from embedder.errors import ConfigurationError
from embedder.system.files import check_folder, writing

QUALITY = 78
"""Of WebP; below it skies and skins begin to show steps."""


def check_page(path: Path) -> None:
    """Find out, before any work is spent, whether a page can be written there.

    Raises:
        ConfigurationError: its folder is not there, or it is a folder itself.
    """
    check_folder(path, f"--html {path}")
    if path.is_dir():
        raise ConfigurationError(f"--html {path} is a folder; name a file, such as {path / 'page.html'}")


def write_page(path: Path, template: str, script: str, **context: Any) -> None:
    """Fill a template, which gets `data` as JSON and everything else as text, and write it when it is complete.

    Raises:
        ConfigurationError: the file cannot be written there.
        TransientError: the disk is full.
    """
    style, code = _part("style.css"), _part(script)
    page = _environment().get_template(template)
    context["data"] = Markup(_json(context["data"]))
    html = page.render(
        style=Markup(style), script=Markup(code), style_hash=_hash(style), script_hash=_hash(code), **context
    )
    with writing(path, "--html") as part:
        part.write_text(html, encoding="utf-8")


def webp(pixels: np.ndarray) -> str:
    """A picture, (height, width, 3 or 4) uint8, as the text of a `data:` address."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("embedder", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """What the page's Content-Security-Policy calls the only style and the only script that may apply."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: Any) -> str:
    """JSON that can stand in a page: no `<` ends the element it is in."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
