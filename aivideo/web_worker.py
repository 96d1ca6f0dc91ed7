"""gunicorn's threaded worker, with threads only for visitors who do not keep them waiting.

Nginx reads a request before it passes it on, and takes an answer at once. Without it a few visitors who send or read slowly,
or nothing at all, would hold all threads. So a thread gets a connection when a request is there: its head, and its body unless
that is large. A thread that then has to wait for a visitor who does not keep up takes one of the places of slow calls (see
videos/thread_budget.py) until the answer begins, or until its end. The connection is closed if no place is free, if nothing
moves for STALL seconds, or if too little moves. Whoever asked for a file can ask for its rest.
"""

import errno
import logging
import os
import re
import select
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from gunicorn.workers.gthread import TConn, ThreadWorker

from videos.thread_budget import Busy, SlowCalls

log = logging.getLogger(__name__)

REQUEST_SECONDS = 10  # until a request is there
REQUEST_BYTES = 16 * 1024  # what is there of a longer one is read by a thread
# Seconds that a thread waits for a visitor without a place for slow calls; less where others wait for a thread. Whoever moves
# FAST bytes a second keeps up, and needs none.
GRACE, BRIEF = 0.5, 0.1
FAST = 512 * 1024
STALL = 20.0  # seconds without a byte
RATE = 4096  # bytes a second, on average, of a visitor who has a place for slow calls
LINGER = 2.0  # seconds in which a visitor may take the rest of an answer before the connection is closed

HEAD_END = re.compile(rb"\n\r?\n")
LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,9})[ \t]*\r\n", re.IGNORECASE)
EXPECTS = re.compile(rb"\r\nexpect:", re.IGNORECASE)

slow_visitors = SlowCalls(at_once=3)


class VisitorSocket(socket.socket):
    """A connection of a visitor. It never blocks by itself: what waits, waits in `_wait`.

    To be too slow is to gunicorn and Django as if the visitor had hung up: ConnectionResetError.
    """

    def __init__(self, accepted: socket.socket, others_wait: Callable[[], bool]) -> None:
        super().__init__(fileno=accepted.detach())
        super().setblocking(False)
        self.others_wait = others_wait
        self.patience: float | None = None  # seconds of each wait, as set by gunicorn
        self.peeked = 0  # bytes of the request that were there when we last looked
        self.begin()

    def begin(self) -> None:
        """Count what a new request waits and moves; then its answer."""
        self.waited, self.moved, self.answers = 0.0, 0, False
        self.place: ExitStack | None = None

    def end(self) -> None:
        """Give back the place for slow calls."""
        if self.place:
            self.place.close()
            self.place = None

    def has_request(self) -> bool:
        """Whether a thread has something to do: there is a request, or the end of the connection."""
        try:
            seen = super().recv(REQUEST_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        is_there = len(seen) == self.peeked or _is_whole(seen)
        self.peeked = 0 if is_there else len(seen)
        # The selector is not told again before there is more.
        self.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, self.peeked + 1)
        return is_there

    def recv(self, size: int, flags: int = 0) -> bytes:
        while True:
            try:
                data = super().recv(size, flags)
            except BlockingIOError:
                self._wait(select.POLLIN)
            else:
                self.moved += len(data)
                return data

    def send(self, data: Any, flags: int = 0) -> int:
        self._begin_answer()
        while True:
            try:
                sent = super().send(data, flags)
            except BlockingIOError:
                self._wait(select.POLLOUT)
            else:
                self.moved += sent
                return sent

    def sendall(self, data: Any, flags: int = 0) -> None:
        left = memoryview(data)
        while left:
            left = left[self.send(left, flags) :]

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        self._begin_answer()
        left = os.fstat(file.fileno()).st_size - offset if count is None else count
        total = 0
        while total < left:
            try:
                sent = os.sendfile(self.fileno(), file.fileno(), offset + total, left - total)
            except BlockingIOError:
                self._wait(select.POLLOUT)
                continue
            except OSError as error:
                if total or error.errno not in (errno.EINVAL, errno.ENOSYS):
                    raise
                return self._send_copied(file, offset, left)
            if not sent:
                break
            total += sent
            self.moved += sent
        return total

    def _send_copied(self, file: Any, offset: int, left: int) -> int:
        """For file systems that the kernel does not send from."""
        file.seek(offset)
        total = 0
        while total < left and (piece := file.read(min(left - total, 64 * 1024))):
            self.sendall(piece)
            total += len(piece)
        return total

    def setblocking(self, flag: bool) -> None:
        self.patience = None

    def settimeout(self, value: float | None) -> None:
        self.patience = value

    def gettimeout(self) -> float | None:
        return self.patience

    def _wait(self, event: int) -> None:
        """Wait until the visitor sends something (POLLIN) or takes something (POLLOUT)."""
        if not self.place:
            grace = BRIEF if self.others_wait() else GRACE
            keeps_up = self._is_ready(event, grace)
            if keeps_up and (self.waited <= grace or self.moved >= FAST * self.waited):
                return
            self._take_place()
        if not self._is_ready(event, STALL):
            raise _hung_up("nothing moved for too long")
        if self.waited > STALL + self.moved / RATE:
            raise _hung_up("too little moved")

    def _begin_answer(self) -> None:
        if not self.answers:
            self.end()
            self.begin()
            self.answers = True

    def _is_ready(self, event: int, seconds: float) -> bool:
        began = time.monotonic()
        poll = select.poll()
        poll.register(self, event)
        is_ready = bool(poll.poll(1000 * min(seconds, STALL if self.patience is None else self.patience)))
        self.waited += time.monotonic() - began
        return is_ready

    def _take_place(self) -> None:
        with ExitStack() as place:
            try:
                place.enter_context(slow_visitors.turn())
            except Busy as error:
                raise _hung_up("there were too many slow visitors") from error
            self.place = place.pop_all()


def _is_whole(seen: bytes) -> bool:
    """Whether this is a request, as far as the thread would have to wait for it: a large body comes while it is read."""
    if len(seen) >= REQUEST_BYTES:
        return True
    end = HEAD_END.search(seen)
    if end is None:
        return False
    head = seen[: end.end()]
    length = LENGTH.search(head)
    size = len(head) + (int(length[1]) if length else 0)
    # Who expects to be told to go on sends no body before.
    return size > REQUEST_BYTES or len(seen) >= size or bool(EXPECTS.search(head))


def _hung_up(why: str) -> ConnectionResetError:
    log.info("Closed a visitor's connection: %s", why)
    return ConnectionResetError(errno.ECONNRESET, why)


class Connection(TConn):
    """Closes without keeping the worker's loop waiting."""

    linger: "Callable[[Connection], None]"

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self.linger(self)
        else:
            super().close()


class WebWorker(ThreadWorker):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queued = 0  # connections that wait for a thread
        self.lingering: deque[Connection] = deque()

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise RuntimeError("TLS is the business of a server in front of gunicorn: see deploy/nginx.conf.")

    def accept(self, listener: socket.socket) -> None:
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK):
                return
            raise
        self.nr_conns += 1
        visitor = VisitorSocket(accepted, lambda: self.queued > 0)
        conn = Connection(self.cfg, visitor, address, listener.getsockname())
        conn.linger = self._linger
        self._await_request(conn)
        if self.nr_conns >= self.worker_connections:
            self._drop_oldest()

    def on_client_socket_readable(self, conn: Connection, client: VisitorSocket) -> None:
        """The next request on a connection has begun."""
        if client.fileno() < 0:
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_request(conn)

    def on_pending_socket_readable(self, conn: Connection, client: VisitorSocket) -> None:
        # Events come in batches: an earlier one may have made room by closing this connection.
        if client.fileno() >= 0 and client.has_request():
            super().on_pending_socket_readable(conn, client)

    def enqueue_req(self, conn: Connection) -> None:
        self.queued += 1
        super().enqueue_req(conn)

    def handle(self, conn: Connection) -> Any:
        self.queued -= 1
        conn.sock.begin()
        try:
            return super().handle(conn)
        finally:
            conn.sock.end()

    def murder_pending(self) -> None:
        super().murder_pending()
        while self.lingering and self.lingering[0].timeout < time.monotonic():
            self._end(self.lingering[0])

    def _await_request(self, conn: Connection) -> None:
        conn.data_ready = True
        conn.timeout = time.monotonic() + REQUEST_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def _drop_oldest(self) -> None:
        """Make room for whoever comes next: who has had an answer, or has sent no request for the longest time, goes first."""
        if self.lingering:
            self._end(self.lingering[0])
        elif self.keepalived_conns:
            self.keepalived_conns[0].timeout = 0
            self.murder_keepalived()
        elif len(self.pending_conns) > 1:
            self.pending_conns[0].timeout = 0
            self.murder_pending()

    def _cap_keepalive(self, deadline: float) -> None:
        """When the worker stops, connections without a request do not keep it."""
        super()._cap_keepalive(deadline)
        for conn in self.pending_conns:
            conn.timeout = min(conn.timeout, deadline)

    def _linger(self, conn: Connection) -> None:
        """Close a connection when the visitor does, or soon: at once, the end of the answer might be lost (RFC 9112, 9.6)."""
        try:
            conn.sock.shutdown(socket.SHUT_WR)
            self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))
        except (OSError, ValueError, KeyError):
            conn.close()
            return
        conn.timeout = time.monotonic() + LINGER
        self.lingering.append(conn)
        self.nr_conns += 1  # gunicorn counts it as closed

    def _drain(self, conn: Connection, client: VisitorSocket) -> None:
        if client.fileno() < 0:
            return
        with suppress(OSError):
            if socket.socket.recv(client, 64 * 1024):
                return
        self._end(conn)

    def _end(self, conn: Connection) -> None:
        self.lingering.remove(conn)
        self.nr_conns -= 1
        with suppress(OSError, ValueError, KeyError):
            self.poller.unregister(conn.sock)
        conn.close()
