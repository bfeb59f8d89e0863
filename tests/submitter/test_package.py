"""The folder as a Lambda has it: zipped, alone, with boto3 and nothing else beside it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import submitter

FOLDER = Path(submitter.__file__).parent
BOTO3_AND_ITS_OWN = {"boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3", "awscrt"}
OPTIONAL_TO_THEM = {"certifi", "brotli", "brotlicffi", "zstandard", "backports", "h2", "socks"}

CODE = """
import json, sys
before = set(sys.modules)
sys.path[:0] = [{zip!r}]
sys.path.append({packages!r})
import importlib, pkgutil
import submitter
for module in pkgutil.iter_modules(submitter.__path__):
    if module.name != "__main__":
        importlib.import_module("submitter." + module.name)
assert submitter.__file__.startswith({zip!r}), submitter.__file__
assert callable(sys.modules["submitter.handler"].handler)
services = sys.modules["submitter.clients"].Services()
assert services.s3 and services.pages and services.batch and services.submitting
loaded = {{name.split(".")[0] for name in set(sys.modules) - before - {{"__mp_main__"}}}}
print(json.dumps(sorted(loaded - set(sys.stdlib_module_names))))
"""


def test_zipped_it_needs_boto3_alone(tmp_path: Path) -> None:
    archive = tmp_path / "function.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for file in sorted(FOLDER.rglob("*.py")):
            zipped.write(file, Path("submitter") / file.relative_to(FOLDER))
    code = CODE.format(zip=str(archive), packages=sysconfig.get_path("purelib"))
    environment = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
    }
    command = [sys.executable, "-I", "-S", "-c", code]  # no site, so no installed hook loads anything either
    loaded = json.loads(subprocess.check_output(command, text=True, env=environment, cwd=tmp_path))
    assert set(loaded) - OPTIONAL_TO_THEM - BOTO3_AND_ITS_OWN == {"submitter"}


def test_only_config_reads_the_environment() -> None:
    for file in FOLDER.glob("*.py"):
        if file.name != "config.py":
            text = file.read_text()
            assert "environ" not in text.replace("environment", ""), file.name
            assert "getenv" not in text, file.name


def test_it_runs_as_a_module() -> None:
    said = subprocess.check_output([sys.executable, "-m", "submitter", "--help"], text=True, cwd=FOLDER.parent)
    assert "usage: submitter" in said
