"""Turns folders of an S3 bucket into a run of AWS Batch jobs, from a Lambda or from a terminal.

Needs the standard library and boto3 and nothing else: this folder is zipped into a Lambda as it
stands. `submitter.manifest` needs the standard library alone, and this file imports nothing, so
that the workers can read a run without boto3 being loaded.
"""
