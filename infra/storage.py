"""The bucket of images and runs and the table of vectors, created here or existing."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.permissions import accept
from infra.settings import StageSettings
from infra.settings_checks import NEW_TABLE_WRITES, RUNS_PREFIX


class Storage(Construct):
    """Both outlive the stack, so that a mistyped command does not delete what took days to compute."""

    def __init__(self, scope: Construct, settings: StageSettings) -> None:
        super().__init__(scope, "Storage")
        self.key = kms.Key.from_key_arn(self, "Key", settings.key) if settings.key else None
        self.own_bucket = None if settings.bucket else self._bucket(settings)
        self.bucket: s3.IBucket = self.own_bucket or s3.Bucket.from_bucket_name(self, "Bucket", settings.bucket)
        self.read_buckets = [f"arn:{Stack.of(self).partition}:s3:::{name}" for name in settings.read_buckets]
        """The ARNs of the other buckets that workers may read."""
        self.table: dynamodb.ITable = (
            dynamodb.Table.from_table_name(self, "Table", settings.table) if settings.table else self._table(settings)
        )

    @property
    def runs(self) -> str:
        """The ARN of all objects of runs."""
        return str(self.bucket.arn_for_objects(f"{RUNS_PREFIX}*"))

    def _bucket(self, settings: StageSettings) -> s3.Bucket:
        bucket = s3.Bucket(
            self,
            "Images",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            enforce_ssl=True,
            encryption=s3.BucketEncryption.KMS if self.key else s3.BucketEncryption.S3_MANAGED,
            encryption_key=self.key,
            bucket_key_enabled=True if self.key else None,  # otherwise each image is a request to KMS
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,  # a failed first deployment leaves none behind
        )
        bucket.add_lifecycle_rule(id="abandoned-uploads", abort_incomplete_multipart_upload_after=Duration.days(7))
        if settings.manifest_days:
            bucket.add_lifecycle_rule(
                id="old-runs", prefix=RUNS_PREFIX, expiration=Duration.days(settings.manifest_days)
            )
        reason = (
            "a log line for each image read would double the bucket's requests and need a second bucket; "
            "CloudTrail's data events serve those who want to know"
        )
        accept(bucket, {"AwsSolutions-S1": reason})
        return bucket

    def _table(self, settings: StageSettings) -> dynamodb.Table:
        warm = settings.warm_throughput
        table = dynamodb.Table(
            self,
            "Vectors",
            partition_key=dynamodb.Attribute(name="ImageId", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            warm_throughput=(dynamodb.WarmThroughput(write_units_per_second=warm) if warm > NEW_TABLE_WRITES else None),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED if self.key else dynamodb.TableEncryption.DEFAULT,
            encryption_key=self.key,
            deletion_protection=True,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        if settings.vector_index:
            _add_vector_index(table, settings.vector_index)
        return table


def _add_vector_index(table: dynamodb.Table, dimension: int) -> None:
    """Let DynamoDB itself search the table, as embedder's `SearchVectors` expects it.

    CloudFormation has the property; the CDK's `Table` does not have it yet, but the class below it does.
    """
    inner = table.node.default_child
    assert isinstance(inner, dynamodb.CfnTable)
    inner.vector_indexes = [
        dynamodb.CfnTable.VectorIndexProperty(
            index_name="vectors",
            vector_attribute=dynamodb.CfnTable.VectorAttributeProperty(attribute_name="VectorNumbers"),
            search_schema=[
                dynamodb.CfnTable.SearchSchemaElementProperty(
                    attribute_name="Fingerprint", search_schema_element_type="INLINE_FILTER"
                )
            ],
            projection=dynamodb.CfnTable.ProjectionProperty(projection_type="KEYS_ONLY"),
            dimensions=dimension,
            distance_function="COSINE",
        )
    ]
    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("ImageId", "Fingerprint")]
    inner.add_property_override("AttributeDefinitions", attributes)
    reason = "the search schema's attributes have to be defined, which the rule knows only of keys"
    accept(table, {"CloudFormation-Validate::E3039": reason})
    inner.add_override("Metadata.cfn-lint", {"config": {"ignore_checks": ["E3039"]}})
