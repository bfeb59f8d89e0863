"""moto's server: S3, with Batch and CloudFormation beside it, in the test process but spoken to over HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from moto.server import ThreadedMotoServer


@contextmanager
def serving() -> Iterator[str]:
    """The endpoint of a server that is gone after the block; its Batch keeps jobs but starts no container."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # its requests are no log lines of the program's
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        requests.post(f"{endpoint}/moto-api/config", json={"batch": {"use_docker": False}}, timeout=10)
        yield endpoint
    finally:
        server.stop()
