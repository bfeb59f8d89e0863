"""Each role may do what its program does, read off the program's source, and nothing else."""

from __future__ import annotations

import pytest

from tests.infra.policies import actions, allowed, operations, shown_arn
from tests.infra.synthesis import KEY, Assembly

SUBMITTER, WORKER = "Submitter", "CpuWorkersJobWorker"

LAMBDAS_OWN = {"logs:CreateLogStream", "logs:PutLogEvents"}
"""What the Lambda service does in a function's name."""
OUTCOME = {"sns:Publish"}
"""The same once an asynchronous invocation is done."""
POLLING = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"}
"""The same for a queue in front of it."""
ENCRYPTED = {"kms:Decrypt", "kms:GenerateDataKey"}
"""What S3 asks of whoever reads and writes objects that are encrypted with a key of the account's own."""


def needed(*modules: str) -> set[str]:
    return {action for operation in operations(*modules) for action in actions(operation)}


SEARCH = {"dynamodb:SearchVectors", "dynamodb:UpdateItem", "dynamodb:UpdateTable"}
"""What `similar` and `embedder index` call alone. A worker imports them with the package, and runs neither."""


def test_the_source_is_read_right() -> None:
    """A few that everybody knows of, so that a reading that finds nothing is seen."""
    assert {"s3:ListObjectsV2", "s3:PutObject", "batch:SubmitJob"} <= operations("submitter.handler")
    assert {"s3:GetObject", "dynamodb:BatchWriteItem", "dynamodb:Scan"} <= operations("embedder.commands.run")
    assert "batch:DescribeJobs" not in operations("submitter.handler"), "only a person asks for a run's status"
    assert "batch:DescribeJobs" in operations("submitter.cli")
    assert operations("embedder.indexes.dynamodb") >= SEARCH
    assert not SEARCH & operations("embedder.stores.dynamodb"), "a run opens no index"


def test_the_submitter_may_do_what_its_source_does_and_no_more(plain: Assembly) -> None:
    assert allowed(plain, SUBMITTER) == needed("submitter.handler") | LAMBDAS_OWN | OUTCOME


@pytest.mark.parametrize("kind", ["Cpu", "Gpu"])
def test_a_worker_may_do_what_its_source_does_and_no_more(plain: Assembly, kind: str) -> None:
    assert allowed(plain, f"{kind}WorkersJobWorker") == (needed("embedder.commands.run") - SEARCH)


def test_a_key_and_a_queue_add_what_they_need(full: Assembly) -> None:
    assert allowed(full, SUBMITTER) == needed("submitter.handler") | LAMBDAS_OWN | OUTCOME | ENCRYPTED
    assert allowed(full, "UploadSubmitter") == needed("submitter.handler") | LAMBDAS_OWN | POLLING | ENCRYPTED
    assert allowed(full, WORKER) == (needed("embedder.commands.run") - SEARCH) | ENCRYPTED
    keys = [each["Resource"] for each in full.statements(WORKER) if "kms:Decrypt" in each["Action"]]
    assert keys == [KEY]


def test_the_job_monitor_may_only_look(stage: Assembly) -> None:
    assert needed("infra.job_monitor.handler") == {"batch:ListJobs"}
    assert allowed(stage, "JobMonitor") == needed("infra.job_monitor.handler") | LAMBDAS_OWN


def resources(assembly: Assembly, role: str, action: str) -> set[str]:
    """Where a role may do something, with the stack's own bucket and table by their nouns."""
    found = set()
    for statement in assembly.statements(role):
        if action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]):
            given = statement["Resource"]
            found |= {shown_arn(each) for each in (given if isinstance(given, list) else [given])}
    names = dict.fromkeys(assembly.resources("AWS::S3::Bucket"), "bucket")
    names |= dict.fromkeys(assembly.resources("AWS::DynamoDB::Table"), "table")
    for name, noun in names.items():
        found = {each.replace(f"<{name}>", noun) for each in found}
    return found


def test_everybody_writes_in_a_place_of_his_own(plain: Assembly) -> None:
    assert resources(plain, SUBMITTER, "s3:PutObject") == {"bucket/manifests/*"}
    assert resources(plain, SUBMITTER, "s3:GetObject") == {"bucket/manifests/*"}, "it reads no image"
    assert resources(plain, WORKER, "s3:PutObject") == {"bucket/manifests/*/reports/*", "bucket/manifests/*/failures/*"}
    assert resources(plain, WORKER, "s3:GetObject") == {"bucket/*"}
    assert resources(plain, WORKER, "dynamodb:BatchWriteItem") == {"table"}


def test_the_submitter_submits_to_one_queue_with_one_definition(plain: Assembly) -> None:
    queues = [f"<{name}>" for name in plain.resources("AWS::Batch::JobQueue") if name.startswith("Cpu")]
    definitions = [f"<{name}>" for name in plain.resources("AWS::Batch::JobDefinition") if name.startswith("Cpu")]
    assert resources(plain, SUBMITTER, "batch:SubmitJob") == {*queues, *definitions}


def test_an_inventory_may_be_read_where_the_setting_says(full: Assembly) -> None:
    assert "arn:<AWS::Partition>:s3:::inventories/all/*" in resources(full, SUBMITTER, "s3:GetObject")


def test_other_buckets_are_only_read(full: Assembly) -> None:
    """By the workers' role, and through the gateway, which would refuse what the role allows."""
    others = "arn:<AWS::Partition>:s3:::pictures"
    assert resources(full, WORKER, "s3:GetObject") == {"bucket/*", f"{others}/*"}
    assert resources(full, WORKER, "s3:ListBucket") == {"bucket", others}
    assert not any("pictures" in each for each in resources(full, WORKER, "s3:PutObject"))
    (gateway,) = [each for name, each in full.resources("AWS::EC2::VPCEndpoint").items() if "S3" in name]
    statements = gateway["Properties"]["PolicyDocument"]["Statement"]
    (through,) = [each for each in statements if others in map(shown_arn, each["Resource"])]
    assert set(through["Action"]) == {"s3:GetObject", "s3:ListBucket"}


def test_no_wildcard_is_without_a_reason(stage: Assembly) -> None:
    reasons = stage.reasons()
    wild = set()
    for policy in stage.properties("AWS::IAM::Policy"):
        for statement in policy["PolicyDocument"]["Statement"]:
            acts = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            assert not [each for each in acts if "*" in each], acts
            given = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
            wild |= {shown_arn(each) for each in given if "*" in shown_arn(each)}
    assert wild
    for each in wild:
        said = [
            why for rule, why in reasons.items() if rule.replace(".Arn>", ">") == f"AwsSolutions-IAM5[Resource::{each}]"
        ]
        assert said, f"{each} has no reason"
        assert all(len(why) > 20 for why in said)


def test_the_machine_is_not_the_worker(stage: Assembly) -> None:
    for definition in stage.properties("AWS::Batch::JobDefinition"):
        container = definition["ContainerProperties"]
        role = container["JobRoleArn"]["Fn::GetAtt"][0]
        assert role != container["ExecutionRoleArn"]["Fn::GetAtt"][0]
        trusted = stage.template["Resources"][role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert [each["Principal"]["Service"] for each in trusted] == ["ecs-tasks.amazonaws.com"]
    profiles = [each["Roles"][0]["Ref"] for each in stage.properties("AWS::IAM::InstanceProfile")]
    assert all("Instance" in role for role in profiles)
    assert not [each for role in profiles for each in stage.statements(role)]
