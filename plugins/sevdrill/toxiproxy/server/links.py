"""Links: a connection's two directions, from the socket that is read to the one that is written.

Where no toxic acts, a socket's data goes straight into the other one. A full write buffer, or a stage that holds too
much, stops the reading, so what a connection holds is bounded. A half-closed connection stays half-closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any

from sevdrill.toxiproxy.server.stage import Receiver, Stage
from sevdrill.toxiproxy.server.stages import STAGES
from sevdrill.toxiproxy.server.toxics import Toxic

__all__ = ["Connection", "End", "Link"]

WRITE_BUFFER = 256 * 1024
"""Bytes that may wait for a socket before the other one is read no more."""
NO_LINGER = struct.pack("ii", 1, 0)


class End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self.out: Link
        """What this socket's data goes into."""
        self.into: Link
        """What is written to this socket."""
        self.connection: Connection | None = None
        self.lost = False
        self.ended = False
        self.data_received: Callable[[bytes], None] = self._early  # type: ignore[assignment]  # set anew as toxics come and go
        self._arrived: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there, maybe before the other one."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        keep_alive(transport.get_extra_info("socket"))

    def _early(self, data: bytes) -> None:
        # To pause reading has no effect before the first data on some versions of asyncio.
        self._arrived.append(data)
        self.transport.pause_reading()

    def join(self, connection: Connection, out: Link, into: Link) -> None:
        """Both sockets are there, the links begin."""
        self.connection, self.out, self.into = connection, out, into

    def begin(self) -> None:
        """Let the data flow, that which came early first."""
        if self._arrived:
            self.flow(wanted=True)
        for data in self._arrived:
            self.data_received(data)
        self._arrived.clear()
        if self.lost:
            self.connection_lost(None)
        elif self.ended:
            self.out.feed_end()
        else:
            self.out.press()

    def eof_received(self) -> bool:
        """The peer shut down its writing; it may still read."""
        self.ended = True
        if self.connection is not None:
            self.out.feed_end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed, by whichever side."""
        self.lost = True
        if self.connection is not None:
            self.into.drop()
            self.out.source_lost()
            self.connection.check()

    def pause_writing(self) -> None:
        """The peer does not read as fast as it is written to."""
        if self.connection is not None:
            self.into.blocked = True
            self.into.press()

    def resume_writing(self) -> None:
        """The peer has read."""
        if self.connection is not None:
            self.into.blocked = False
            self.into.press()

    @property
    def read(self) -> bool:
        """Whether the loop reads from this socket."""
        return not self.ended and self.transport.is_reading()

    def flow(self, *, wanted: bool) -> None:
        """Read from this socket, or stop it."""
        if wanted and not self.ended:
            self.transport.resume_reading()
        elif not wanted:
            self.transport.pause_reading()


class Link:
    """One direction of a connection."""

    def __init__(self, connection: Connection, source: End, sink: End, toxics: Sequence[Toxic]) -> None:
        self.loop = connection.loop
        self._connection, self._source, self._sink = connection, source, sink
        self.blocked = False
        """The sink's write buffer is full."""
        self._full = False
        self._done = False
        """Nothing goes through any more."""
        self._head: Receiver = self
        self._stages = [STAGES[toxic.kind](self, toxic) for toxic in toxics]

    # As a receiver: the sink.

    def feed(self, data: bytes) -> None:
        """Write to the sink, unless it failed a moment ago."""
        if not self._done and not self._sink.transport.is_closing():
            self._sink.transport.write(data)

    def end(self) -> None:
        """The source's end has come through: shut down writing, or close where the source is gone altogether."""
        if self._done:
            return
        self._stop()
        if self._source.lost or self._sink.out.done:
            self._sink.transport.close()
            if not self._source.lost:
                self._source.transport.close()
        else:
            # The peer may be gone already, which its own end will tell.
            with contextlib.suppress(OSError):
                self._sink.transport.write_eof()

    # As a chain.

    def cut(self) -> None:
        """End the connection with a FIN to both; what was let through before is still delivered."""
        if not self._done:
            self._stop()
            self._sink.transport.close()

    def reset(self) -> None:
        """End the connection with a RST to both."""
        self._connection.kill(reset=True)

    def press(self) -> None:
        """Stop reading while the sink or a stage is full."""
        if self._done or self._source.lost:
            return
        least = 0.5 if self._full else 1.0
        full = self.blocked or any(stage.held >= stage.limit * least for stage in self._stages)
        if full != self._full:
            self._full = full
            self._source.flow(wanted=not full)

    # As its connection knows it.

    @property
    def done(self) -> bool:
        """Whether nothing goes through any more."""
        return self._done

    def wire(self) -> None:
        """Chain the stages that act; without any, data goes straight from socket to socket."""
        if self._done:
            return
        acting: list[Stage] = [stage for stage in self._stages if stage.active]
        followers: list[Receiver] = [*acting[1:], self]
        for stage, follower in zip(acting, followers, strict=False):
            stage.next = follower
        self._head = acting[0] if acting else self
        straight: Any = self._head.feed if acting else self._sink.transport.write
        self._source.data_received = straight

    def start(self) -> None:
        """The connection is there."""
        self.wire()
        for stage in self._stages:
            if stage.active and not self._done:
                stage.start()

    def feed_end(self) -> None:
        """The source has ended."""
        if not self._done:
            self._head.end()

    def source_lost(self) -> None:
        """The source is gone: its end, and then nobody is left for whom the sink could be kept."""
        if self._done:
            self._sink.transport.close()
        else:
            self._head.end()

    def drop(self) -> None:
        """The sink is gone: forget what was meant for it, and read the source only to see its end."""
        if not self._done:
            self._stop()

    def add(self, toxic: Toxic) -> None:
        """A toxic was added, the last of the chain."""
        if self._done:
            return
        stage = STAGES[toxic.kind](self, toxic)
        self._stages.append(stage)
        self.wire()
        if stage.active:
            stage.start()

    def change(self, toxic: Toxic) -> None:
        """A toxic has other settings."""
        for stage in self._stages:
            if stage.toxic is toxic and not self._done:
                before, stage.active = stage.active, stage.roll()
                if before and not stage.active:
                    stage.release()
                self.wire()
                if stage.active:
                    stage.changed() if before else stage.start()
        self.press()

    def remove(self, toxic: Toxic) -> None:
        """A toxic was taken away; what it held goes on. A timeout has lost data, so its connections end."""
        for stage in list(self._stages):
            if stage.toxic is toxic and not self._done:
                if toxic.kind == "timeout":
                    self._connection.end()
                    return
                if stage.active:
                    stage.release()
                if stage in self._stages:
                    self._stages.remove(stage)
                self.wire()
        self.press()

    def _stop(self) -> None:
        self._done = True
        self._source.data_received = _ignore
        for stage in self._stages:
            stage.drop()
        self._stages.clear()
        if self._full and not self._source.lost:
            self._full = False
            self._source.flow(wanted=True)


class Connection:
    """A client's connection through a proxy to its upstream."""

    def __init__(
        self,
        client: End,
        server: End,
        toxics: Sequence[Toxic],
        gone: Callable[[Connection], None],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._client, self._server, self._gone = client, server, gone
        self.up = Link(self, client, server, [toxic for toxic in toxics if toxic.upstream])
        self.down = Link(self, server, client, [toxic for toxic in toxics if not toxic.upstream])
        client.join(self, self.up, self.down)
        server.join(self, self.down, self.up)

    def begin(self) -> None:
        """Let the data flow, once every toxic is at work."""
        for link in (self.up, self.down):
            link.start()
        for end in (self._server, self._client):
            end.begin()

    def link(self, toxic: Toxic) -> Link:
        """The direction that a toxic acts on."""
        return self.up if toxic.upstream else self.down

    def end(self) -> None:
        """Close both sockets once they have taken what was let through."""
        for link, end in ((self.up, self._server), (self.down, self._client)):
            link.drop()
            end.transport.close()

    def kill(self, *, reset: bool = False) -> None:
        """Close both sockets now, with a FIN or a RST; what they have not taken is lost."""
        for link, end in ((self.up, self._client), (self.down, self._server)):
            link.drop()
            if end.lost:
                continue
            sock = end.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                if reset:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
                else:
                    # Closing comes a moment later; what the peer is to see, it is to see now.
                    sock.shutdown(socket.SHUT_RDWR)
            end.transport.abort()

    def unread(self) -> list[End]:
        """The sockets that are not read from, where the loop would not see that the peer has gone."""
        return [end for end in (self._client, self._server) if not end.lost and not end.read]

    def check(self) -> None:
        """Tell whose it is when both sockets are closed."""
        if self._client.lost and self._server.lost:
            self._gone(self)


def keep_alive(sock: socket.socket) -> None:
    """Notice peers that vanished without a word, as the real server does."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def _ignore(data: bytes) -> None:
    """Data that goes nowhere."""
