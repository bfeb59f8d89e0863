"""What a run may hold, and what there is."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedder.system.memory import DECODED_BYTES, FILE_BYTES, memory_limit, most_needed


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_s_limit(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{512 << 20}\n")
    assert memory_limit(tmp_path) == (512 << 20, "in the container")
    for unlimited in ("max\n", f"{1 << 62}\n"):
        path.write_text(unlimited)
        size, whose = memory_limit(tmp_path)
        assert (size > 512 << 20, whose) == (True, "in the machine")


def test_each_worker_takes_some_on_top_of_the_budgets() -> None:
    one, nine = most_needed(1), most_needed(9)
    assert one > 2 * FILE_BYTES + DECODED_BYTES
    assert nine - one == 8 * (128 << 20)
