"""The image as people use it: through `scripts/container`, and by an engine's own commands where those are the subject.

The image is built once in a test run, and not at all where the sources have not changed since the last one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder import read
from tests.cli import ROOT, Cli, Result
from tests.parts.dynamodb import DynamoDB
from tests.parts.missing import missing
from tests.parts.s3 import S3

IMAGE = "localhost/embedder"
ENGINE_ENV = {"CONTAINERS_CONF": str(ROOT / "scripts" / "containers.conf")}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """The image, run in two ways."""

    engine: str

    def start(self, *arguments: str, mounts: Mapping[Path, str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        words = " ".join(f"{here}:{there}" for here, there in mounts.items())
        return subprocess.Popen(
            [str(ROOT / "scripts" / "container"), *arguments],
            env={**os.environ, "EMBEDDER_MOUNTS": words, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, *arguments: str, mounts: Mapping[Path, str] | None = None, env: Mapping[str, str] | None = None
    ) -> Result:
        """`scripts/container ARGUMENTS`, to its end."""
        process = self.start(*arguments, mounts=mounts or {}, env=env or {})
        stdout, stderr = process.communicate(timeout=1400)
        return Result(returncode=process.returncode, stdout=stdout, stderr=stderr)

    def raw(self, *words: str) -> Result:
        """The engine's own command."""
        environment = os.environ | ENGINE_ENV
        done = subprocess.run(
            [self.engine, *words], env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        return Result(returncode=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.raw("image", "inspect", IMAGE).stdout)[0]["Config"]
        return found


@pytest.fixture(scope="module")
def container() -> Container:
    named = subprocess.run([str(ROOT / "scripts" / "engine")], capture_output=True, text=True, check=False)
    if named.returncode:
        missing(f"there is no container engine: {named.stderr}")
    engine = named.stdout.strip()
    found = Container(engine=engine)
    built = found("--version")
    assert built.returncode == 0, built.stderr
    assert built.stdout.startswith("embedder ")
    return found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def test_a_folder_becomes_the_vectors_it_becomes_outside(
    container: Container, cli: Cli, photo_folder: Path, out: Path
) -> None:
    (photo_folder / "broken.jpg").write_bytes(b"no picture")
    arguments = ("--weights", "random", "--json")
    inside = container(
        *("run", "/images", "--store", "/out/vectors.db", *arguments), mounts={photo_folder: "/images:ro", out: "/out"}
    )
    assert inside.returncode == 0, inside.stderr
    assert (inside.report["embedded"], inside.report["failed"]) == (12, 1)
    outside = cli("run", photo_folder, "--store", "outside.db", *arguments)
    assert outside.returncode == 0, outside.stderr
    assert inside.report["fingerprint"] == outside.report["fingerprint"]
    assert inside.report["engine"] in ("mnn", "openvino"), "the slow engine: were these refused?"
    ids, vectors = read(str(out / "vectors.db"))
    same, expected = read(str(cli.folder / "outside.db"))
    assert ids == same
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((vectors * expected).sum(axis=1) / lengths).min() > 0.9999


def test_s3_and_dynamodb_are_reached(
    container: Container, s3_rclone: S3, dynamodb: DynamoDB, photo_folder: Path
) -> None:
    paths = sorted(photo_folder.glob("*.jpg"))
    s3_rclone.put({f"images/{path.name}": path.read_bytes() for path in paths})
    dynamodb.create_table()
    env = s3_rclone.environment() | dynamodb.environment() | {"EMBEDDER_WEIGHTS": "random"}
    done = container("run", s3_rclone.uri("images/"), "--store", "dynamodb://vectors", "--json", env=env)
    assert done.returncode == 0, done.stderr
    assert set(dynamodb.items()) == {f"images/{path.name}" for path in paths}


def test_exit_codes_come_out(container: Container, tmp_path: Path, out: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "a.jpg").write_bytes(b"no picture")
    mounts = {bad: "/images:ro", out: "/out"}
    spoiled = container("run", "/images", "--weights", "random", mounts=mounts)
    assert spoiled.returncode == 65, spoiled.stderr
    absent = container("run", "/nowhere", "--weights", "random", mounts=mounts)
    assert absent.returncode == 2
    assert "/nowhere" in absent.stderr
    assert "Traceback" not in absent.stderr


def test_sigterm_passes_through_and_what_is_finished_is_stored(
    container: Container, photo_folder: Path, tmp_path: Path, out: Path
) -> None:
    many = tmp_path / "many"
    many.mkdir()
    pictures = sorted(photo_folder.rglob("*.jpg"))
    for number in range(3000):
        os.link(pictures[number % len(pictures)], many / f"{number:04}.jpg")
    run = container.start(
        *("run", "/images", "--weights", "random", "--quiet"), mounts={many: "/images:ro", out: "/out"}, env={}
    )
    store = out / "vectors.db"
    deadline = time.monotonic() + 200
    while not (store.exists() and store.stat().st_size) and run.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    run.send_signal(signal.SIGTERM)
    _, stderr = run.communicate(timeout=60)
    assert run.returncode == 143, stderr
    ids, _ = read(str(store))
    assert 0 < len(ids) < 3000


SEALED_OFF = ("run", "--rm", "--network", "none", "--read-only", "--cap-drop", "ALL", "--user", "12345")


def test_any_user_will_do_on_a_read_only_root_without_capabilities(
    container: Container, photo_folder: Path, out: Path
) -> None:
    out.chmod(0o777)
    # `--read-only-tmpfs=false` is docker's default: not even /tmp can be written.
    podman = ["--read-only-tmpfs=false"] if container.engine == "podman" else []
    done = container.raw(
        *SEALED_OFF,
        *podman,
        *("--volume", f"{photo_folder}:/images:ro", "--volume", f"{out}:/out"),
        *(IMAGE, "run", "/images", "--store", "/out/vectors.db", "--weights", "random"),
    )
    assert done.returncode == 0, done.stderr
    assert len(read(str(out / "vectors.db"))[0]) == 12
    assert (out / "vectors.db").stat().st_uid == 12345


def test_a_folder_that_cannot_be_written_is_named(container: Container, photo_folder: Path, out: Path) -> None:
    mounted = ("--volume", f"{photo_folder}:/images:ro", "--volume", f"{out}:/out")
    done = container.raw(*SEALED_OFF, *mounted, IMAGE, "run", "/images", "--store", "/out/vectors.db")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert "/out/vectors.db cannot be written" in line
    assert "12345" in line


def test_what_the_image_says_of_itself(container: Container) -> None:
    config = container.config()
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["embedder"], ["run"])
    assert not [each for each in config["Env"] if each.startswith(("PIP_", "AWS_"))]


def test_no_tools_and_nothing_of_the_building_machine_is_in_it(container: Container) -> None:
    look = "command -v pip pip3 gcc cc make; ls /tools /locks /context /etc/pip.conf 2>/dev/null; true"
    done = container.raw("run", "--rm", "--entrypoint", "sh", IMAGE, "-c", look)
    assert done.returncode == 0, done.stderr
    assert "/opt/venv" not in done.stdout
    assert not done.stdout.replace("/usr/local/bin/pip3", "").replace("/usr/local/bin/pip", "").strip()


def test_its_bill_of_materials_names_what_is_in_it(container: Container) -> None:
    done = container.raw("run", "--rm", "--entrypoint", "cat", IMAGE, "/opt/embedder/bom.json")
    bill = json.loads(done.stdout)
    assert bill["bomFormat"] == "CycloneDX"
    listed = {each["name"].lower(): each["version"].split("+")[0] for each in bill["components"]}
    for name in ("torch", "pillow", "boto3", "numpy"):
        assert listed[name] == version(name).split("+")[0]
    assert any(each.get("purl", "").startswith("pkg:deb/debian/libc6@") for each in bill["components"])
    assert "cyclonedx-bom" not in listed
