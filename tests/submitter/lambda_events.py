"""Events in the shapes that AWS documents, cut down to what they have in common with real ones."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote_plus


class LambdaContext:
    """What Lambda passes beside the event."""

    def __init__(self, request_id: str = "8f507cfc-xmpl-4697-b07a-ac58fc914c95", milliseconds: int = 300_000) -> None:
        self.aws_request_id = request_id
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def rest_api(body: str | None, method: str = "POST") -> dict[str, Any]:
    """API Gateway, payload format 1.0."""
    return {
        "resource": "/submit",
        "path": "/submit",
        "httpMethod": method,
        "headers": {"Content-Type": "application/json", "Host": "70ixmpl4fl.execute-api.us-east-2.amazonaws.com"},
        "multiValueHeaders": {"Content-Type": ["application/json"]},
        "queryStringParameters": None,
        "pathParameters": None,
        "stageVariables": None,
        "requestContext": {
            "resourceId": "2gxmpl",
            "resourcePath": "/submit",
            "httpMethod": method,
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "stage": "Prod",
        },
        "body": body,
        "isBase64Encoded": False,
    }


def http_api(body: str, method: str = "POST", encoded: bool = False) -> dict[str, Any]:
    """API Gateway, payload format 2.0, and Function URLs."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/submit",
        "rawQueryString": "",
        "headers": {"content-type": "application/json"},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdefghij",
            "http": {"method": method, "path": "/submit", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "JKJaXmPLvHcESHA=",
            "stage": "$default",
            "timeEpoch": 1583348638390,
        },
        "body": base64.b64encode(body.encode()).decode() if encoded else body,
        "isBase64Encoded": encoded,
    }


def scheduled(detail: object = None, **more: object) -> dict[str, Any]:
    """EventBridge."""
    return {
        "version": "0",
        "id": "53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": "2026-10-08T16:53:06Z",
        "region": "us-east-1",
        "resources": ["arn:aws:events:us-east-1:123456789012:rule/nightly"],
        "detail": detail or {},
        **more,
    }


def s3_record(bucket: str, key: str, size: int = 1024, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-2",
        "eventTime": "2026-09-03T19:37:27.192Z",
        "eventName": event,
        "userIdentity": {"principalId": "AWS:AIDAINPONIXQXHT3IKHL2"},
        "requestParameters": {"sourceIPAddress": "205.255.255.255"},
        "responseElements": {"x-amz-request-id": "D82B88E5F771F645"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "828aa6fc-f7b5-4305-8584-487c791949c1",
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {
                "key": quote_plus(key, safe="/"),
                "size": size,
                "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0C0F6F405D6ED209E1",
            },
        },
    }


def sqs_message(message_id: str, body: object) -> dict[str, Any]:
    return {
        "messageId": message_id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
        "body": body if isinstance(body, str) else json.dumps(body),
        "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1545082649183"},
        "messageAttributes": {},
        "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:us-east-2:123456789012:my-queue",
        "awsRegion": "us-east-2",
    }


def sqs(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(messages)}


TEST_NOTIFICATION = {
    "Service": "Amazon S3",
    "Event": "s3:TestEvent",
    "Time": "2026-10-13T15:57:02.089Z",
    "Bucket": "pictures",
    "RequestId": "5582815E1AEA5ADF",
    "HostId": "8cLeGAmw098X5cv4Zkwcmo8vvZa3eH3eKxsPzbB9wrR+YstdA6Knx4Ip8EXAMPLE",
}
