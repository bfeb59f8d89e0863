"""What `scripts/synth` writes for a choice of settings, made once in a test run."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.parts.missing import missing
from tests.parts.server import locked

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "infra" / ".venv" / "bin" / "python"
IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/embedder:1"
KEY = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555"
PLAIN = {"stage": "prod", "workers": "cpu,gpu", "cpu_image": IMAGE, "gpu_image": IMAGE}
FULL = PLAIN | {
    "stage": "full",
    "schedule": "rate(1 day)",
    "schedule_paths": "cats,dogs",
    "notify": "images/",
    "function_url": "true",
    "key": KEY,
    "inventory": "s3://inventories/all/",
    "read_buckets": "pictures",
    "alarm_emails": "somebody@example.com",
    "options": "dtype=float16,max_failures=5%",
    "tags": "team=search",
    "vector_index": "512",
    "warm_throughput": "28000",
    "session_manager": "true",
    "endpoint_zones": "1",
    "cpu_instances": "m7g.xlarge,r8g.xlarge",
    "@aws-cdk/core:permissionsBoundary": '{"name": "boundary"}',
}
"""Every optional part, and Graviton machines."""


def run_app(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`scripts/synth`, without making its environment."""
    if not PYTHON.exists():
        missing("the CDK is not installed: run `scripts/synth --setup`")
    env = os.environ | {"JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20"}
    command = [str(PYTHON), "-m", "infra.app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A cloud assembly with one stack in it."""

    folder: Path

    @property
    def path(self) -> Path:
        (found,) = self.folder.glob("*.template.json")
        return found

    @property
    def template(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return found

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Those of a type, by logical id."""
        return {name: each for name, each in self.template["Resources"].items() if each["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        return [each.get("Properties", {}) for each in self.resources(kind).values()]

    def only(self, kind: str) -> dict[str, Any]:
        """The properties of the one resource of a type."""
        (found,) = self.properties(kind)
        return found

    def code_of(self, handler: str) -> Path:
        """The folder that becomes the code of the function with this handler."""
        (function,) = [each for each in self.properties("AWS::Lambda::Function") if each["Handler"] == handler]
        return self.folder / f"asset.{function['Code']['S3Key'].removesuffix('.zip')}"

    def statements(self, role: str) -> Iterator[dict[str, Any]]:
        """What a role may do, by the beginning of its logical id."""
        for policy in self.properties("AWS::IAM::Policy"):
            if any(each["Ref"].startswith(role) for each in policy["Roles"]):
                yield from policy["PolicyDocument"]["Statement"]

    def reasons(self) -> dict[str, str]:
        """What was acknowledged to cdk-nag, with its reason."""
        found = {}
        for each in self.template["Resources"].values():
            for rule in each.get("Metadata", {}).get("cdk_nag", {}).get("rules_to_suppress", []):
                found[rule["id"]] = rule["reason"]
        return found


def synthesize(shared: Path, name: str, settings: Mapping[str, str]) -> Assembly:
    """Synthesize a choice of settings, unless another worker of this test run has done it."""
    folder = shared / f"cdk-{name}"
    with locked(shared / f"cdk-{name}.lock"):
        if not (folder / "manifest.json").exists():
            done = run_app("-o", str(folder), *(word for item in settings.items() for word in ("-c", "=".join(item))))
            assert done.returncode == 0, done.stderr
    return Assembly(folder=folder)
