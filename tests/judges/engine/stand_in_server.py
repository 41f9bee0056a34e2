"""A stand-in for vLLM's server: `stand_in_server.py PORT MARK MODE [FILE]`, a real process."""

import json
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAR_FROM_THE_END = ["ValueError: the cause", *[f"frame {number}" for number in range(30)]]


class Answers(BaseHTTPRequestHandler):
    mark = ""

    def do_GET(self) -> None:
        body = json.dumps({"data": [{"id": "model"}, {"id": self.mark}]}).encode()
        self.send_response(200 if self.path in ("/health", "/v1/models") else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def take_once(port: int, marker: Path) -> None:
    """Take the port from ourselves the first time, as another program might."""
    if not marker.exists():
        marker.touch()
        thief = socket.create_server(("127.0.0.1", port))
        sys.stderr.write(f"{thief} was faster\n")
        ThreadingHTTPServer(("127.0.0.1", port), Answers)


def main(port: str, mark: str, mode: str, file: str = "") -> None:
    sys.stderr.write(f"stand-in starts: {mode}\n")
    if mode == "dies":
        sys.stderr.write("\n".join([*FAR_FROM_THE_END, "last words\n"]))
        sys.exit(3)
    if mode == "slow":
        time.sleep(1.0)
    if mode == "silent":
        time.sleep(60)
    if mode == "children":
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        Path(file).write_text(str(child.pid))
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if mode == "port taken once":
        take_once(int(port), Path(file))
    Answers.mark = "somebody else" if mode == "stranger" else mark
    ThreadingHTTPServer(("127.0.0.1", int(port)), Answers).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
