"""scripts/gpu as far as a CPU can rehearse it: its steps in this process, its time limit and its table."""

from __future__ import annotations

import re
from argparse import Namespace
from pathlib import Path

import pytest

from scripts import gpu_steps, gpu_wheels
from scripts.gpu_material import write_pictures
from scripts.gpu_trial import Row, Trial


def test_every_step_gives_its_rows(tmp_path: Path, weights: Path) -> None:
    photographs = write_pictures(tmp_path / "made", 3)
    given = Namespace(device="cpu", batches=[2], seconds=0.01)
    rows = [row for step in gpu_steps.STEPS.values() for row in step(photographs, weights, given)]
    assert [row["title"].split(",")[0] for row in rows] == [
        "encode alone",
        "decode and resize on the device",
        "decode",
    ]
    assert all(row["rate"] > 0 for row in rows)
    found = re.search(r"least (0\.\d+)", rows[-1]["note"])
    assert found
    assert float(found[1]) > 0.999, "on the device it is decoded at full scale, and resized with antialiasing"


def test_when_the_time_is_over_the_table_says_what_has_not_run(tmp_path: Path) -> None:
    trial = Trial(Namespace(device="cpu", minutes=0, photos=None, images=2), tmp_path)
    trial.rows.append(Row(title="encode alone, float16, batches of 256", rate=900.0))
    trial.rows.append(Row(title="`embedder run`, whole", rate=720.0))
    trial.rows.append(Row(title="decode alone", rate=800.0))
    trial.tests()
    trial.step("device", "decode on the device")
    table = trial.table()
    assert table.count("not run: the time is over") == 2
    assert "min(encode, decode): 800.0 images/s; the run reaches 0.90 of it" in table


def test_a_package_that_no_wheel_brings_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu_wheels.NEEDED, "no_such_module", "no-such-package")
    with pytest.raises(FileNotFoundError, match="no wheel of no-such-package for Python 3"):
        gpu_wheels.unpack(tmp_path, tmp_path)
