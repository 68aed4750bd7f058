"""The balancer before replicas, on real sockets."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from sevdrill.stacks.embedded import balancer

HOST = "127.0.0.1"
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))  # type: ignore[arg-type]


@asynccontextmanager
async def replica(handler: Handler) -> AsyncIterator[int]:
    server = await asyncio.start_server(handler, HOST, 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


@asynccontextmanager
async def balanced(*behind: int) -> AsyncIterator[int]:
    turn = itertools.count()
    server = await asyncio.get_running_loop().create_server(lambda: balancer._Client(list(behind), turn), HOST, 0)
    async with server:
        yield int(server.sockets[0].getsockname()[1])


def says(word: bytes) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(word)
        writer.close()

    return handler


async def asked(port: int) -> bytes:
    reader, writer = await asyncio.open_connection(HOST, port)
    try:
        return await reader.read()
    finally:
        writer.close()


def refused() -> int:
    with socket.socket() as free:
        free.bind((HOST, 0))
        return int(free.getsockname()[1])


def test_connections_take_turns() -> None:
    async def test() -> None:
        async with replica(says(b"a")) as a, replica(says(b"b")) as b, balanced(a, b) as port:
            assert [await asked(port) for _ in range(4)] == [b"a", b"b", b"a", b"b"]

    run(test)


def test_a_replica_that_refuses_is_passed_over() -> None:
    async def test() -> None:
        async with replica(says(b"b")) as b, balanced(refused(), b) as port:
            assert [await asked(port) for _ in range(3)] == [b"b"] * 3

    run(test)


def test_with_no_replica_the_client_is_told_at_once() -> None:
    async def test() -> None:
        async with balanced(refused(), refused()) as port:
            assert await asked(port) == b""

    run(test)


def test_an_answer_still_comes_when_the_question_has_ended() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()  # to its end
        writer.write(question[::-1])
        writer.close()

    async def test() -> None:
        async with replica(handler) as a, balanced(a) as port:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"abc")
            writer.write_eof()
            assert await reader.read() == b"cba"
            writer.close()

    run(test)


@pytest.mark.parametrize("slow", ["client", "server"])
def test_much_comes_through_whole_whoever_is_slow(slow: str) -> None:
    much = bytes(range(256)) * 20_000

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken = b""
        while part := await reader.read(65536):
            taken += part
            if slow == "server" and len(taken) < 500_000:
                await asyncio.sleep(0)
        writer.write(taken)
        await writer.drain()
        writer.close()

    async def test() -> None:
        async with replica(handler) as a, balanced(a) as port:
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(much)
            writer.write_eof()
            back = b""
            while part := await reader.read(4096 if slow == "client" else 1 << 20):
                back += part
            assert back == much
            writer.close()

    run(test)
