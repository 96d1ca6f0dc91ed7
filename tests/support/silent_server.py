"""A server that takes every connection and never answers."""

import socket
import threading
from typing import Self


class SilentServer:
    """`taken` are the connections so far; after `hang_up` they are closed, as every later one is at once."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.taken: list[socket.socket] = []
        self.has_hung_up = False
        threading.Thread(target=self._take, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        self.hang_up()

    def _take(self) -> None:
        while True:
            try:
                connection = self.socket.accept()[0]
            except OSError:
                return
            self.taken.append(connection)
            if self.has_hung_up:
                connection.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}/picture.jpg"

    def hang_up(self) -> None:
        self.has_hung_up = True
        for connection in self.taken:
            connection.close()
