"""Checks of the AWS credentials, and of the clock, which signatures depend on."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from embedder.doctor import Finding, ok, skipped
from embedder.errors import ConfigurationError, TransientError
from embedder.system import aws

WARN_SECONDS, MOST_SECONDS = 60, 300
"""AWS refuses signatures that are five minutes off. S3 allows more."""


class Clock:
    """Compares this machine's time with the Date header of every answer."""

    def __init__(self) -> None:
        self.skews: dict[str, float] = {}
        """Seconds by which this machine is ahead, by the service's name."""

    def watch(self, client: Any) -> None:
        """Compare the time with every answer that this client receives from now on."""
        client.meta.events.register("response-received", self._note)

    def _note(self, response_dict: dict[str, Any] | None, **context: Any) -> None:
        headers = (response_dict or {}).get("headers", {})
        date = next((value for name, value in headers.items() if name.lower() == "date"), None)
        if date is not None:
            service = context["event_name"].split(".")[1]
            self.skews[service] = time.time() - parsedate_to_datetime(date).timestamp()

    def check(self) -> Finding:
        """Check that the clock is right."""
        if not self.skews:
            return skipped("no service has answered")
        service, skew = max(self.skews.items(), key=lambda item: abs(item[1]))
        found = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} {service}'s"
        if abs(skew) > MOST_SECONDS:
            return Finding(
                "failed", found, "set the clock (chrony, NTP): requests more than five minutes off are refused"
            )
        if abs(skew) > WARN_SECONDS:
            return Finding("warning", found, "set the clock (chrony, NTP): from five minutes on requests are refused")
        return ok(found)


class AccountExam:
    """The checks of the credentials.

    Args:
        endpoints: the addresses of the services that a run uses.
    """

    def __init__(self, endpoints: list[str], clock: Clock) -> None:
        self.endpoints = endpoints
        self.clock = clock
        self.found = False

    def credentials(self) -> Finding:
        """Check that there are credentials, and say where they come from."""
        try:
            credentials = boto3.session.Session().get_credentials()
        except BotoCoreError as error:
            raise aws.explain(error, "AWS") from error
        if credentials is None:
            raise ConfigurationError(
                "no AWS credentials were found; set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or run where a role provides them"
            )
        key = credentials.get_frozen_credentials().access_key or ""
        self.found = True
        return ok(f"of {credentials.method}, key …{key[-4:]}")

    def identity(self) -> Finding:
        """Say whose credentials they are. This needs no permission, but a network path to STS."""
        if not self.found:
            return skipped("there are no credentials")
        client = aws.sts_client()
        elsewhere = [each for each in self.endpoints if "amazonaws" not in each]
        if elsewhere and "amazonaws" in client.meta.endpoint_url:
            return skipped(f"the services are at {', '.join(elsewhere)}, which is not AWS")
        self.clock.watch(client)
        try:
            with aws.sentences("STS"):
                who = client.get_caller_identity()
        except TransientError:
            return skipped(f"{client.meta.endpoint_url} does not answer from here; a run does not need it")
        except ConfigurationError as error:
            if isinstance(error.__cause__, ClientError) and aws.error_code(error.__cause__) in aws.CREDENTIAL_CODES:
                raise
            return skipped(str(error))
        return ok(f"{who['Arn']} in account {who['Account']}")
