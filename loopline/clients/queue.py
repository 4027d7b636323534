"""SQS: messages that wait until someone has done what they ask for."""

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from loopline.errors import AccessError, UnreachableError

WAIT_SECONDS = 20  # the most that SQS lets one ask for


class Queue:
    """One queue, by its name, with the credentials and region that boto3 finds."""

    def __init__(self, name: str) -> None:
        self._name, self._sqs = name, boto3.session.Session().client("sqs")
        with self._explained():
            self._url = self._sqs.get_queue_url(QueueName=name)["QueueUrl"]

    def messages(self) -> Iterator[str]:
        """Yield messages for ever, as they come; each is deleted once the next one is asked for."""
        while True:
            with self._explained():
                found = self._sqs.receive_message(QueueUrl=self._url, WaitTimeSeconds=WAIT_SECONDS).get("Messages", [])
            for message in found:
                yield message["Body"]
                with self._explained():
                    self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise AccessError(f"AWS refused the queue {self._name} ({code}); check its name and this role") from None
        except BotoCoreError as error:
            raise UnreachableError(f"the queue {self._name} did not answer ({type(error).__name__})") from None
