"""What embedder needs besides torch, torchvision, numpy and Pillow, from a folder of wheels: no network, no pip.

A wheel is an archive of importable files, so it is enough to unpack it.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]

NEEDED = {"simplejpeg": "simplejpeg", "tqdm": "tqdm"}
"""Module → package."""
USEFUL = {
    "cykooz_resizer": "cykooz-resizer",  # Pillow resizes without it, at half the speed
    **{name: name for name in ("pytest", "pluggy", "iniconfig", "packaging", "pygments")},  # the tests
}


def missing(modules: dict[str, str]) -> set[str]:
    """Return the packages whose modules cannot be imported here."""
    return {package for module, package in modules.items() if find_spec(module) is None}


def unpack(wheels: Path | None, into: Path) -> None:
    """Unpack the wheels of what is missing, if there is a folder of them, and let this process import it.

    Raises:
        FileNotFoundError: there is no wheel of a needed package.
    """
    for package in sorted(missing(NEEDED | USEFUL)):
        found = sorted(wheels.glob(f"{package.replace('-', '_')}-*.whl")) if wheels else []
        if found:
            with zipfile.ZipFile(found[-1]) as archive:
                archive.extractall(into)
    sys.path.append(str(into))
    if lacking := missing(NEEDED):
        version = f"Python {sys.version_info[0]}.{sys.version_info[1]}"
        where = f"{wheels} has no wheel" if wheels else "--wheels names no folder with a wheel"
        raise FileNotFoundError(
            f"{where} of {', '.join(sorted(lacking))} for {version}; `scripts/gpu --collect FOLDER` fills one, by the "
            "same Python"
        )


def collect(wheels: Path) -> None:
    """Download every wheel that may be missing elsewhere, in the versions that are tested here."""
    packages = sorted({*NEEDED.values(), *USEFUL.values()})
    constraints = ROOT / "scripts" / "constraints.txt"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--constraint", str(constraints), "--dest", str(wheels), *packages], check=True)
