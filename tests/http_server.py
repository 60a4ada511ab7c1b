"""A real server on the loopback that gives a module to the world, and misbehaves as it is told; it counts what it got."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch
from torch import Tensor

Model = Callable[[Tensor], Tensor]


@dataclass(eq=False)
class Served:
    """`with Served(model) as server:`; `server.url`. `mischief(number of the request) -> what goes wrong`, see `_answer`."""

    model: Model
    labels: bool = False
    v2: bool = False
    card: dict[str, Any] | None = None
    mischief: Callable[[int], str] = lambda number: ""
    port: int = 0
    token: str | None = None
    requests: int = 0
    rows: list[bytes] = field(default_factory=list)  # of every row that arrived, in order
    batches: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)  # of the last request

    def __enter__(self) -> Served:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        served, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # head and body in one packet: two would wait for each other
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                if served.card is None:
                    self.send(404, b"")
                else:
                    self.send(200, json.dumps(served.card).encode())

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with lock:
                    x = served.received(asked)
                    served.requests += 1
                    served.headers = dict(self.headers)
                    wrong = served.mischief(served.requests)
                served.answer(self, x, wrong)

            def send(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(body)),
                    **headers,
                }.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, *_: object) -> None:
                pass  # the other side has gone

        self._server = Quiet(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/" + ("v2/models/net" if self.v2 else "predict")

    def received(self, asked: dict[str, Any]) -> Tensor:
        if self.v2:
            (tensor,) = asked["inputs"]
            x = torch.tensor(tensor["data"], dtype=torch.float32).reshape(tensor["shape"])
        else:
            x = torch.tensor(asked["instances"], dtype=torch.float32)
        self.rows += [row.numpy().tobytes() for row in x]
        self.batches.append(len(x))
        return x

    def answer(self, handler: Any, x: Tensor, wrong: str) -> None:
        if wrong == "drop":
            handler.close_connection = True  # and nothing said
        elif wrong == "late":
            time.sleep(1.0)
            handler.close_connection = True
        elif wrong == "429":
            handler.send(429, b"slow down", Retry_After="0")
        elif wrong.isdecimal():
            handler.send(int(wrong), b"{}", Location="http://127.0.0.2/elsewhere")
        elif wrong == "words":
            handler.send(200, b"<html>")
        else:
            with torch.no_grad():
                said = self.said(self.model(x))
            if wrong == "nan":
                said = {"scores": [[float("nan")] * 10] * len(x)}
            elif wrong == "short":
                said = {"scores": [[1.0, 2.0]] * (len(x) - 1)}
            handler.send(200, json.dumps(said).encode())

    def said(self, outputs: Tensor) -> dict[str, Any]:
        found = outputs.argmax(1) if self.labels else outputs
        if self.v2:
            kind = "INT64" if self.labels else "FP32"
            return {
                "model_name": "net",
                "outputs": [
                    {"name": "out", "shape": list(found.shape), "datatype": kind, "data": found.flatten().tolist()}
                ],
            }
        return {"labels" if self.labels else "scores": found.tolist()}
