"""Files of the Hugging Face hub: in its cache, else downloaded into it. Needs no torch.

The library's own cache is used, so that a file that another program fetched is found, and `hf download` fills it.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

from embedder.system.steps import Advance, step

TIMEOUT = 20
"""Seconds to wait for the hub's first answer."""

OLDER = {"model.safetensors": "pytorch_model.bin", "open_clip_model.safetensors": "open_clip_pytorch_model.bin"}
"""What a file is called in repositories that were never brought up to date."""

ADDRESS = "https://huggingface.co/{}/resolve/main/{}"


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of the hub, in its newest version; or the older file in its place."""

    repository: str
    name: str

    @classmethod
    def at(cls, address: str) -> HubFile | None:
        """Return the file that an address names; None if it is no file of the hub."""
        found = re.fullmatch(ADDRESS.format("([^/]+/[^/]+)", "(.+)"), address)
        return cls(found[1], found[2]) if found else None

    @property
    def address(self) -> str:
        return ADDRESS.format(self.repository, self.name)

    @property
    def folder(self) -> Path:
        """The folder of the cache that has the repository, whether it is there or not."""
        from huggingface_hub import constants
        from huggingface_hub.file_download import repo_folder_name

        return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=self.repository, repo_type="model")

    @property
    def names(self) -> list[str]:
        """What the file may be called, the best one first."""
        return [self.name, *([OLDER[self.name]] if self.name in OLDER else [])]

    def cached(self) -> Path | None:
        """Return the path of the file in the cache; None if it is not there."""
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(self.repository, name) for name in self.names)
        return next((Path(path) for path in found if isinstance(path, str)), None)

    def download(self) -> Path:
        """Download the file into the cache, as a step that counts its bytes, and return its path.

        Raises:
            OSError: the hub cannot be reached or has no such file, or the cache cannot be written.
        """
        from huggingface_hub.errors import RemoteEntryNotFoundError

        for name in self.names[:-1]:
            with suppress(RemoteEntryNotFoundError):
                return self._download(name)
        return self._download(self.names[-1])

    def _download(self, name: str) -> Path:
        from huggingface_hub import hf_hub_download

        size = self._size(name)
        with step(f"downloading {ADDRESS.format(self.repository, name)}", total=size, unit="B") as advance:
            return Path(hf_hub_download(self.repository, name, **_watched_by(advance)))

    def _size(self, name: str) -> int | None:
        """Ask the hub for a file's bytes; None if it does not say."""
        from huggingface_hub import hf_hub_url

        asked = urllib.request.Request(hf_hub_url(self.repository, name), method="HEAD")  # noqa: S310
        # The library tries for half a minute to reach a hub whose name nobody knows. This fails at once. A refusal
        # is an answer, too: it may end where the library sends the user's token.
        with (
            suppress(urllib.error.HTTPError),
            urllib.request.urlopen(asked, timeout=TIMEOUT) as answer,  # noqa: S310 - the address is the hub's
        ):
            return int(answer.headers.get("Content-Length") or 0) or None
        return None


def _watched_by(advance: Advance) -> dict[str, Any]:
    """Return the arguments with which the library tells of the bytes that arrive, and draws no bar of its own."""
    from huggingface_hub import hf_hub_download

    if "tqdm_class" not in signature(hf_hub_download).parameters:  # before its version 1
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        return {}
    from tqdm import tqdm

    class Told(tqdm):  # type: ignore[type-arg]
        """A bar that is not drawn: what it is told goes on to the step."""

        def __init__(self, *_: object, total: float | None = None, **_about: object) -> None:
            super().__init__(total=total, disable=True)

        def update(self, n: float | None = 1) -> None:
            advance(int(n or 0))

        def update_transfer(self, n: float) -> None:
            """Be told of bytes on their way, of parts of the file. With this method there is one bar, not two."""

        def set_transfer_postfix_str(self, *_: object, **_about: object) -> None:
            """Be told how quickly these come."""

    return {"tqdm_class": Told}
