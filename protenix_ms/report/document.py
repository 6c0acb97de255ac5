# SPDX-License-Identifier: Apache-2.0
"""Puts a page together: one HTML file with its style, scripts and data, that asks nothing of a net.

The Content-Security-Policy allows the page's own scripts by their digests, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import zlib
from importlib.resources import files
from string import Template

from protenix_ms.typing import Array

_TITLE_LETTERS = 200


def asset(name: str) -> str:
    """Read a file of `assets` as text."""
    return (files("protenix_ms.report") / "assets" / name).read_text(encoding="utf-8")


def packed(content: bytes | Array) -> str:
    """Compress bytes, or an array's, as base64 text of a zlib stream."""
    return base64.b64encode(zlib.compress(bytes(content), 9)).decode("ascii")


def render(title: str, data: object, scripts: tuple[str, ...], body: str) -> str:
    """Make a page.

    Args:
        title: of the window; any text.
        data: what the scripts read, in JSON's types.
        scripts: names of assets, run in this order.
        body: name of the asset with the body.
    """
    style = asset("page.css")
    codes = [asset(name) for name in scripts]
    policy = (f"default-src 'none'; script-src {' '.join(map(_digest, codes))}; "
              f"style-src {_digest(style)}; img-src data: blob:; base-uri 'none'; "
              "form-action 'none'")
    return Template(asset("page.html")).substitute(
        policy=policy, title=html.escape(title[:_TITLE_LETTERS]), style=style, body=asset(body),
        data=_json(data), scripts="\n".join(f"<script>{code}</script>" for code in codes))


def _digest(code: str) -> str:
    digest = hashlib.sha256(code.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _json(data: object) -> str:
    """Write JSON that no HTML reader takes for markup, whatever names it holds."""
    text = json.dumps(data, separators=(",", ":"), default=str)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
