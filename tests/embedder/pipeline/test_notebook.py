"""What is shown of a run where a person looks: a bar on a terminal and in a notebook, and its report."""

from __future__ import annotations

import contextlib
import json
import os
import re
import termios
from pathlib import Path

import pytest

from embedder import embed, info
from tests.parts.companions import needs_companion, run_with_companions

CELLS = """
import json
from jupyter_client.manager import start_new_kernel

cells = '''
from tests.embedder.stand_in import PixelEncoder, replace_engines
replace_engines(PixelEncoder().open)
from embedder import embed, gallery, similar
---
embed("photos", "v.db", weights="random")
---
embed("photos", "v.db", weights="random", progress=False)
---
similar("v.db", "photo-0000.jpg", 3)
---
gallery("v.db")
'''
manager, client = start_new_kernel(kernel_name="python3")
try:
    outputs = []
    for cell in cells.split("---"):
        shown = []
        reply = client.execute_interactive(cell, output_hook=lambda message: shown.append(message), timeout=120)
        assert reply["content"]["status"] == "ok", reply["content"]["traceback"]
        outputs.append([(each["msg_type"], each["content"].get("data", {})) for each in shown])
finally:
    client.stop_channels()
    manager.shutdown_kernel(now=True)
print(json.dumps(outputs))
"""


@pytest.mark.slow
@pytest.mark.usefixtures("photo_folder")
def test_a_notebook(tmp_path: Path) -> None:
    """In a real kernel: what a browser would be given to draw."""
    needs_companion("ipykernel")
    done = run_with_companions("-c", CELLS, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    _, first, quiet, near, page = json.loads(done.stdout.splitlines()[-1])
    bars = [data["text/html"] for kind, data in first if kind in ("display_data", "update_display_data")]
    assert bars[0].startswith("<progress ")
    assert 'value="12" max="12"' in bars[-1]
    assert "12 of 12 images" in bars[-1]
    result = dict(first)["execute_result"]
    assert "<table>" in result["text/html"]
    assert re.fullmatch(r"<Report: 12 embedded, 0 skipped, 0 failed of 12 .*>", result["text/plain"])
    assert "12 (unchanged)" in dict(quiet)["execute_result"]["text/html"]
    assert not [kind for kind, _ in quiet if kind.endswith("display_data")]
    assert dict(near)["execute_result"]["text/html"].count("data:image/webp") == 3
    assert "<iframe srcdoc=" in dict(page)["execute_result"]["text/html"]


@pytest.mark.usefixtures("encoder")
def test_a_terminal_has_a_bar_unless_told_not_to(photo_folder: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    os.set_blocking(ours, False)
    with os.fdopen(ours, "rb", buffering=0) as screen, os.fdopen(theirs, "w") as terminal:
        for progress, shown in ((True, True), (False, False)):
            with contextlib.redirect_stderr(terminal):
                report = embed(photo_folder, tmp_path / "v.db", weights="random", recompute=True, progress=progress)
            assert (b"12" in (screen.read() or b"")) is shown
    assert repr(report).startswith("<Report: 12 embedded, 0 skipped, 0 failed of 12 images in ")


@pytest.mark.usefixtures("encoder")
def test_a_report_and_a_store_are_tables(photo_folder: Path, tmp_path: Path) -> None:
    (photo_folder / "<b>.jpg").write_bytes(b"not an image")
    store = tmp_path / "<i>.db"
    report = embed(photo_folder, store, weights="random")
    for shown in (report._repr_html_(), info(store)._repr_html_()):
        cells = dict(re.findall(r"<tr><th[^>]*>(.*?)</th><td[^>]*>(.*?)</td></tr>", shown))
        assert cells["store"].endswith("/&lt;i&gt;.db")
        assert cells.get("failed in decode: NotAnImage", "1") == "1"
        assert {cells.get("embedded"), cells.get("vectors")} == {"12", None}
