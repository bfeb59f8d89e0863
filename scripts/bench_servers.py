"""S3 and DynamoDB for the benchmark: rclone and DynamoDB Local on this machine, S3 with latency if wanted."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.parts import dynamodb, s3_rclone, server
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
            os.environ["AWS_ENDPOINT_URL_S3"] = self.stack.enter_context(delayed(endpoint, self.latency))
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


@contextmanager
def delayed(endpoint: str, latency: float) -> Iterator[str]:
    """An endpoint whose answers come `latency` seconds later than those of the one it stands before."""
    if not latency:
        yield endpoint
        return
    host, port = endpoint.removeprefix("http://").split(":")
    loop = asyncio.new_event_loop()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
        """Pass bytes on; a request is what comes after a pause, and only its first bytes wait."""
        while data := await reader.read(1 << 16):
            await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection(host, int(port))
        # Requests to read objects are one piece, so waiting before each piece delays each request once.
        await asyncio.gather(pump(reader, behind_writer, latency), pump(behind_reader, writer, 0))

    front = loop.run_until_complete(asyncio.start_server(serve, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{front.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
