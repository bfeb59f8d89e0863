"""A bill of materials as CycloneDX JSON on stdout: what a Python environment and the Debian below it are made of.

`python scripts/bom.py PYTHON [--debian]`, run by a python that has cyclonedx-bom. PYTHON is the environment's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def python_packages(python: str) -> dict[str, Any]:
    """The bill of a Python environment's packages."""
    maker = Path(sys.executable).with_name("cyclonedx-py")
    command = [str(maker), "environment", "--output-reproducible", "--output-format", "JSON", python]
    bill: dict[str, Any] = json.loads(subprocess.check_output(command))
    return bill


def debian_packages() -> list[dict[str, str]]:
    """What dpkg has installed here, as components."""
    listed = subprocess.check_output(["dpkg-query", "--show", "--showformat=${Package} ${Version} ${Architecture}\n"])
    found = []
    for line in listed.decode().splitlines():
        name, version, architecture = line.split()
        url = f"pkg:deb/debian/{name}@{version}?arch={architecture}"
        found.append({"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url})
    return found


def main(arguments: Sequence[str]) -> int:
    """Print the bill."""
    python, *more = arguments
    bill = python_packages(python)
    if more == ["--debian"]:
        bill["components"] += debian_packages()
    json.dump(bill, sys.stdout, indent=1)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
