"""The object store: the one place that knows S3.

Keys are relative to the settings' prefix, so that what is stored can move to another bucket. Nothing here needs
conditional puts, tags, ACLs, versioning or user metadata: small S3 servers ignore them, or destroy objects over them.
"""

import hashlib
import io
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from textwrap import shorten
from typing import IO, TYPE_CHECKING, TypeVar
from uuid import uuid4

import boto3
from boto3.s3.transfer import TransferConfig
from botocore import exceptions as aws
from botocore.config import Config
from rich.console import Console
from rich.progress import Progress
from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError

from loopline.contracts import Artifact
from loopline.errors import AccessError, ConfigError, DataError, IntegrityError, LooplineError, UnreachableError
from loopline.settings import StoreSettings

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

THREADS = 16  # requests under way at once: hides a far bucket's latency, and more gains nothing on one machine
ATTEMPTS = 4  # per request, by botocore
BODY_ATTEMPTS = 2  # per body, by s3transfer, for one cut short; on a server that hangs it multiplies with ATTEMPTS
PART_BYTES = 32 * 2**20  # larger bodies travel part by part, in the calling thread, so that it holds one at a time
_TRANSFER = TransferConfig(
    multipart_threshold=PART_BYTES,
    multipart_chunksize=PART_BYTES,
    use_threads=False,
    num_download_attempts=BODY_ATTEMPTS,
)
_SILENCE = (aws.HTTPClientError, aws.ConnectionError, aws.IncompleteReadError)
_BROKEN_TRANSFER = (RetriesExceededError, S3DownloadFailedError)
_NO_CREDENTIALS = (aws.NoCredentialsError, aws.PartialCredentialsError, aws.CredentialRetrievalError, aws.SSOError)
_BUSY = {"SlowDown", "TooManyRequests", "RequestTimeout"}

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class StoredObject:
    """One entry of a listing."""

    key: str
    etag: str
    size_bytes: int


class Store:
    """A bucket, or what is below a prefix of one. Cheap to make, safe to share between threads.

    Every method raises UnreachableError if the server doesn't answer, AccessError if it refuses us or lacks the
    bucket, and DataError if the key asked for isn't there.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._bucket = settings.bucket
        self._root = f"{settings.prefix}/" if settings.prefix else ""
        with self._explained(""):
            self._s3 = _client(settings)

    def url(self, key: str) -> str:
        """Return the key as people write it: s3://bucket/prefix/key."""
        return f"s3://{self._bucket}/{self._root}{key}"

    def signed_address(self, key: str, *, seconds: int) -> str:
        """Return an address by which whoever knows it can read the key for so long."""
        place = {"Bucket": self._bucket, "Key": self._root + key}
        with self._explained(key):
            return self._s3.generate_presigned_url("get_object", Params=place, ExpiresIn=seconds)

    def ensure_bucket(self) -> None:
        """Create the bucket unless it exists."""
        with self._explained(""):
            try:
                self._s3.head_bucket(Bucket=self._bucket)
            except aws.ClientError as error:
                if _status(error) != 404:
                    raise
                self._create_bucket()

    def server_time(self) -> datetime:
        """Return what the server's clock says."""
        with self._explained(""):
            answer = self._s3.head_bucket(Bucket=self._bucket)
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])

    def other_buckets(self) -> list[str]:
        """Return the buckets that our keys may see and that are not ours; none where they may not look."""
        with suppress(AccessError), self._explained(""):
            named = [bucket["Name"] for bucket in self._s3.list_buckets().get("Buckets", ())]
            return [name for name in named if name != self._bucket]
        return []

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yield what is stored under the prefix, in the order of the keys' bytes, reading a page at a time."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._root + prefix)
        with self._explained(prefix):
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield self._stored(entry)

    def list_older(self, prefix: str, *, before: datetime) -> Iterator[StoredObject]:
        """Yield what is stored under the prefix and was last written before a time, by the server's clock."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._root + prefix)
        with self._explained(prefix):
            for page in pages:
                for entry in page.get("Contents", ()):
                    if entry["LastModified"] < before:
                        yield self._stored(entry)

    def end_uploads(self, *, before: datetime) -> int:
        """End uploads in parts that were begun before a time and never completed; return how many."""
        pages = self._s3.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket, Prefix=self._root)
        ended = 0
        with suppress(DataError), self._explained(""):  # a server that has none to name says 404
            for page in pages:
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        key, number = upload["Key"], upload["UploadId"]
                        self._s3.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=number)
                        ended += 1
        return ended

    def exists(self, key: str) -> bool:
        """Tell whether anything is stored at the key."""
        try:
            with self._explained(key):
                self._s3.head_object(Bucket=self._bucket, Key=self._root + key)
        except DataError:
            return False
        return True

    def read(self, key: str) -> bytes:
        """Return the bytes stored at the key."""
        body = io.BytesIO()
        self._receive(key, body)
        return body.getvalue()

    def write(self, key: str, data: bytes) -> None:
        """Store the bytes at the key: readers see the old object or the new one, never a part."""
        self._send(key, io.BytesIO(data))

    def delete(self, key: str) -> None:
        """Delete the object at the key, if there is one."""
        with self._explained(key):
            self._s3.delete_object(Bucket=self._bucket, Key=self._root + key)

    def put(self, source: Path | bytes, key: str) -> Artifact:
        """Store a file or bytes at the key; return the artifact, named by content."""
        with _opened(source) as body:
            artifact = Artifact(sha256=_sha256(body), size_bytes=_size(body), uri=key)
            self._send(key, body)
        return artifact

    def publish(self, source: Path | bytes, folder: str, *, suffix: str = "") -> Artifact:
        """Store a file or bytes at <folder>/<sha256><suffix>, unless they are there already."""
        with _opened(source) as body:
            sha256 = _sha256(body)
            artifact = Artifact(sha256=sha256, size_bytes=_size(body), uri=f"{folder}/{sha256}{suffix}")
            if not self.exists(artifact.uri):
                self._send(artifact.uri, body)
        return artifact

    def download(self, key: str, path: Path) -> Path:
        """Bring whatever is stored at the key to the path, whole or not at all."""
        with _arriving(path) as body:
            self._receive(key, body)
        return path

    def fetch(self, artifact: Artifact, path: Path) -> Path:
        """Bring an artifact to the path, whole or not at all; IntegrityError if the bytes are not those it names."""
        with _arriving(path) as body:
            self._receive(artifact.uri, body)
            self._verify(artifact, body)
        return path

    def read_artifact(self, artifact: Artifact) -> bytes:
        """Return an artifact's bytes; IntegrityError if they are not those it names."""
        data = self.read(artifact.uri)
        self._verify(artifact, io.BytesIO(data))
        return data

    def upload_all(self, sources: Mapping[str, Path | bytes]) -> tuple[Artifact, ...]:
        """Store each source at its key, many at once under a progress bar; return the artifacts in the same order."""
        return tuple(in_parallel(lambda pair: self.put(pair[1], pair[0]), sources.items(), title="upload"))

    def fetch_all(self, targets: Mapping[Path, Artifact]) -> tuple[Path, ...]:
        """Bring each artifact to its path, many at once under a progress bar; IntegrityError as in fetch."""
        return tuple(in_parallel(lambda pair: self.fetch(pair[1], pair[0]), targets.items(), title="download"))

    def _stored(self, entry: "ObjectTypeDef") -> StoredObject:
        return StoredObject(entry["Key"].removeprefix(self._root), entry["ETag"].strip('"'), entry["Size"])

    def _create_bucket(self) -> None:
        region = self._settings.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        errors = self._s3.exceptions
        with suppress(errors.BucketAlreadyOwnedByYou, errors.BucketAlreadyExists):  # another run was faster
            self._s3.create_bucket(Bucket=self._bucket, **place)  # type: ignore[arg-type]

    def _send(self, key: str, body: IO[bytes]) -> None:
        body.seek(0)
        with self._explained(key):
            self._s3.upload_fileobj(body, self._bucket, self._root + key, Config=_TRANSFER)

    def _receive(self, key: str, body: IO[bytes]) -> None:
        with self._explained(key):
            self._s3.download_fileobj(self._bucket, self._root + key, body, Config=_TRANSFER)

    def _verify(self, artifact: Artifact, body: IO[bytes]) -> None:
        found = _sha256(body)
        if found != artifact.sha256:
            raise IntegrityError(
                f"{self.url(artifact.uri)} holds {_size(body)} bytes of sha256 {found[:12]}… instead of "
                f"{artifact.size_bytes} of {artifact.sha256[:12]}…; restore it, or delete it and have it made again"
            )

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Turn the SDK's exceptions into ours."""
        server = "AWS" if self._settings.endpoint == "aws" else self._settings.endpoint
        try:
            yield
        except aws.ClientError as error:
            raise self._refusal(error, key, server=server) from error
        except (*_SILENCE, *_BROKEN_TRANSFER) as error:
            raise UnreachableError(
                f"the store at {server} did not answer for {self.url(key)} ({type(error).__name__}); "
                "check that it runs and that LOOPLINE_STORE__ENDPOINT is right"
            ) from error
        except _NO_CREDENTIALS as error:
            raise AccessError(
                f"there are no usable credentials for {self.url('')} ({type(error).__name__}); "
                "set LOOPLINE_STORE__ACCESS_KEY and LOOPLINE_STORE__SECRET_KEY, or log in to AWS"
            ) from error
        except (aws.BotoCoreError, ValueError) as error:
            reason = shorten(str(error), 150)
            raise ConfigError(f"the store's settings can't be used: {reason}; check LOOPLINE_STORE__*") from error

    def _refusal(self, error: aws.ClientError, key: str, *, server: str) -> LooplineError:
        code, status, url = error.response["Error"]["Code"], _status(error), self.url(key)
        if code == "NoSuchBucket":
            return AccessError(f"{server} has no bucket {self._bucket}; create it, or set LOOPLINE_STORE__BUCKET")
        if status == 404:
            return DataError(f"{url} is not there; it was deleted, or never written")
        if status >= 500 or code in _BUSY:
            return UnreachableError(f"the store at {server} answered {status} {code} for {url}; try again later")
        return AccessError(
            f"the store at {server} refused {url} ({status} {code}); check LOOPLINE_STORE__ACCESS_KEY, "
            "LOOPLINE_STORE__SECRET_KEY, LOOPLINE_STORE__REGION, the bucket's policy and this machine's clock"
        )


def in_parallel(work: Callable[[Item], Result], items: Collection[Item], *, title: str) -> Iterator[Result]:
    """Yield work(item) in the items' order, many at once in threads, with a progress bar if stderr is a terminal."""
    console = Console(stderr=True)
    hidden = not console.is_terminal
    with ThreadPoolExecutor(THREADS) as pool, Progress(console=console, transient=True, disable=hidden) as progress:
        yield from progress.track(pool.map(work, items), total=len(items), description=title)


@lru_cache(maxsize=8)  # a client takes 0.1 s to make; several stores of one process share it
def _client(settings: StoreSettings) -> "S3Client":
    secret = settings.secret_key
    # A session of its own: boto3's default one is not safe to use from several threads.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=None if settings.endpoint == "aws" else settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
            max_pool_connections=2 * THREADS,
            connect_timeout=10,
            read_timeout=60,
        ),
    )


@contextmanager
def _opened(source: Path | bytes) -> Iterator[IO[bytes]]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as body:
        yield body


@contextmanager
def _arriving(path: Path) -> Iterator[IO[bytes]]:
    """Give a file beside the path, and put it in the path's place once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("w+b") as body:
            yield body
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _sha256(body: IO[bytes]) -> str:
    body.seek(0)
    return hashlib.file_digest(body, "sha256").hexdigest()  # type: ignore[arg-type]


def _size(body: IO[bytes]) -> int:
    return body.seek(0, os.SEEK_END)


def _status(error: aws.ClientError) -> int:
    return error.response["ResponseMetadata"]["HTTPStatusCode"]
