"""HTTP requests over kept connections, from one process: as many clients as wanted, or arrivals at a rate."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

BOUNDARY = "a-boundary-that-no-picture-holds"
MOST_CONNECTIONS = 400  # of an open loop: more would measure this process, which shares the cores
GIVEN_UP = 0  # a status: no answer came, or the connection ended


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Answered(NamedTuple):
    """One answer: its HTTP status, when it was asked for, how long it took, in seconds, and its body."""

    status: int
    at: float
    seconds: float
    body: bytes


@dataclass(frozen=True)
class Target:
    """Where requests go, and what they hold; a request's turn chooses its content."""

    url: str
    path: str
    requests: tuple[bytes, ...]

    async def connect(self) -> Connection:
        where = urlsplit(self.url)
        return await asyncio.open_connection(where.hostname, where.port)


def form_request(path: str, picture: bytes) -> bytes:
    """Return a request that uploads a picture as the file `image`."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="line.png"\r\n'
    body = f"{head}Content-Type: image/png\r\n\r\n".encode() + picture + f"\r\n--{BOUNDARY}--\r\n".encode()
    return _request(path, body, kind=f"multipart/form-data; boundary={BOUNDARY}")


def json_request(path: str, document: bytes) -> bytes:
    """Return a request that posts JSON."""
    return _request(path, document, kind="application/json")


def closed_loop(target: Target, *, clients: int, seconds: float = 1e9, most: int = 10**9) -> list[Answered]:
    """Let so many clients ask, each again once it has its answer, for some time or some number of requests."""

    async def run() -> list[Answered]:
        found: list[Answered] = []
        end, turns = time.perf_counter() + seconds, iter(range(most))
        await asyncio.gather(*(_client(target, found, end=end, turns=turns) for _ in range(clients)))
        return found

    return asyncio.run(run())


def open_loop(target: Target, *, rate: float, seconds: float) -> tuple[list[Answered], int]:
    """Ask at a rate, whether answers come or not; return them, and how many found none of MOST_CONNECTIONS free."""

    async def run() -> tuple[list[Answered], int]:
        found, unsent = list[Answered](), 0
        free = [await target.connect() for _ in range(MOST_CONNECTIONS)]
        start, asked = time.perf_counter(), list[asyncio.Task[None]]()
        for number in range(int(rate * seconds)):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            if time.perf_counter() > start + seconds:
                break
            if free:
                request = target.requests[number % len(target.requests)]
                asked.append(asyncio.create_task(_arrival(target, found, free, request)))
            else:
                unsent += 1
        await asyncio.gather(*asked)
        for _, writer in free:
            writer.close()
        return found, unsent

    return asyncio.run(run())


def percentile_ms(answers: Sequence[Answered], share: float) -> float:
    """Return within how many milliseconds a share of the answers came."""
    return float(np.quantile([one.seconds for one in answers], share) * 1000)


def _request(path: str, body: bytes, *, kind: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def _client(target: Target, found: list[Answered], *, end: float, turns: Iterator[int]) -> None:
    reader, writer = await target.connect()
    for turn in turns:
        if time.perf_counter() > end:
            break
        found.append(await _ask(reader, writer, target.requests[turn % len(target.requests)]))
        if writer.is_closing() or found[-1].status == GIVEN_UP:
            reader, writer = await target.connect()
    writer.close()


async def _arrival(target: Target, found: list[Answered], free: list[Connection], request: bytes) -> None:
    reader, writer = free.pop()
    found.append(await _ask(reader, writer, request))
    if writer.is_closing() or found[-1].status == GIVEN_UP:
        writer.close()
        reader, writer = await target.connect()
    free.append((reader, writer))


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Answered:
    start = time.perf_counter()
    try:
        writer.write(request)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        size = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(size)
        status = int(head.split(b" ", 2)[1])
        if b"\r\nconnection: close" in head:
            writer.close()
    except (OSError, EOFError, ValueError):
        status, body = GIVEN_UP, b""
    return Answered(status, start, time.perf_counter() - start, body)
