"""Files of the Hugging Face hub: in its cache, else downloaded into it. Needs no torch.

The library's own cache is used, so that a file that another program fetched is found, and `hf download` fills it.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

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
        """Download the file into the cache and return its path.

        Raises:
            OSError: the hub cannot be reached or has no such file, or the cache cannot be written.
        """
        from huggingface_hub import hf_hub_download, hf_hub_url
        from huggingface_hub.errors import RemoteEntryNotFoundError
        from huggingface_hub.utils.tqdm import disable_progress_bars

        asked = urllib.request.Request(hf_hub_url(self.repository, self.name), method="HEAD")  # noqa: S310
        # The library tries for half a minute to reach a hub whose name nobody knows. This fails at once. A refusal
        # is an answer, too: it may end where the library sends the user's token.
        with suppress(urllib.error.HTTPError):
            urllib.request.urlopen(asked, timeout=TIMEOUT).close()  # noqa: S310 - the address is the hub's
        disable_progress_bars()
        for name in self.names[:-1]:
            with suppress(RemoteEntryNotFoundError):
                return Path(hf_hub_download(self.repository, name))
        return Path(hf_hub_download(self.repository, self.names[-1]))
