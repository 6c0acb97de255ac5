# SPDX-License-Identifier: Apache-2.0
"""`protenix-ms fetch` of an encoder: the model and its contact regression, converted."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfile

import pytest
from safetensors import safe_open

from ckpt_convert.official import ENCODERS
from protenix_ms.cli.main import main
from protenix_ms.config.encoder import RELEASED, EncoderSizes

NAME = "esm2_t6_8M_UR50D"
GOLDEN = Path(__file__).resolve().parents[2] / "golden" / "esm"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def mirror(tmp_path):
    """A server that has the recorded file and its regression under a released model's name."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for end in (".pt", "-contact-regression.pt"):
        copyfile(GOLDEN / f"esm2_tiny_rule_half{end}", folder / f"{NAME}{end}")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def fetch(folder, mirror):
    return main(["fetch", NAME, "--base-url", mirror, "--output", str(folder / "weights")])


def test_both_files_become_one(tmp_path, mirror, monkeypatch, capsys):
    monkeypatch.setitem(RELEASED, NAME, EncoderSizes(2, 72, 3))
    assert fetch(tmp_path, mirror) == 0
    assert sorted(p.suffix for p in (tmp_path / "weights").iterdir()) == [".json", ".safetensors"]
    with safe_open(tmp_path / "weights" / f"{NAME}.safetensors", "np") as file:
        assert file.get_tensor("contact_head.regression.weight").shape == (1, 6)
        assert file.metadata()["model"] == NAME and file.metadata()["heads"] == "3"
    assert fetch(tmp_path, mirror) == 0 and "there already" in capsys.readouterr().out


def test_another_encoder_under_this_name_is_refused(tmp_path, mirror, capsys):
    assert fetch(tmp_path, mirror) == 1
    assert f"2 layers and width 72, not {NAME}" in capsys.readouterr().err
    assert not list((tmp_path / "weights").glob("*.safetensors"))


def test_every_address_is_one_of_a_known_encoder():
    assert ENCODERS.keys() <= RELEASED.keys()
    assert all(model.endswith(f"{name}.pt") and regression.endswith(f"{name}-contact-regression.pt")
               for name, (model, regression) in ENCODERS.items())
