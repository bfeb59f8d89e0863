"""Policies with reasons: a wildcard without a reason is an error here and a finding of cdk-nag."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import Construct


def allow(role: iam.Role, *actions: str, on: Sequence[str], why: str = "") -> None:
    """Allow a role some actions on some resources.

    Args:
        on: the ARNs of the resources.
        why: the reason for a wildcard in one of them.
    """
    wild = [each for each in on if "*" in _shown(role, each)]
    assert bool(wild) == bool(why), f"{actions}: a wildcard needs a reason, and nothing else has one: {on}"
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=list(on)))
    for each in wild:
        accept(role, {f"AwsSolutions-IAM5[Resource::{_shown(role, each)}]": why})


def accept(scope: Construct, reasons: dict[str, str]) -> None:
    """Acknowledge findings of cdk-nag, each with its reason, on a construct and everything in it."""
    for rule, reason in reasons.items():
        Validations.of(scope).acknowledge(Acknowledgment(id=rule, reason=reason))


def _shown(scope: Construct, value: Any) -> str:
    """Return a resource's ARN as cdk-nag writes it into the id of a finding: `<Bucket.Arn>/*`."""
    return _flat(Stack.of(scope).resolve(value))


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    ((name, argument),) = value.items()
    if name == "Fn::Join":
        return str(argument[0]).join(_flat(part) for part in argument[1])
    if name == "Fn::GetAtt":
        return f"<{'.'.join(argument)}>"
    if name == "Fn::Sub":  # of the repository that the CDK builds images into
        return str(argument)
    assert name == "Ref", f"{value} cannot be written as an ARN"
    return f"<{argument}>"
