"""Check that the bucket and the table are where the jobs run, before a run is written."""

from __future__ import annotations

from botocore.exceptions import ClientError

from submitter.clients import Services
from submitter.config import Targets
from submitter.errors import UsageError, error_code


def check_region(targets: Targets, services: Services) -> None:
    """Refuse a bucket or table that the workers cannot reach.

    Workers talk to S3 and DynamoDB through endpoints of their own region, so a bucket of another region would cost each
    worker its timeout.

    Raises:
        UsageError: the bucket is in another region, or the table does not exist in this one.
    """
    region = services.batch.meta.region_name
    found = services.s3.head_bucket(Bucket=targets.bucket)
    home = found.get("BucketRegion") or region
    if home != region:
        raise UsageError(
            f"the bucket {targets.bucket} is in {home} and the jobs run in {region}: submit in {home} "
            f"(AWS_DEFAULT_REGION={home}), or copy the images to a bucket in {region}"
        )
    try:
        services.dynamodb.describe_table(TableName=targets.table)
    except ClientError as error:
        if error_code(error) != "ResourceNotFoundException":
            raise
        raise UsageError(
            f"there is no table {targets.table} in {region}, where the jobs run: check the name and the region, "
            "or create the table with the partition key ImageId of type S"
        ) from error
