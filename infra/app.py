"""The CDK app: run as `python -m infra.app -c stage=prod`, which needs no account, or by the `cdk` command.

Exit codes: 0 done · 1 cdk-nag has findings that are not acknowledged · 2 a setting is wrong, explained in a sentence.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aws_cdk import App, Stage, Validations
from cdk_nag import AwsSolutionsChecks

from infra.pipeline import DeliveryPipeline
from infra.settings import SettingsError
from infra.stack import StageStack
from infra.stages import Deployment, read_deployment

HOME = Path(__file__).parent
FLAGS: dict[str, Any] = json.loads((HOME / "cdk.json").read_text(encoding="utf-8"))["context"]
"""The CDK's feature flags. The `cdk` command reads them from cdk.json; without it we do."""


def main(arguments: Sequence[str]) -> int:
    """Synthesize what the command line or the `cdk` command asks for, and return the exit code."""
    parser = argparse.ArgumentParser(prog="scripts/synth", description="Synthesize the CDK app.")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="NAME=VALUE", help="stage or a setting")
    parser.add_argument("-o", "--output", metavar="FOLDER", help="the output (default infra/cdk.out)")
    given = parser.parse_args(arguments)
    stray = [each for each in given.context if "=" not in each]
    if stray:
        parser.error(f"-c {stray[0]}: expected NAME=VALUE")
    named = dict(each.split("=", 1) for each in given.context)
    try:
        deployment = read_deployment({**json.loads(os.environ.get("CDK_CONTEXT_JSON", "{}")), **named})
    except SettingsError as error:
        print(f"synth: {error}", file=sys.stderr)
        return 2
    output = given.output or os.environ.get("CDK_OUTDIR") or str(HOME / "cdk.out")
    try:
        synthesize(deployment, output)
    except SettingsError as error:
        print(f"synth: {error}", file=sys.stderr)
        return 2
    except RuntimeError as error:
        if "ValidationFailed" not in str(error):
            raise
        print(f"synth: {findings(Path(output))}", file=sys.stderr)
        return 1
    return 0


def findings(output: Path) -> str:
    """Return cdk-nag's findings, one a line."""
    report = json.loads((output / "validation-report.json").read_text(encoding="utf-8"))
    lines = [
        f"{found['ruleName']} at {where['constructPath']}: {found['description']}"
        for plugin in report["pluginReports"]
        for found in plugin["violations"]
        for where in found["violatingConstructs"]
    ]
    return "\n".join([f"{len(lines)} findings that are not acknowledged (infra/permissions.py: accept)", *lines])


def synthesize(deployment: Deployment, output: str) -> None:
    """Write the cloud assembly of a deployment into a folder.

    Raises:
        SettingsError: a setting does not fit.
    """
    app = App(context={**FLAGS, **deployment.context}, outdir=output, analytics_reporting=False)
    checked: list[Stage] = [app]
    if deployment.delivery:
        # The CDK makes the pipeline's own roles, whose wildcards are not checked here.
        checked = DeliveryPipeline(app, deployment.delivery, deployment.stages).deployed
    else:
        for settings in deployment.stages:
            StageStack(app, settings)
    for stage in checked:
        Validations.of(stage).add_plugins(AwsSolutionsChecks(stage, write_suppressions_to_cloud_formation=True))
    app.synth()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
