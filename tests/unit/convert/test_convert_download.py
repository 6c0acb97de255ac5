# SPDX-License-Identifier: Apache-2.0
"""Fetching from a server that drops, lies, refuses or answers with a page."""

import hashlib
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from ckpt_convert import download
from ckpt_convert.download import Download
from ckpt_convert.official import FILES, OfficialFile, address
from protenix_ms.config import VARIANTS
from protenix_ms.errors import CheckpointError, ResourceError

CONTENT = b"PK\x03\x04" + bytes(range(256)) * 4000
KNOWN = OfficialFile(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


class Handler(BaseHTTPRequestHandler):
    """Answers as `server.script` says: a list of functions, the last one for ever."""

    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        script = self.server.script
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def log_message(self, *arguments):
        pass


def answer(handler, content=CONTENT, status=200, cut=None, **headers):
    handler.send_response(status)
    headers = {"Content_Length": len(content), "ETag": '"1"', **headers}
    for name, value in headers.items():
        if value is not None:
            handler.send_header(name.replace("_", "-"), str(value))
    handler.end_headers()
    handler.wfile.write(content[:cut])
    handler.close_connection = True


def ranged(handler, cut=None):
    start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
    if start == 0:
        return answer(handler, cut=cut)
    stated = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return answer(handler, CONTENT[start:], 206, cut, Content_Range=stated)


def dropping(handler):
    ranged(handler, cut=300_000)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.script, running.ranges = [], []
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        running.url = f"http://127.0.0.1:{running.server_port}/protenix-v2.pt"
        yield running
        running.shutdown()


@pytest.fixture
def fetch(server, tmp_path):
    def run(*script, known=KNOWN, model="", begun=b""):
        server.script[:], target = script, tmp_path / "a.pt"
        if begun:
            target.with_name("a.pt.part").write_bytes(begun)
        Download(server.url, target, model, known, pause=0.0, attempts=3).run()
        assert target.read_bytes() == CONTENT
        assert not target.with_name("a.pt.part").exists()
        return server.ranges

    return run


def refused(fetch, tmp_path, *script, error=CheckpointError, **options):
    with pytest.raises(error) as caught:
        fetch(*script, **options)
    assert not (tmp_path / "a.pt").exists()
    return str(caught.value)


def test_plain_and_dropped_connections(fetch):
    ranges = fetch(dropping)
    assert len(ranges) == 4 and ranges[1:] == [f"bytes={n}00000-" for n in (3, 6, 9)]


def test_goes_on_from_an_earlier_part(fetch):
    assert fetch(ranged, begun=CONTENT[:1000]) == ["bytes=1000-"]


def test_part_that_is_complete_needs_no_request(fetch):
    assert fetch(ranged, begun=CONTENT) == []


def test_server_without_ranges_starts_again(fetch):
    assert fetch(answer, begun=CONTENT[:1000]) == ["bytes=1000-"]


def test_server_without_ranges_costs_nothing_that_is_there(fetch, tmp_path):
    text = refused(fetch, tmp_path, lambda h: answer(h, cut=300_000), error=ResourceError,
                   begun=CONTENT[:600_000])
    assert "600000 bytes are there" in text
    assert (tmp_path / "a.pt.part").read_bytes() == CONTENT[:600_000]
    assert fetch(answer)[-1] == "bytes=600000-"


def test_another_file_from_a_server_without_ranges_replaces_the_part(fetch):
    fetch(answer, begun=CONTENT[:500] + b"x" * 500)


def test_unknown_size_and_no_length(fetch):
    fetch(lambda h: answer(h, Content_Length=None), known=None)
    fetch(dropping, known=None)


def test_busy_server_is_tried_again(fetch):
    fetch(lambda h: answer(h, b"busy", 503), lambda h: answer(h, b"", 416), ranged)


def test_part_of_another_file_is_found_by_its_sum(fetch, tmp_path):
    wrong = b"PK\x03\x04" + b"x" * 996
    text = refused(fetch, tmp_path, ranged, begun=wrong)
    assert "sha256" in text and not list(tmp_path.iterdir())
    fetch(ranged)


def test_fetched_file_is_not_fetched_again(fetch):
    assert fetch(ranged) == [None] and fetch(ranged) == [None]  # the second run asks nothing


def test_longer_part_is_discarded(fetch):
    assert fetch(ranged, begun=CONTENT + b"x") == [None]


def test_connection_that_never_delivers(fetch, tmp_path):
    text = refused(fetch, tmp_path, lambda h: ranged(h, cut=0), error=ResourceError)
    assert "keeps failing" in text and "goes on from there" in text


def trickle(handler):
    """Send the file one byte at a time."""
    start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
    stated = {"Content_Range": f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"} if start else {}
    answer(handler, CONTENT[start:], 206 if start else 200, cut=0, **stated)
    try:
        for i in range(start, len(CONTENT)):
            handler.wfile.write(CONTENT[i:i + 1])
            time.sleep(0.02)
    except OSError:  # the client has gone
        return


@pytest.mark.parametrize("limits, says", [
    ({"deadline": 0.4}, "not complete after 0.00667 minutes"),
    ({"window": 0.2}, r"keeps failing \(\d+ bytes a second\)"),
])
def test_a_slow_server_ends_and_every_byte_is_kept(server, fetch, tmp_path, limits, says):
    server.script[:] = [trickle]
    began = time.monotonic()
    with pytest.raises(ResourceError, match=f"{says}.*goes on from there"):
        Download(server.url, tmp_path / "a.pt", "", KNOWN, pause=0.0, attempts=2, **limits).run()
    assert time.monotonic() - began < 5
    part = (tmp_path / "a.pt.part").read_bytes()
    assert 2 < len(part) < 1000 and CONTENT.startswith(part)
    assert fetch(ranged)[-1] == f"bytes={len(part)}-"


def test_a_page_byte_by_byte_is_refused(fetch, tmp_path):
    def page(handler):
        answer(handler, CONTENT, cut=0)
        for byte in b"PK<html>":
            handler.wfile.write(bytes([byte]))
            time.sleep(0.02)

    assert "starts with" in refused(fetch, tmp_path, page)
    assert not list(tmp_path.iterdir())


def test_an_announcement_byte_by_byte_ends(tmp_path, monkeypatch):
    class Dripping(socketserver.BaseRequestHandler):
        def handle(self):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nX: ")
            try:
                for _ in range(200):
                    self.request.sendall(b"a")
                    time.sleep(0.05)
            except OSError:
                return

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "SILENCE", 0.3)
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        began = time.monotonic()
        with pytest.raises(ResourceError, match="keeps failing"):
            Download(f"http://127.0.0.1:{running.server_address[1]}/x.pt", tmp_path / "a.pt",
                     pause=0.0, attempts=2).run()
        assert time.monotonic() - began < 5
        running.shutdown()


def test_nobody_listens(tmp_path):
    with pytest.raises(ResourceError, match="keeps failing"):
        Download("http://127.0.0.1:1/x.pt", tmp_path / "a.pt", pause=0.0, attempts=2).run()
    assert not list(tmp_path.iterdir())


LIES = {
    "page": (lambda h: answer(h, b"<html>login</html>" * 9, Content_Type="text/html"), "a page"),
    "page as data": (lambda h: answer(h, b"<html>login</html>" * 9, Content_Length=None), "<html"),
    "wrong length": (lambda h: answer(h, CONTENT[:-1]), f"{len(CONTENT) - 1} bytes instead of"),
    "too long": (lambda h: answer(h, CONTENT + b"x", Content_Length=None), "goes on beyond"),
    "absent": (lambda h: answer(h, b"", 404), "HTTP 404"),
    "forbidden": (lambda h: answer(h, b"", 403), "withdrew the protenix-v2 weights"),
    "to a file": (lambda h: answer(h, b"", 302, Location="file:///etc/passwd"), "HTTP 302"),
    "elsewhere": (lambda h: answer(h, b"", 302, Location="ftp://127.0.0.1/x"), "redirected"),
}


@pytest.mark.parametrize("case", LIES)
def test_lies_are_refused_and_leave_nothing(fetch, tmp_path, case):
    script, words = LIES[case]
    assert words in refused(fetch, tmp_path, script, model="protenix-v2")
    assert not list(tmp_path.iterdir())


def test_wrong_range_is_refused(fetch, tmp_path):
    text = refused(fetch, tmp_path, lambda h: answer(h, CONTENT, 206, Content_Range="bytes 0-1/2"),
                   begun=CONTENT[:99])
    assert "instead of byte 99" in text


def test_two_at_once(server, tmp_path):
    server.script[:] = [ranged]
    first = Download(server.url, tmp_path / "a.pt")
    with first._locked() as part:
        part.write(b"PK")
        with pytest.raises(ResourceError, match="another process"):
            Download(server.url, tmp_path / "a.pt").run()


def test_table_has_every_variant():
    assert set(FILES) == set(VARIANTS)
    assert address("protenix-v2").endswith(".com/checkpoint/protenix-v2.pt")
