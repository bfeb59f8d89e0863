"""Published weights on the Hugging Face hub: from its cache, from a server that answers as it does, or a sentence."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from embedder.models.hub import HubFile

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()
SCRIPT = """
from contextlib import contextmanager
from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.models.catalog import IMAGENET_PRESET
from embedder.models.hub import HubFile
from embedder.models.weights import find_weights, published_path
from embedder.system.steps import shown_on
class Steps:
    @contextmanager
    def step(self, *about):
        done = []
        yield done.append
        print(*about, sum(done))
model = Model(name="timm/tiny.a1", url=HubFile("timm/tiny.a1", "model.safetensors").address, digest="", dimension=3,
    preprocessing=IMAGENET_PRESET)
print(published_path(model).exists())
try:
    with shown_on(Steps()):
        print(find_weights("default", model).digest)
    print(published_path(model).read_bytes() == bytes(range(256)) * 40)
except ConfigurationError as error:
    print(error)
import sys
print("torch" in sys.modules)
"""


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for a file that Git keeps outside its repository."""

    def do_HEAD(self) -> None:
        found = self.path == "/timm/tiny.a1/resolve/main/model.safetensors"
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", "0123456789abcdef0123456789abcdef01234567")
        self.send_header("ETag", f'"{DIGEST}"')
        self.send_header("Content-Length", str(SIZE))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        self.wfile.write(CONTENT)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def found(endpoint: str, cache: Path) -> list[str]:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1"}
    told = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return told.stdout.splitlines()


def test_a_file_is_downloaded_once_by_a_step_and_its_digest_stands_for_it(hub: str, tmp_path: Path) -> None:
    step = f"downloading https://huggingface.co/timm/tiny.a1/resolve/main/model.safetensors {SIZE} B {SIZE}"
    assert found(hub, tmp_path) == ["False", step, DIGEST[:8], "True", "False"]
    assert found("http://127.0.0.1:9", tmp_path) == ["True", DIGEST[:8], "True", "False"]


def test_a_hub_that_cannot_be_reached_is_answered_with_remedies(tmp_path: Path) -> None:
    there, told, torch = found("http://127.0.0.1:9", tmp_path)
    assert (there, torch) == ("False", "False")
    assert "the published weights of timm/tiny.a1 cannot be downloaded: https://huggingface.co/timm/tiny.a1/" in told
    for remedy in (f"copy {tmp_path}/models--timm--tiny.a1 ", "hf download timm/tiny.a1", "--weights PATH", "random"):
        assert remedy in told


def test_addresses_of_the_hub_are_told_from_others() -> None:
    file = HubFile("laion/CLIP-ViT", "open_clip_model.safetensors")
    assert HubFile.at(file.address) == file
    assert HubFile.at("https://download.pytorch.org/models/resnet18-f37072fd.pth") is None
