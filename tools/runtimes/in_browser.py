"""Headless Chromium: `python -m tools.runtimes.in_browser PACKAGES wasm|webgpu FOLDER FIRST COUNT` answers jobs.

A server on this machine gives the page, onnxruntime-web and the jobs, and takes the answers; it ends with the browser.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tools.runtimes.jobs import answer_file

JAVASCRIPT = Path(__file__).parent / "javascript"
NAMES = ("chromium", "chromium-browser", "google-chrome")
WEBGPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""Switches that give WebGPU an adapter in software."""
_TYPES = {".mjs": "text/javascript", ".html": "text/html", ".wasm": "application/wasm"}


def browser() -> str | None:
    """Find Chromium's program; None if there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class _Handler(BaseHTTPRequestHandler):
    """Serve one list of jobs; a page asks for the next one that has no answer."""

    def __init__(self, packages: Path, folder: Path, jobs: range, *arguments: object) -> None:
        self.packages, self.folder, self.jobs = packages, folder, jobs
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Give the next job, a model, or a file of the page."""
        name = self.path.partition("?")[0].lstrip("/")
        if name == "next":
            return self._next()
        if name.startswith("model-"):
            return self._send(Path(self._job(int(name[6:-5]))["model"]).read_bytes())
        root = self.packages / "node_modules/onnxruntime-web/dist" if name.startswith("ort/") else JAVASCRIPT
        file = root / Path(name).name
        return self._send(file.read_bytes(), _TYPES[file.suffix]) if file.is_file() else self.send_error(404)

    def do_POST(self) -> None:
        """Take an answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        index = int(self.path.partition("answer-")[2])
        partial = self.folder / f"partial-{index}.json"
        partial.write_bytes(body)
        partial.rename(answer_file(self.folder, index))
        self._send(b"")

    def log_message(self, *_: object) -> None:
        """Write no log."""

    def _next(self) -> None:
        index = next((index for index in self.jobs if not answer_file(self.folder, index).exists()), None)
        if index is None:
            return self._send(b"", status=204)
        return self._send(json.dumps({"index": index, "job": self._job(index)}).encode())

    def _job(self, index: int) -> dict:
        return dict(json.loads((self.folder / f"job-{index}.json").read_text(encoding="utf-8")))

    def _send(self, body: bytes, kind: str = "application/octet-stream", status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main(packages: Path, provider: str, folder: Path, first: int, count: int) -> int:
    """Serve the jobs from `first` on until Chromium ends, which the caller sees to."""
    program = browser()
    if program is None:
        raise SystemExit("there is no Chromium")
    handler = functools.partial(_Handler, packages, folder, range(first, count))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/page.html?provider={provider}"
    switches = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", f"--user-data-dir={folder / 'profile'}"]
    switches += WEBGPU if provider == "webgpu" else []
    return subprocess.call([program, *switches, address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])))
