"""What invokes the submitter besides people: a schedule, uploads, signed HTTPS requests. Each is a setting."""

from __future__ import annotations

from aws_cdk import CfnOutput, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.permissions import allow
from infra.settings import StageSettings
from infra.storage import Storage
from infra.submitter import UPLOADS_TIMEOUT, Submitter

GATHERING = Duration.minutes(5)
"""The longest that Lambda gathers messages: a job starts a machine, so it should have more than one image."""
MESSAGES = 1000
"""The most messages of one invocation; at 1.5 kB each they stay far below the 6 MB of an event."""
DELIVERIES = 3
"""How often a message is delivered before it is put aside: half an hour after the first attempt."""


class Schedule(Construct):
    """Submits the same folders repeatedly; workers skip what is unchanged."""

    def __init__(self, scope: Construct, settings: StageSettings, submitter: Submitter) -> None:
        super().__init__(scope, "Schedule")
        event = events.RuleTargetInput.from_object({"Paths": list(settings.schedule_paths)})
        events.Rule(
            self,
            "Rule",
            description="Submits folders; workers skip what is unchanged",
            schedule=events.Schedule.expression(settings.schedule),
            targets=[targets.LambdaFunction(submitter.function, event=event)],
        )


class UploadNotifications(Construct):
    """S3 notifies a queue of uploads, and a function of the queue's own submits them."""

    def __init__(self, scope: Construct, settings: StageSettings, storage: Storage, submitter: Submitter) -> None:
        super().__init__(scope, "Notifications")
        self.put_aside = sqs.Queue(
            self,
            "PutAside",
            encryption=sqs.QueueEncryption.KMS if storage.key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=storage.key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        queue = sqs.Queue(
            self,
            "Uploads",
            encryption=sqs.QueueEncryption.KMS if storage.key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=storage.key,
            enforce_ssl=True,
            retention_period=Duration.days(14),
            # Six times the function's timeout and the gathering, as Lambda's documentation asks.
            visibility_timeout=Duration.seconds(6 * UPLOADS_TIMEOUT.to_seconds() + GATHERING.to_seconds()),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.put_aside, max_receive_count=DELIVERIES),
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=submitter.function,
            event_source_arn=queue.queue_arn,
            batch_size=MESSAGES,
            max_batching_window=GATHERING,
            max_concurrency=2,
            report_batch_item_failures=True,
        )
        allow(submitter.role, "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", on=[queue.queue_arn])
        self._let_in(settings, storage, queue)
        CfnOutput(Stack.of(self), "UploadsQueueArn", value=queue.queue_arn)

    def _let_in(self, settings: StageSettings, storage: Storage, queue: sqs.Queue) -> None:
        """Let the bucket send. The owner of an existing bucket has to configure it: docs/operations.md."""
        stack = Stack.of(self)
        # The stack's own bucket has no name yet when the queue's policy is made. Its name will begin with the stack's,
        # which CloudFormation may shorten; the condition on the account covers the rest.
        name = settings.bucket or f"{settings.name[:20]}*"
        queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[queue.queue_arn],
                conditions={
                    "ArnLike": {"aws:SourceArn": f"arn:{stack.partition}:s3:::{name}"},
                    "StringEquals": {"aws:SourceAccount": stack.account},
                },
            )
        )
        if storage.own_bucket is None:
            return
        bucket = storage.own_bucket.node.default_child
        assert isinstance(bucket, s3.CfnBucket)
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*",
                    queue=queue.queue_arn,
                    filter=s3.CfnBucket.NotificationFilterProperty(
                        s3_key=s3.CfnBucket.S3KeyFilterProperty(
                            rules=[s3.CfnBucket.FilterRuleProperty(name="prefix", value=settings.notify)]
                        )
                    ),
                )
            ]
        )
        policy = queue.node.find_child("Policy")
        bucket.node.add_dependency(policy)  # S3 sends a test message when it is configured


class FunctionUrl(Construct):
    """A Function URL. Only identities of this account that may invoke the function get an answer."""

    def __init__(self, scope: Construct, submitter: Submitter) -> None:
        super().__init__(scope, "Address")
        url = submitter.function.add_function_url(auth_type=lambda_.FunctionUrlAuthType.AWS_IAM)
        CfnOutput(Stack.of(self), "SubmitterUrl", value=url.url)
