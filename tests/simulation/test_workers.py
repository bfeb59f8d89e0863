"""A machine starts a worker as its job definition says, and stops it as ECS does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from infra.worker_container import SHARED_MEMORY_MIB, TEMPORARY_MIB, container_properties
from infra.worker_sizes import SIZES
from scripts.simulation.containers import ENGINE_VARIABLES, ContainerMachine
from scripts.simulation.workers import ProcessWorker, Task, stop

PATIENT = "import os, signal, time; signal.signal(signal.SIGTERM, {}); print('ready', flush=True); time.sleep(60)"


@pytest.mark.parametrize(
    ("on_sigterm", "code"), [("signal.SIG_DFL", 143), ("lambda *_: os._exit(7)", 7), ("signal.SIG_IGN", 137)]
)
def test_sigkill_follows_where_sigterm_was_not_enough(on_sigterm: str, code: int) -> None:
    program = [sys.executable, "-S", "-c", PATIENT.format(on_sigterm)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert stop(ProcessWorker(process), 0.5 if code == 137 else 30).exit_code == code


@pytest.fixture
def silent() -> Any:
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(300)
        yield listening


def task(silent: socket.socket, log: Path) -> Task:
    """A worker that waits for its credentials."""
    address = f"http://127.0.0.1:{silent.getsockname()[1]}"
    return Task(
        name=f"worker-{uuid.uuid4().hex[:8]}",
        properties=container_properties("cpu", "eu-central-1", {"EMBEDDER_WEIGHTS": "random"}),
        command=["run"],
        variables={
            "AWS_ENDPOINT_URL": address,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{address}/credentials",
            "AWS_DEFAULT_REGION": "eu-central-1",
            "EMBEDDER_SOURCE": "s3://bucket/manifests/run/",
        },
        log=log,
    )


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_container_is_limited_as_the_job_definition_says(
    machine: ContainerMachine, silent: socket.socket, tmp_path: Path
) -> None:
    given = task(silent, tmp_path / "log")
    worker = machine.start(given)
    try:
        connection, _ = silent.accept()  # it is up, and asks for its credentials
        connection.settimeout(60)
        assert connection.recv(1000).startswith(b"GET /credentials")
        (found,) = json.loads(engine(machine, "container", "inspect", given.name))
        inside = engine(machine, "exec", given.name, "sh", "-c", LOOK).splitlines()
        ending = stop(worker)
    finally:
        worker.kill()
    host, config = found["HostConfig"], found["Config"]
    assert (host["NetworkMode"], host["ReadonlyRootfs"], host["Privileged"]) == ("host", True, False)
    assert (host["Memory"], host["CpuShares"]) == (SIZES["cpu"].memory_mib << 20, 1024 * SIZES["cpu"].vcpus)
    assert config["User"] == "10001:10001"
    told = dict(each.split("=", 1) for each in config["Env"])
    assert {name: value for name, value in told.items() if name.startswith(("AWS_", "EMBEDDER_"))} == given.variables
    assert "PYTHONPATH" not in told
    assert inside == [
        *("10001", "10001"),
        *(f"{1024 * SHARED_MEMORY_MIB}", f"{1024 * TEMPORARY_MIB}"),
        *("/tmp", "/dev/shm"),
    ]
    assert ending.exit_code == 143, given.log.read_text()


LOOK = """
id -u; id -g
df -k --output=size /dev/shm /tmp | grep -v K | tr -d ' '
for folder in / /opt/embedder /out /run /var/tmp /tmp /dev/shm; do [ -w $folder ] && echo $folder; done; true
"""


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_container_that_does_not_stop_is_killed(
    machine: ContainerMachine, silent: socket.socket, tmp_path: Path
) -> None:
    worker = machine.start(task(silent, tmp_path / "log"))
    try:
        silent.accept()
        assert stop(worker, 0).exit_code == 137
    finally:
        worker.kill()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_an_image_that_is_not_there_is_an_ending_in_the_engines_words(
    machine: ContainerMachine, silent: socket.socket, tmp_path: Path
) -> None:
    ending = machine.unpulled(task(silent, tmp_path / "log"))
    assert (ending.exit_code, ending.status_reason) == (None, "Task failed to start")
    assert ending.reason.startswith("CannotPullContainerError: ")
    assert "not-here" in ending.reason
    assert (tmp_path / "log").read_text() == ""


def engine(machine: ContainerMachine, *words: str) -> str:
    environment = os.environ | ENGINE_VARIABLES
    done = subprocess.run([machine.engine, *words], env=environment, capture_output=True, text=True, check=True)
    return done.stdout
