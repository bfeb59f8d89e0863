"""What a synthesized stage has in it, by what matters: what is kept, encrypted, reachable, tried again, noticed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from embedder.decoding.decoder import PIXEL_BYTES
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.stores import vector_index
from embedder.system.memory import FILE_BYTES
from infra.retry_rules import RETRY_STRATEGY
from submitter.config import VARIABLES
from tests.infra.policies import shown_arn
from tests.infra.synthesis import KEY, PLAIN, ROOT, Assembly, run_app


def test_cfn_lint_has_nothing_to_say(stage: Assembly) -> None:
    """W3005: the CDK writes out a function's dependency on its role, which the reference says already."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "--ignore-checks", "W3005", "--", str(stage.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def test_cdk_nag_was_asked_and_every_answer_has_its_reason(stage: Assembly) -> None:
    """A finding that nobody has acknowledged ends the synthesis; these were, and each says why."""
    report = json.loads((stage.folder / "validation-report.json").read_text(encoding="utf-8"))
    assert not [found for plugin in report["pluginReports"] for found in plugin["violations"]]
    rules = {name.split("[")[0]: why for name, why in stage.reasons().items() if name.startswith("AwsSolutions-")}
    assert set(rules) == {"AwsSolutions-S1", "AwsSolutions-IAM4", "AwsSolutions-IAM5"}
    assert all(len(why) > 20 for why in rules.values())


def test_images_and_vectors_outlive_the_stack(stage: Assembly) -> None:
    for kind in ("AWS::S3::Bucket", "AWS::DynamoDB::Table"):
        (kept,) = stage.resources(kind).values()
        # What a failed first deployment created is deleted with it.
        assert (kept["DeletionPolicy"], kept["UpdateReplacePolicy"]) == ("RetainExceptOnCreate", "Retain")
    table = stage.only("AWS::DynamoDB::Table")
    assert table["DeletionProtectionEnabled"]
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["KeySchema"] == [{"AttributeName": "ImageId", "KeyType": "HASH"}]


def test_the_bucket_is_closed(stage: Assembly) -> None:
    bucket = stage.only("AWS::S3::Bucket")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (denied,) = stage.only("AWS::S3::BucketPolicy")["PolicyDocument"]["Statement"]
    assert (denied["Effect"], denied["Action"]) == ("Deny", "s3:*")
    assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    rules = {each["Id"]: each for each in bucket["LifecycleConfiguration"]["Rules"]}
    assert (rules["old-runs"]["Prefix"], rules["old-runs"]["ExpirationInDays"]) == ("manifests/", 90)
    assert "ExpirationInDays" not in rules["abandoned-uploads"], "no image ever expires"


def test_everything_is_encrypted(plain: Assembly, full: Assembly) -> None:
    def how(assembly: Assembly) -> dict[str, str]:
        (rule,) = assembly.only("AWS::S3::Bucket")["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        found: dict[str, str] = rule["ServerSideEncryptionByDefault"]
        return found

    assert how(plain) == {"SSEAlgorithm": "AES256"}
    assert how(full) == {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY}
    assert full.only("AWS::DynamoDB::Table")["SSESpecification"]["KMSMasterKeyId"] == KEY
    for template in full.properties("AWS::EC2::LaunchTemplate"):
        data = template["LaunchTemplateData"]
        assert all(disk["Ebs"]["Encrypted"] for disk in data["BlockDeviceMappings"])
        assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
        assert {disk["Ebs"]["KmsKeyId"] for disk in data["BlockDeviceMappings"]} == {KEY}
    assert {each["KmsMasterKeyId"] for each in full.properties("AWS::SQS::Queue")} == {KEY}
    assert {each["KmsKeyId"] for each in full.properties("AWS::Logs::LogGroup")} == {KEY}
    assert full.only("AWS::SNS::Topic")["KmsMasterKeyId"] == KEY
    assert not any("KmsKeyId" in each for each in plain.properties("AWS::Logs::LogGroup"))


def test_logs_end_some_day(stage: Assembly) -> None:
    assert {each["RetentionInDays"] for each in stage.properties("AWS::Logs::LogGroup")} == {30}
    functions = stage.properties("AWS::Lambda::Function")
    assert all("LogGroup" in each["LoggingConfig"] for each in functions)


def endpoints(assembly: Assembly) -> dict[str, dict[str, Any]]:
    """The endpoints by the name of their service, such as `ecr.api`."""
    named = {shown_arn(each["ServiceName"]): each for each in assembly.properties("AWS::EC2::VPCEndpoint")}
    return {name.removeprefix("com.amazonaws.<AWS::Region>."): each for name, each in named.items()}


AGENT = {"ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs"}


def test_nothing_comes_in_and_there_is_no_nat(stage: Assembly) -> None:
    assert not stage.resources("AWS::EC2::NatGateway")
    assert not stage.resources("AWS::EC2::InternetGateway")
    assert not any(each.get("MapPublicIpOnLaunch") for each in stage.properties("AWS::EC2::Subnet"))
    assert {"s3", "dynamodb", *AGENT} <= set(endpoints(stage))
    assert not [each for each in stage.properties("AWS::EC2::SecurityGroup") if each.get("SecurityGroupIngress")]
    (ingress,) = stage.properties("AWS::EC2::SecurityGroupIngress")
    assert (ingress["FromPort"], ingress["ToPort"]) == (443, 443)
    assert "SourceSecurityGroupId" in ingress


def test_gateways_lead_to_this_stages_data_alone(stage: Assembly) -> None:
    for name in ("s3", "dynamodb"):
        gateway = endpoints(stage)[name]
        assert gateway["VpcEndpointType"] == "Gateway"
        assert len(gateway["RouteTableIds"]) == len(stage.resources("AWS::EC2::RouteTable")) > 1
        for statement in gateway["PolicyDocument"]["Statement"]:
            assert "*" not in statement["Resource"]


def test_interface_endpoints_serve_this_account_alone(stage: Assembly) -> None:
    """Where the service takes a policy, which ECS's agent and telemetry do not."""
    found = {name: each for name, each in endpoints(stage).items() if each["VpcEndpointType"] == "Interface"}
    for name in ("ecs", "ecr.api", "ecr.dkr", "logs"):
        (statement,) = found[name]["PolicyDocument"]["Statement"]
        assert statement["Condition"] == {"StringEquals": {"aws:PrincipalAccount": {"Ref": "AWS::AccountId"}}}
        assert all(each.startswith(name.split(".")[0]) for each in statement["Action"])
    assert all(each["PrivateDnsEnabled"] for each in found.values())


def test_endpoints_in_one_zone_and_a_shell_are_settings(plain: Assembly, full: Assembly) -> None:
    assert set(endpoints(full)) - set(endpoints(plain)) == {"ssm", "ssmmessages", "ec2messages"}
    assert {len(each["SubnetIds"]) for each in endpoints(plain).values() if "SubnetIds" in each} == {2}
    assert {len(each["SubnetIds"]) for each in endpoints(full).values() if "SubnetIds" in each} == {1}
    core = [
        "AmazonSSMManagedInstanceCore" in json.dumps(each.get("ManagedPolicyArns", []))
        for assembly in (plain, full)
        for each in assembly.properties("AWS::IAM::Role")
    ]
    assert sum(core) == 2, "one for each kind of machine, where it is asked for"


def test_spot_comes_first_and_on_demand_behind_it(stage: Assembly) -> None:
    environments = stage.resources("AWS::Batch::ComputeEnvironment")
    for queue in stage.properties("AWS::Batch::JobQueue"):
        order = sorted(queue["ComputeEnvironmentOrder"], key=lambda each: each["Order"])
        names = [each["ComputeEnvironment"]["Fn::GetAtt"][0] for each in order]
        found = [environments[name]["Properties"]["ComputeResources"] for name in names]
        assert [each["Type"] for each in found] == ["SPOT", "EC2"]
        assert [each["AllocationStrategy"] for each in found] == [
            "SPOT_PRICE_CAPACITY_OPTIMIZED",
            "BEST_FIT_PROGRESSIVE",
        ]
        assert {each["MinvCpus"] for each in found} == {0}, "nothing costs while nothing waits"
    assert all(each["Properties"]["EcsSettings"] == {"ContainerInsights": "ENABLED"} for each in environments.values())
    for template in stage.properties("AWS::EC2::LaunchTemplate"):
        assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in template["LaunchTemplateData"]["UserData"]["Fn::Base64"]


def test_machines_are_what_the_image_and_the_worker_need(stage: Assembly) -> None:
    """An AMI of ECS's, with NVIDIA's driver for GPUs, whose disk of 30 GB would not hold 6 GB of image twice."""
    for name, environment in stage.resources("AWS::Batch::ComputeEnvironment").items():
        kind = name[:3].lower()
        resources = environment["Properties"]["ComputeResources"]
        ami = {"cpu": "ECS_AL2023", "gpu": "ECS_AL2023_NVIDIA"}[kind]
        assert resources["Ec2Configuration"] == [{"ImageType": ami}]
        tags = resources["Tags"]
        assert tags["Name"] == f"embedder-{tags['embedder-stage']} {kind} worker"
        template = stage.template["Resources"][resources["LaunchTemplate"]["LaunchTemplateId"]["Ref"]]
        (disk,) = template["Properties"]["LaunchTemplateData"]["BlockDeviceMappings"]
        assert (disk["DeviceName"], disk["Ebs"]["VolumeSize"]) == ("/dev/xvda", {"cpu": 50, "gpu": 100}[kind])


def test_an_update_lets_workers_end(stage: Assembly) -> None:
    """Left alone, Batch gives them half an hour."""
    for environment in stage.properties("AWS::Batch::ComputeEnvironment"):
        assert environment["UpdatePolicy"] == {"TerminateJobsOnUpdate": False, "JobExecutionTimeoutMinutes": 180}


def user_data(assembly: Assembly) -> set[str]:
    return {
        each["LaunchTemplateData"]["UserData"]["Fn::Base64"] for each in assembly.properties("AWS::EC2::LaunchTemplate")
    }


def test_a_worker_cannot_become_its_machine(stage: Assembly) -> None:
    """Batch's containers share the machine's network, where only the user tells them apart."""
    (script,) = user_data(stage)
    assert "--destination 169.254.169.254 --match owner ! --uid-owner root --jump REJECT" in script
    assert re.search(r"^USER 10001", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)


@pytest.mark.parametrize("failing", ["--insert", "--check", ""])
def test_a_machine_without_the_rule_takes_no_workers(plain: Assembly, tmp_path: Path, failing: str) -> None:
    """The script itself, with stand-ins for the machine's programs that write down how they were called."""
    (script,) = user_data(plain)
    body = script[script.index("#!/bin/bash") :].split("--==EMBEDDER==")[0]
    (tmp_path / "ecs.config").touch()
    for program in ("iptables", "systemctl", "shutdown"):
        status = f'case "$*" in *{failing}*) exit 4;; esac' if program == "iptables" and failing else ""
        stand_in = tmp_path / program
        stand_in.write_text(f'#!/bin/bash\necho {program} "$@" >> {tmp_path}/called\n{status}\n')
        stand_in.chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    subprocess.run(["bash", "-c", body.replace("/etc/ecs/", f"{tmp_path}/")], env=path, check=True)
    called = (tmp_path / "called").read_text().splitlines()
    assert (tmp_path / "ecs.config").read_text() == "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true\n"
    stopped = ["systemctl mask --now ecs", "shutdown --poweroff now"]
    assert [each for each in called if not each.startswith("iptables")] == (stopped if failing else [])


def test_a_job_that_can_never_start_is_ended(stage: Assembly) -> None:
    for queue in stage.properties("AWS::Batch::JobQueue"):
        actions = {each["Reason"]: each for each in queue["JobStateTimeLimitActions"]}
        assert set(actions) == {
            "MISCONFIGURATION:COMPUTE_ENVIRONMENT_MAX_RESOURCE",
            "MISCONFIGURATION:JOB_RESOURCE_REQUIREMENT",
        }, "a want of capacity passes"
        for each in actions.values():
            assert (each["Action"], each["State"], each["MaxTimeSeconds"]) == ("CANCEL", "RUNNABLE", 1800)


def variables(definition: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each["Value"] for each in definition["ContainerProperties"]["Environment"]}


def told(definition: dict[str, Any]) -> dict[str, Any]:
    """What Batch keeps from every container: where it is, and its share of a machine that it has not for itself."""
    needs = requirements(definition)
    share = {} if "GPU" in needs else {"EMBEDDER_CORES": str(needs["VCPU"])}
    return {"AWS_DEFAULT_REGION": {"Ref": "AWS::Region"}} | share


def test_a_job_is_what_the_worker_expects(plain: Assembly) -> None:
    for definition in plain.properties("AWS::Batch::JobDefinition"):
        rules = definition["RetryStrategy"]
        written = [
            {name[0].lower() + name[1:]: value for name, value in each.items()} for each in rules["EvaluateOnExit"]
        ]
        assert {"attempts": rules["Attempts"], "evaluateOnExit": written} == RETRY_STRATEGY
        assert definition["Timeout"] == {"AttemptDurationSeconds": 3 * 3600}
        container = definition["ContainerProperties"]
        assert container["Command"] == ["run"]
        assert container["Image"] == PLAIN["cpu_image"]
        assert variables(definition) == told(definition) | {"EMBEDDER_DEPLOYMENT": "prod"}
        assert (container["ReadonlyRootFilesystem"], container["Privileged"]) == (True, False)
        assert container["LinuxParameters"]["SharedMemorySize"] == 1024
        assert container["LinuxParameters"]["InitProcessEnabled"]
        assert [each["ContainerPath"] for each in container["LinuxParameters"]["Tmpfs"]] == ["/tmp"]
        assert definition["ResourceRetentionPolicy"] == {"SkipDeregisterOnUpdate": True}


def requirements(definition: dict[str, Any]) -> dict[str, int]:
    return {each["Type"]: int(each["Value"]) for each in definition["ContainerProperties"]["ResourceRequirements"]}


def test_workers_fill_their_machines(plain: Assembly) -> None:
    """m7i.xlarge and g4dn.xlarge have 4 vCPUs and 16 GiB, of which ECS keeps some 300 MiB and more."""
    wanted = {"Cpu": {"VCPU": 2, "MEMORY": 7000}, "Gpu": {"VCPU": 4, "MEMORY": 14000, "GPU": 1}}
    for name, definition in plain.resources("AWS::Batch::JobDefinition").items():
        needs = requirements(definition["Properties"])
        assert needs == wanted[name[:3]]
        assert 4 // needs["VCPU"] * needs["MEMORY"] < 0.93 * 16 * 1024
    for name, environment in plain.resources("AWS::Batch::ComputeEnvironment").items():
        if name.startswith("Cpu"):
            families = {each[0] for each in environment["Properties"]["ComputeResources"]["InstanceTypes"]}
            assert families == {"m", "r"}, "EC2's families with 4 GiB and more for each vCPU"


def test_a_worker_has_room_for_the_largest_image(plain: Assembly) -> None:
    """The bound of docs/reliability.md, with the 800 MB that torch and the model take (measured)."""
    for definition in plain.properties("AWS::Batch::JobDefinition"):
        needs = requirements(definition)
        largest = DEFAULT_MAX_PIXELS * max(PIXEL_BYTES.values()) >> 20
        processes = needs["VCPU"] * (64 + 50) + 250
        assert needs["MEMORY"] > 2 * FILE_BYTES // 2**20 + largest + processes + 800


def test_options_are_the_workers_variables(full: Assembly) -> None:
    for definition in full.properties("AWS::Batch::JobDefinition"):
        chosen = {"EMBEDDER_DTYPE": "float16", "EMBEDDER_MAX_FAILURES": "5%", "EMBEDDER_INDEX": "true"}
        assert variables(definition) == told(definition) | chosen | {"EMBEDDER_DEPLOYMENT": "full"}


def test_the_submitter_is_the_folder_as_it_stands(plain: Assembly) -> None:
    code = plain.code_of("submitter.handler.handler")
    files = {path.relative_to(code) for path in code.rglob("*") if path.is_file()}
    assert files == {Path("submitter", path.name) for path in (ROOT / "submitter").iterdir() if path.is_file()}
    for path in files:
        assert (code / path).read_bytes() == (ROOT / path).read_bytes()
    (function,) = [
        each for each in plain.properties("AWS::Lambda::Function") if each["Handler"].startswith("submitter")
    ]
    assert (function["Timeout"], function["MemorySize"]) == (900, 1769)
    assert set(function["Environment"]["Variables"]) == set(VARIABLES.values())


def test_the_outcome_of_an_asynchronous_submission_is_mailed(stage: Assembly) -> None:
    (topic,) = stage.resources("AWS::SNS::Topic")
    outcome = stage.only("AWS::Lambda::EventInvokeConfig")
    assert outcome["DestinationConfig"] == {
        "OnSuccess": {"Destination": {"Ref": topic}},
        "OnFailure": {"Destination": {"Ref": topic}},
    }


def test_a_table_has_the_vector_index_that_embedder_searches(plain: Assembly, full: Assembly) -> None:
    table = full.only("AWS::DynamoDB::Table")
    assert table["VectorIndexes"] == [vector_index.definition(512)]
    assert {each["AttributeName"] for each in table["AttributeDefinitions"]} == {"ImageId", "Fingerprint"}
    assert "VectorIndexes" not in plain.only("AWS::DynamoDB::Table")


def test_a_new_table_is_warm_enough(plain: Assembly) -> None:
    assert plain.only("AWS::DynamoDB::Table")["WarmThroughput"] == {"WriteUnitsPerSecond": 12000}


def test_triggers_are_there_when_they_are_chosen(plain: Assembly, full: Assembly) -> None:
    for kind in ("AWS::Lambda::Url", "AWS::SQS::Queue", "AWS::Lambda::EventSourceMapping"):
        assert not plain.resources(kind)
    assert full.only("AWS::Lambda::Url")["AuthType"] == "AWS_IAM"
    mapping = full.only("AWS::Lambda::EventSourceMapping")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    (uploads,) = [each for each in full.properties("AWS::SQS::Queue") if "RedrivePolicy" in each]
    assert uploads["VisibilityTimeout"] == 6 * 60 + 300, "a failed batch is tried again after eleven minutes"
    assert uploads["RedrivePolicy"]["maxReceiveCount"] == 3
    reader = full.template["Resources"][mapping["FunctionName"]["Ref"]]["Properties"]
    assert (reader["Handler"], reader["Timeout"]) == ("submitter.handler.handler", 60)
    (told,) = full.only("AWS::S3::Bucket")["NotificationConfiguration"]["QueueConfigurations"]
    assert told["Filter"]["S3Key"]["Rules"] == [{"Name": "prefix", "Value": "images/"}]
    inputs = [target.get("Input") for rule in full.properties("AWS::Events::Rule") for target in rule["Targets"]]
    assert '{"Paths":["cats","dogs"]}' in inputs


def test_alarms_reach_somebody(full: Assembly) -> None:
    """A topic's own policy takes the place of AWS's default one, so alarms and events have to be let in by it."""
    (topic,) = full.resources("AWS::SNS::Topic")
    for alarm in full.properties("AWS::CloudWatch::Alarm"):
        assert alarm["AlarmActions"] == [{"Ref": topic}]
    statements = full.only("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    senders = {each["Principal"]["Service"] for each in statements if each["Effect"] == "Allow"}
    assert senders == {"cloudwatch.amazonaws.com", "events.amazonaws.com"}
    assert full.only("AWS::SNS::Subscription")["Endpoint"] == "somebody@example.com"


def test_every_alarm_has_its_paragraph(full: Assembly) -> None:
    """And every paragraph its alarm: docs/operations.md says what to do about each."""
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = guide.split("\n## Alarms\n")[1].split("\n## ")[0]
    paragraphs = dict(re.findall(r"^### (\S+)\n\n(.+?)(?=\n### |\Z)", section, flags=re.MULTILINE | re.DOTALL))
    alarms = {each["AlarmName"].removeprefix("embedder-full-") for each in full.properties("AWS::CloudWatch::Alarm")}
    assert set(paragraphs) == alarms
    assert len(alarms) == 10
    assert all(len(text) > 60 for text in paragraphs.values())


def test_anomalies_are_watched(plain: Assembly) -> None:
    found = {
        alarm["AlarmName"]: [each["Expression"] for each in alarm["Metrics"] if "Expression" in each]
        for alarm in plain.properties("AWS::CloudWatch::Alarm")
        if "ThresholdMetricId" in alarm
    }
    assert set(found) == {"embedder-prod-job-duration", "embedder-prod-submitter-duration"}
    assert all("ANOMALY_DETECTION_BAND" in each[0] for each in found.values())


def test_what_tags_would_replace_has_none(plain: Assembly, full: Assembly) -> None:
    """CloudFormation replaces Batch's resources when their tags change, and running jobs end.

    Tags of a stack would reach all of its resources, whatever their own say.
    """
    for assembly in (plain, full):
        manifest = json.loads((assembly.folder / "manifest.json").read_text(encoding="utf-8"))
        (stack,) = [each for each in manifest["artifacts"].values() if each["type"] == "aws:cloudformation:stack"]
        assert not stack["properties"].get("tags")
    assert {each["Key"] for each in full.only("AWS::DynamoDB::Table")["Tags"]} == {
        "devops-guru-embedder",
        "embedder-stage",
        "team",
    }
    for assembly in (plain, full):
        for kind in ("JobQueue", "ComputeEnvironment", "JobDefinition"):
            assert not any("Tags" in each for each in assembly.properties(f"AWS::Batch::{kind}"))
    for environment in full.properties("AWS::Batch::ComputeEnvironment"):
        tags = environment["ComputeResources"]["Tags"]
        assert (tags["team"], tags["embedder-stage"]) == ("search", "full"), "of the machines, which cost"


def test_the_cdks_own_context_is_used(full: Assembly) -> None:
    boundaries = {shown_arn(each["PermissionsBoundary"]) for each in full.properties("AWS::IAM::Role")}
    assert boundaries == {"arn:<AWS::Partition>:iam::<AWS::AccountId>:policy/boundary"}


def test_images_are_built_with_the_model_that_the_workers_run(tmp_path: Path) -> None:
    chosen = ("-c", "workers=cpu,gpu", "-c", "options=model=convnext_tiny", "-c", "cpu_instances=m7g.xlarge")
    done = run_app("-c", "stage=prod", *chosen, "-c", "warm_throughput=12000", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    built = json.loads((tmp_path / "out" / "embedder-prod.assets.json").read_text())["dockerImages"].values()
    found = {each["source"]["platform"]: each["source"]["dockerBuildArgs"] for each in built}
    common = {"MODEL": "convnext_tiny", "BASE": "public.ecr.aws/docker/library/python:3.11-slim-bookworm"}
    assert found == {"linux/arm64": common, "linux/amd64": common | {"TORCH_INDEX": ""}}


@pytest.mark.slow
def test_a_pipeline_delivers_stages_to_their_accounts(tmp_path: Path) -> None:
    stages = tmp_path / "stages.toml"
    stages.write_text(
        f"""
        [beta]
        account = "111111111111"
        region = "eu-central-1"
        workers = ["cpu"]
        cpu_instances = ["m7g.xlarge"]
        [prod]
        account = "222222222222"
        region = "us-east-1"
        workers = ["cpu"]
        cpu_image = "{PLAIN["cpu_image"].replace("eu-central-1", "us-east-1")}"
        [pipeline]
        repository = "somebody/embedder"
        connection = "arn:aws:codeconnections:eu-central-1:111111111111:connection/1"
        stages = ["beta", "prod"]
        approve = ["prod"]
        """
    )
    done = run_app("-c", "pipeline=true", "-c", f"stages={stages}", "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    template = json.loads((tmp_path / "out" / "embedder-pipeline.template.json").read_text())
    (pipeline,) = [each for each in template["Resources"].values() if each["Type"] == "AWS::CodePipeline::Pipeline"]
    found = {each["Name"]: [action["Name"] for action in each["Actions"]] for each in pipeline["Properties"]["Stages"]}
    assert list(found)[-2:] == ["beta", "prod"]
    assert "Approve-prod" in found["prod"]
    assert "Approve-beta" not in found["beta"]
    builders = {
        each["Properties"]["Environment"]["Image"]
        for each in template["Resources"].values()
        if each["Type"] == "AWS::CodeBuild::Project" and each["Properties"]["Environment"]["PrivilegedMode"]
    }
    assert builders == {"aws/codebuild/amazonlinux-aarch64-standard:3.0"}, "an x86 machine would emulate arm64"
    stages.write_text(re.sub("cpu_image = .*", "", stages.read_text()))
    done = run_app("-c", "pipeline=true", "-c", f"stages={stages}", "-o", str(tmp_path / "none"))
    assert done.returncode == 2
    assert "need images for arm64 and x86_64, and one kind of machine builds them all" in done.stderr


@pytest.mark.slow
def test_cheap_and_given_things_are_synthesized_too(tmp_path: Path) -> None:
    """Public subnets, and a bucket and table that exist."""
    image, out = f"cpu_image={PLAIN['cpu_image']}", str(tmp_path / "out")
    zones = "zones=us-east-1b,us-east-1d,us-east-1f"
    given = ("-c", "bucket=my-images", "-c", "table=vectors", "-c", zones)
    done = run_app("-c", "stage=dev", "-c", image, *given, "-o", out)
    assert done.returncode == 0, done.stderr
    made = Assembly(folder=tmp_path / "out")
    assert not made.resources("AWS::S3::Bucket")
    assert not made.resources("AWS::DynamoDB::Table")
    assert len(made.resources("AWS::EC2::VPCEndpoint")) == 2, "gateways cost nothing"
    found = [each["AvailabilityZone"] for each in made.properties("AWS::EC2::Subnet")]
    assert found == ["us-east-1b", "us-east-1d", "us-east-1f"]
    assert made.template["Outputs"]["BucketName"]["Value"] == "my-images"


def test_a_platform_teams_network_is_used(tmp_path: Path) -> None:
    """An existing VPC and subnets, with the endpoints that they lack, and nothing else made in it."""
    chosen = {
        **PLAIN,
        "stage": "given",
        "workers": "cpu",
        "vpc": "vpc-0123456a",
        "subnets": "subnet-0123456a,subnet-0123456b",
        "endpoints": "dynamodb,logs,ssm",
        "route_tables": "rtb-0123456a",
    }
    out = tmp_path / "out"
    done = run_app("-o", str(out), *(word for each in chosen.items() for word in ("-c", "=".join(each))))
    assert done.returncode == 0, done.stderr
    made = Assembly(folder=out)
    for kind in ("VPC", "Subnet", "RouteTable", "FlowLog"):
        assert not made.resources(f"AWS::EC2::{kind}")
    found = endpoints(made)
    assert set(found) == {"dynamodb", "logs", "ssm"}
    assert (found["dynamodb"]["RouteTableIds"], found["dynamodb"]["VpcId"]) == (["rtb-0123456a"], "vpc-0123456a")
    assert found["logs"]["SubnetIds"] == ["subnet-0123456a", "subnet-0123456b"]
    for environment in made.properties("AWS::Batch::ComputeEnvironment"):
        assert environment["ComputeResources"]["Subnets"] == ["subnet-0123456a", "subnet-0123456b"]
