# SPDX-License-Identifier: Apache-2.0
"""An alignment server on localhost: ColabFold's protocol, both layouts, and every way to fail."""

import io
import json
import tarfile
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

Fault = Callable[[BaseHTTPRequestHandler], None]


def send(handler, body: bytes, status: int = 200, kind: str = "application/json", **headers):
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(body)))
    for key, value in headers.items():
        handler.send_header(key.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def html(handler):
    send(handler, b"<html><title>Sign in</title></html>", kind="text/html")


def http(status: int, **headers) -> Fault:
    return lambda handler: send(handler, b"no", status, **headers)


def drop(handler):
    handler.connection.close()


def hang(handler):
    time.sleep(1.0)


def slow(handler):
    """Announce 100 bytes and send one every 50 ms."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def archive(files: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            data = text.encode() if isinstance(text, str) else text
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def sections(parts: list[str]) -> str:
    """Join sections as MMseqs2 does: a zero byte ends each."""
    return "".join(part + "\0" for part in parts)


def relatives(sequence: str, count: int) -> list[str]:
    """Make rows that differ from a sequence in one or two columns each."""
    return [sequence[:i] + "G" + sequence[i + 1:-1] + "-" for i in range(count)]


def colabfold_msa(queries: list[tuple[str, str]]) -> dict[str, str]:
    def section(name, sequence, prefix, count):
        rows = [f">{prefix}{i}\t120\t0.9\t1e-9\t0\t9\t10\t0\t9\t10\n{row}"
                for i, row in enumerate(relatives(sequence, count))]
        return "\n".join([f">{name}\n{sequence}", *rows]) + "\n"

    return {"uniref.a3m": sections([section(n, s, "UniRef100_U", 3) for n, s in queries]),
            "bfd.mgnify30.metaeuk30.smag30.a3m": sections(
                [section(n, s, "MGYP", 5) for n, s in queries]),
            "pdb70.m8": ""}


def colabfold_pair(queries: list[tuple[str, str]]) -> dict[str, str]:
    """Four pairs; the first hit's header repeats in every row, and a row of gaps stands in."""
    def section(number, name, sequence):
        rows = relatives(sequence, 4)
        if number == 0:
            rows[1] = "-" * len(sequence)
        return "".join([f">{name}\n{sequence}\n", *(f">UniRef100_SAME\n{row}\n" for row in rows)])

    return {"pair.a3m": sections([section(i, n, s) for i, (n, s) in enumerate(queries)])}


def protenix_msa(queries: list[tuple[str, str]], environmental: bool = True) -> dict[str, str]:
    files = {"uniref_tax.m8": "", "pdb70_220313_db.m8": ""}
    for i, (name, sequence) in enumerate(queries):
        rows = relatives(sequence, 4)
        text = f">{name}\n{sequence}\n" + "".join(
            f">UniRef100_H{k}\t99\n{row}\n" for k, row in enumerate(rows[:3]))
        if environmental:
            text += f">{name}\n{sequence}\n>MGYP1\n{rows[3]}\n"
        files[f"{i}.a3m"] = text
        files["uniref_tax.m8"] += "".join(f"{name}\tUniRef100_H{k}\t{9606 + k}\n" for k in (0, 2))
    return files


class FakeServer:
    """Answers tickets as scripted.

    Attributes:
        submits, polls: statuses in order, the last one for ever.
        faults: by kind of request ("msa", "pair", "poll", "download"), functions that answer the
            next requests instead.
        answers: endpoint -> function from the queries to the files of the archive, or to its bytes.
        requests: kind, fields, headers of everything that came.
    """

    def __init__(self) -> None:
        self.submits, self.polls = ["PENDING"], ["COMPLETE"]
        self.faults: dict[str, list[Fault]] = {}
        self.answers = {"msa": colabfold_msa, "pair": colabfold_pair}
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.tickets: dict[str, tuple[str, list[tuple[str, str]]]] = {}
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                fields = {k: v[0] for k, v in parse_qs(self.rfile.read(length).decode()).items()}
                server.answer(self, self.path.rpartition("/")[2], fields)

            def do_GET(self):
                server.answer(self, "download" if "/result/" in self.path else "poll", {})

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda request, address: None  # clients that left
        self.url = f"http://127.0.0.1:{self.http.server_port}/api"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def count(self, kind: str) -> int:
        return sum(request[0] == kind for request in self.requests)

    def answer(self, handler, kind: str, fields: dict[str, str]) -> None:
        self.requests.append((kind, fields, dict(handler.headers)))
        if self.faults.get(kind):
            self.faults[kind].pop(0)(handler)
        elif kind in ("msa", "pair"):
            status = self.submits.pop(0) if len(self.submits) > 1 else self.submits[0]
            ticket = f"t{len(self.tickets)}"
            if status in ("PENDING", "RUNNING", "COMPLETE"):
                lines = fields["q"].split("\n")
                self.tickets[ticket] = kind, [(n[1:], s) for n, s in zip(lines[::2], lines[1::2])]
            send(handler, json.dumps({"id": ticket, "status": status}).encode())
        elif kind == "poll":
            status = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
            send(handler, json.dumps({"id": "x", "status": status}).encode())
        else:
            endpoint, queries = self.tickets[handler.path.rpartition("/")[2]]
            content = self.answers[endpoint](queries)
            send(handler, content if isinstance(content, bytes) else archive(content),
                 kind="application/gzip")
