"""What a stage has in it and costs while nothing runs, as docs/operations.md says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.infra.synthesis import ROOT, Assembly, run_app


def dollars_a_month(assembly: Assembly) -> float:
    """What a stage costs a month while nothing runs, by list prices and by what the template has."""
    zones = sum(len(each.get("SubnetIds", [])) for each in assembly.properties("AWS::EC2::VPCEndpoint"))
    alarms = 0.0
    for each in assembly.properties("AWS::CloudWatch::Alarm"):
        # An alarm is charged by its metrics; one that learns what is usual has a band's two limits besides its own.
        metrics = sum("MetricStat" in part for part in each.get("Metrics", [])) or 1
        alarms += 0.10 * (3 if "ThresholdMetricId" in each else metrics)
    dashboards = len(assembly.resources("AWS::CloudWatch::Dashboard"))
    return 730 * 0.01 * zones + 3.00 * dashboards + alarms + 0.30  # the metric RunnableSeconds


def row_of_the_guide(first: str) -> list[str]:
    """A row of the table of stages while nothing runs: `dev`, `prod`, and `prod` with endpoints in one zone."""
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = guide.split("\n### A stage while nothing runs\n")[1].split("\n## ")[0]
    (row,) = re.findall(rf"^\| {re.escape(first)} \|(.+)\|$", section, flags=re.MULTILINE)
    return [each.strip(" *$") for each in row.split("|")]


def test_what_a_stage_costs_while_nothing_runs_is_in_the_guide(plain: Assembly) -> None:
    assert f"{dollars_a_month(plain):.2f}" == row_of_the_guide("**in all**")[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "settings"), [(0, ["stage=dev"]), (1, ["stage=prod"]), (2, ["stage=prod", "endpoint_zones=1"])]
)
def test_the_stages_of_the_guide_are_those_of_the_repository(tmp_path: Path, column: int, settings: list[str]) -> None:
    done = run_app(*(word for each in settings for word in ("-c", each)), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    made = Assembly(folder=tmp_path / "out")
    assert str(len(made.template["Resources"])) == row_of_the_guide("resources in the template")[column]
    assert f"{dollars_a_month(made):.2f}" == row_of_the_guide("**in all**")[column]
