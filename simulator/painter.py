"""A process that paints pictures: a line of JSON on stdin is an order, a line on stdout the answer to it.

It imports neither Django nor the server. Stdin is its life line, too: when the server goes, however violently, stdin
ends and so does the painter, in the middle of a picture if need be.
"""

import os
import queue
import signal
import sys
import threading
import traceback
from pathlib import Path

from .pictures import Picture
from .render import render


def main(pictures: Path, references: Path) -> None:
    os.nice(5)  # answering polls matters more
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the server tells us when to go
    orders: queue.Queue[Picture] = queue.Queue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()

    while True:
        picture = orders.get()
        try:
            render(picture, references, pictures)
            answer = "painted"
        except Exception:  # whatever it was, the server gets an answer and the next picture its chance
            traceback.print_exc()
            answer = "failed"
        print(answer, flush=True)


def _read_orders(orders: "queue.Queue[Picture]") -> None:
    for line in sys.stdin:
        orders.put(Picture.from_line(line))
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
