"""A worker that counts what it is told: ``python -m tests.api.metrics_worker FOLDER``.

It reads commands line by line and answers each with a line: ``requests N``, ``open N`` and ``close N``
(live streams), ``broken N``, ``render`` (whose answer is JSON), and ``flood`` until it is killed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from stellarstream_core.api.metrics import Metrics


def main(folder: str) -> None:
    metrics = Metrics.open(Path(folder))
    print("shared" if metrics.shared else "alone", flush=True)
    for line in sys.stdin:
        command, _, count = line.strip().partition(" ")
        answer = "done"
        if command == "requests":
            for _ in range(int(count)):
                metrics.request_started()
                metrics.request_ended("GET", "/api/v1/events", 200, 0.25)
            metrics.events_pushed(int(count))
        elif command == "open":
            for _ in range(int(count)):
                metrics.reader_opened()
        elif command == "close":
            for _ in range(int(count)):
                metrics.reader_closed()
        elif command == "broken":
            metrics.set_broken_plugins(int(count))
        elif command == "flood":
            print("flooding", flush=True)
            number = 0
            while True:  # new series at first: the files grow under whoever reads them
                number += 1
                metrics.request_ended("GET", f"/route/{number % 500}", 200, 0.1)
        elif command == "render":
            answer = json.dumps(metrics.render()[0].decode())
        elif command == "leave":
            metrics.close()
        print(answer, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
