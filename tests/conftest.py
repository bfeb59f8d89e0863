"""Fixtures that every test may use; what they start is in `tests/parts/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from tests import photographs as photos
from tests.cli import Cli
from tests.parts import dynamodb as dynamodb_part
from tests.parts import s3_moto as moto_part
from tests.parts import s3_rclone as rclone_part
from tests.parts.aws import SEALED, Credentials
from tests.parts.dynamodb import DynamoDB
from tests.parts.missing import missing
from tests.parts.s3 import S3
from tests.parts.server import locked

if TYPE_CHECKING:
    from scripts.simulation.containers import ContainerMachine

# A busy machine is no failure, and a failure that CI finds must be found again.
settings.register_profile("embedder", deadline=None, print_blob=True, derandomize="CI" in os.environ)
settings.load_profile("embedder")

SHARED = pytest.StashKey[Path]()
LIFELINE = pytest.StashKey[int]()


def seal_environment() -> None:
    """Let nothing of the surrounding machine in, and share its cores between the workers.

    Subprocesses inherit this. It has to happen before torch is imported.
    """
    for name in list(os.environ):
        if name.startswith(("AWS_", "EMBEDDER_")) or name.lower() in {
            "http_proxy",
            "https_proxy",
            "all_proxy",
        }:
            del os.environ[name]
    os.environ.update(SEALED)
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = threads


seal_environment()


def pytest_configure(config: pytest.Config) -> None:
    """Give all workers one folder, and servers that they share a lifeline that only this process holds."""
    if hasattr(config, "workerinput"):
        config.stash[SHARED] = Path(config.workerinput["shared"])
        return
    config.stash[SHARED] = Path(tempfile.mkdtemp(prefix="embedder-tests-"))
    lifeline = config.stash[SHARED] / "lifeline"
    os.mkfifo(lifeline)
    config.stash[LIFELINE] = os.open(lifeline, os.O_RDWR)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Let go: the shared servers end, and what the workers shared is removed."""
    if LIFELINE in config.stash:
        os.close(config.stash[LIFELINE])
        shutil.rmtree(config.stash[SHARED], ignore_errors=True)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each of xdist's workers where the shared folder is."""
    node.workerinput["shared"] = str(node.config.stash[SHARED])


@pytest.fixture(scope="session")
def shared(pytestconfig: pytest.Config) -> Path:
    """A folder that all workers of this test run have in common."""
    return pytestconfig.stash[SHARED]


@pytest.fixture
def credentials() -> Credentials:
    """Who this test is, to every part it uses, so that their environments can be joined with `|`."""
    return Credentials()


@pytest.fixture(scope="session")
def dynamodb_endpoint(shared: Path) -> str:
    """The address of DynamoDB Local, which all workers share."""
    return dynamodb_part.endpoint(shared, shared / "lifeline")


@pytest.fixture
def dynamodb(dynamodb_endpoint: str, credentials: Credentials) -> DynamoDB:
    """An empty database of this test's own; `create_table()` makes the standard table in it."""
    return DynamoDB(endpoint=dynamodb_endpoint, credentials=credentials)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """The address of moto's server, one in every worker: S3, and Batch, CloudFormation and the rest."""
    with moto_part.serving() as endpoint:
        yield endpoint


@pytest.fixture
def s3_moto(moto_endpoint: str, credentials: Credentials) -> S3:
    """A new bucket in moto's S3."""
    return S3(server="moto", endpoint=moto_endpoint, credentials=credentials).create_bucket()


@pytest.fixture
def s3_rclone(tmp_path_factory: pytest.TempPathFactory, credentials: Credentials) -> Iterator[S3]:
    """A new bucket in an rclone server that knows only this test's keys."""
    with rclone_part.serving(tmp_path_factory.mktemp("rclone"), credentials) as endpoint:
        yield S3(server="rclone", endpoint=endpoint, credentials=credentials).create_bucket()


@pytest.fixture(params=["moto", "rclone"])
def s3(request: pytest.FixtureRequest) -> S3:
    """A new bucket, in each of the two independent S3 servers in turn."""
    found = request.getfixturevalue(f"s3_{request.param}")
    assert isinstance(found, S3)
    return found


@pytest.fixture(scope="session")
def machine() -> ContainerMachine:
    """The machine of the simulated Batch whose workers are containers of the image, which may have to be built."""
    from scripts.simulation.containers import ContainerMachine

    root = Path(__file__).parents[1]
    named = subprocess.run([root / "scripts" / "engine"], capture_output=True, text=True, check=False)
    if named.returncode:
        missing(f"there is no container engine: {named.stderr}")
    return ContainerMachine.prepare()


@pytest.fixture(scope="session")
def photographs() -> list[Path]:
    """Real pictures of many kinds, read-only: those of scikit-image's wheel."""
    return photos.pictures()


@pytest.fixture
def photo_folder(tmp_path: Path) -> Path:
    """A folder of twelve different JPEG photographs, four of them in its subfolder `more`."""
    folder = tmp_path / "photos"
    photos.write_photos(folder, 12)
    return folder


@pytest.fixture(scope="session")
def weights(shared: Path) -> Path:
    """A ResNet18 state dict to use as `--weights`, made once in a test run."""
    return _made_once(shared / "resnet18.pth", "write_resnet18")


@pytest.fixture(scope="session")
def plain_weights(shared: Path) -> Path:
    """Another, less sensitive one; see where it is made."""
    return _made_once(shared / "plain-resnet18.pth", "write_plain_resnet18")


def _made_once(path: Path, maker: str) -> Path:
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            from tests import seeded_weights

            getattr(seeded_weights, maker)(path)
    return path


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs `embedder …` as a subprocess in this test's folder."""
    return Cli(folder=tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not allowed here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
