"""S3 and DynamoDB for the benchmark: rclone and DynamoDB Local on this machine, S3 with latency if wanted."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.parts import dynamodb, fault_proxy, s3_rclone, server
from tests.parts.aws import Credentials
from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3


class Servers:
    """What a run needs beyond a folder and a file; nothing where that is all it uses.

    Args:
        latency: seconds that every request to S3 takes longer.
    """

    def __init__(self, *, s3: bool, dynamodb: bool, latency: float) -> None:
        self.wanted = (s3, dynamodb)
        self.latency = latency
        self.stack = ExitStack()
        self.s3: S3 | None = None
        self.dynamodb: DynamoDB | None = None
        self.tables = 0
        self.uploaded = False

    def __enter__(self) -> Servers:
        folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        credentials = Credentials()
        os.environ.update(credentials.environment())
        s3, database = self.wanted
        if s3:
            endpoint = self.stack.enter_context(s3_rclone.serving(folder / "s3", credentials))
            direct = S3(server="rclone", endpoint=endpoint, credentials=credentials).create_bucket()
            self.s3 = direct
            if self.latency:
                endpoint = self.stack.enter_context(fault_proxy.before(endpoint, latency=self.latency)).endpoint
            os.environ["AWS_ENDPOINT_URL_S3"] = endpoint
        if database:
            port, log = server.free_port(), folder / "dynamodb.log"
            home = Path(os.environ.get("DYNAMODB_LOCAL_HOME", dynamodb.HOME))
            command = dynamodb.command(home, port)
            ready = self.stack.enter_context
            ready(server.serving("DynamoDB Local", command, log, lambda: server.accepts(port)))
            self.dynamodb = DynamoDB(endpoint=f"http://127.0.0.1:{port}", credentials=credentials)
            os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = self.dynamodb.endpoint
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def fresh(self, photographs: Path) -> list[str]:
        """The source and an empty store for one more run, as arguments for the contestant."""
        given: list[str] = []
        if self.s3 is not None:
            if not self.uploaded:
                self.s3.put({f"images/{path.name}": path.read_bytes() for path in photographs.iterdir()})
                self.uploaded = True
            given += ["--source", self.s3.uri("images/")]
        if self.dynamodb is not None:
            self.tables += 1
            given += ["--store", f"dynamodb://{self.dynamodb.create_table(f'vectors{self.tables}')}"]
        return given
