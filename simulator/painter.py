"""A process that paints pictures: it reads one request per line of JSON from stdin and answers with a line on stdout.

It imports neither Django nor the server. When the server ends, even if it is killed, stdin is closed and the painter
exits at once, even in the middle of a picture.
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
    os.nice(5)  # answering polls has priority
    # Ctrl-C reaches the whole process group; the server stops the painter itself.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests: queue.Queue[Picture] = queue.Queue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()

    while True:
        picture = requests.get()
        try:
            render(picture, references, pictures)
            answer = "painted"
        except Exception:  # whatever it was, answer the server and go on with the next picture
            traceback.print_exc()
            answer = "failed"
        print(answer, flush=True)


def _read_requests(requests: "queue.Queue[Picture]") -> None:
    for line in sys.stdin:
        requests.put(Picture.from_line(line))
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
