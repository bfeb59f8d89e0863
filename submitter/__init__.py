"""Turn folders of an S3 bucket into a run of AWS Batch jobs, from a Lambda function or a terminal.

The package needs only the standard library and boto3, because it is zipped into a Lambda as it stands. Workers import
`submitter.manifest` to read a run, so that module needs only the standard library, and this file imports nothing.
"""
