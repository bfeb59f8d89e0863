"""Pages to look at: each is one file that loads nothing over a network, whatever its images are called."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Sequence
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
"""Of WebP; below this, skies and skins begin to show steps."""


def check_page(path: Path) -> None:
    """Find out, before any work is done, whether a page can be written to a path.

    Raises:
        ConfigurationError: its folder does not exist, or the path is itself a folder.
    """
    check_folder(path, f"--html {path}")
    if path.is_dir():
        raise ConfigurationError(f"--html {path} is a folder; name a file, such as {path / 'page.html'}")


def write_page(path: Path, template: str, scripts: Sequence[str], **context: Any) -> None:
    """Fill a template and write the page once it is complete.

    Args:
        template: gets `data` as JSON and the rest of the context as text.
        scripts: the files that make up the page's script, which share one scope.

    Raises:
        ConfigurationError: the file cannot be written there.
        TransientError: the disk is full.
    """
    style = _part("style.css")
    code = "\n".join(['"use strict";', "{", *map(_part, scripts), "}"])
    context["data"] = Markup(_json(context["data"]))
    html = filled(
        template,
        style=Markup(style),
        script=Markup(code),
        style_hash=_hash(style),
        script_hash=_hash(code),
        **context,
    )
    with writing(path, "--html") as part:
        part.write_text(html, encoding="utf-8")


def filled(template: str, **context: Any) -> str:
    """Fill a template, whose texts are escaped."""
    return _environment().get_template(template).render(**context)


def webp(pixels: np.ndarray) -> str:
    """Encode a picture, (height, width, 3 or 4) uint8, as a `data:` address."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("embedder", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = _breakable
    return made


def _breakable(name: str) -> Markup:
    """Let a name break after its separators, rather than within a word."""
    return Markup("<wbr>").join(re.split(r"(?<=[/\\_.\-\s])(?=[^/\\_.\-\s])", name))


def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the name by which the page's Content-Security-Policy allows its one style sheet and its one script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(data: Any) -> str:
    """Return JSON that can stand in a page: no `<` in it ends the element around it."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
