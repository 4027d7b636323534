"""Time ingest against a bare copy loop: `python -m benchmarks.ingest` starts an S3 server of its own.

The goal is 60 s for 5,000 images of 10 KB seen for the first time, and 5 s when nothing has changed. The ratio tells
what checking, hashing and bookkeeping cost over moving the bytes, on whatever machine this runs.
"""

import io
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import boto3
import numpy as np
from botocore.config import Config
from PIL import Image
from pydantic import SecretStr

from loopline.clients.store import THREADS, Store, in_parallel
from loopline.intake import take_images
from loopline.settings import StoreSettings

IMAGE_COUNT = 5_000
WIDTH_PX, HEIGHT_PX = 320, 48  # noise of 5 bits per pixel: PNG files of about 10 KB
GREY_LEVELS = 32
SECRET = "benchmark"  # noqa: S105
SOURCE = "inbox/lines"


def main() -> None:
    logging.basicConfig(format="%(message)s")
    logging.getLogger("loopline").setLevel(logging.INFO)
    with TemporaryDirectory() as folder, server(Path(folder)) as settings:
        store = Store(settings)
        store.ensure_bucket()
        images = {f"{SOURCE}/{number // 100}/{number}.png": png(number) for number in range(IMAGE_COUNT)}
        store.upload_all(images)
        size_kb = sum(map(len, images.values())) / len(images) / 1000
        print(f"{IMAGE_COUNT} images of {size_kb:.1f} KB, {THREADS} threads, {os.cpu_count()} cores")
        bare = seconds(lambda: copy_bare(settings, list(images)))
        first = seconds(lambda: take_images(store, "handwriting", SOURCE))
        again = seconds(lambda: take_images(store, "handwriting", SOURCE))
    print(f"bare GET + PUT   {bare:6.1f} s")
    print(f"ingest, first    {first:6.1f} s   {first / bare:.2f} times the bare loop; goal 60 s")
    print(f"ingest, again    {again:6.1f} s   {again / bare:.2f} times the bare loop; goal 5 s")


@contextmanager
def server(folder: Path) -> Iterator[StoreSettings]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*probe.getsockname())
    process = subprocess.Popen(
        [Path(sys.executable).parent / "rclone", "serve", "s3", "--addr", address, str(folder)],
        env={**os.environ, "RCLONE_AUTH_KEY": f'"{SECRET},{SECRET}"', "RCLONE_CONFIG": os.devnull},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield StoreSettings(endpoint=f"http://{address}", access_key=SECRET, secret_key=SecretStr(SECRET))
    finally:
        process.terminate()
        process.wait(10)


def png(seed: int) -> bytes:
    levels = np.random.default_rng(seed).integers(0, GREY_LEVELS, (HEIGHT_PX, WIDTH_PX), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(levels * (256 // GREY_LEVELS)).save(target, "PNG")
    return target.getvalue()


def copy_bare(settings: StoreSettings, keys: list[str]) -> None:
    """Read every object and write it back under its digest: the least that any ingest must do."""
    client = boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=SECRET,
        aws_secret_access_key=SECRET,
        config=Config(s3={"addressing_style": "path"}, max_pool_connections=2 * THREADS),
    )

    def copy(key: str) -> None:
        data = client.get_object(Bucket=settings.bucket, Key=key)["Body"].read()
        client.put_object(Bucket=settings.bucket, Key=f"bare/{sha256(data).hexdigest()}", Body=data)

    list(in_parallel(copy, keys, title="bare"))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
