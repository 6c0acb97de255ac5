# SPDX-License-Identifier: Apache-2.0
"""Round trips with upstream's own model, torch.save and load_state_dict, for all nine variants."""

import io
import json
import os
from contextlib import redirect_stdout

import mindspore
import numpy as np
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import load_file

from ckpt_convert import load_arrays
from ckpt_convert.__main__ import main
from protenix_ms.config import VARIANTS
from protenix_ms.config.variants import from_upstream
from protenix_ms.model.weights import parameter_shapes

torch = pytest.importorskip("torch", reason="parity needs PyTorch (extra `test`)")
pytest.importorskip("protenix", reason="parity needs protenix 2.0.0 (extra `test`)")

# one graph, one recording
TWIN = {"protenix_base_20250630_v1.0.0": "protenix_base_default_v1.0.0"}


@pytest.fixture(scope="module")
def upstream(golden, monkeypatch_module):
    """variant -> (its configuration at tiny width, upstream's model with random weights)."""
    monkeypatch_module.setenv("PROTENIX_ROOT_DIR",
                              str(golden.parent / "tools" / "oracle" / "protenix_root"))
    from protenix.model.modules import primitives
    from protenix.model.protenix import Protenix
    from protenix.model.triangular import layers

    for module in (primitives, layers):  # minutes of initialisation that is overwritten below
        for name in [n for n in vars(module) if n.endswith("normal_init_")]:
            monkeypatch_module.setattr(module, name, lambda *a, **k: None)

    def build(variant, width="tiny"):
        path = golden / width / TWIN.get(variant, variant) / "meta.json"
        if not path.is_file():
            pytest.skip(f"no recording {path}: set PROTENIX_MS_GOLDEN")
        config = json.loads(path.read_text())["config"] | {"model_name": variant}
        with redirect_stdout(io.StringIO()):
            model = Protenix(ConfigDict(config))
        generator = torch.Generator().manual_seed(7)
        for parameter in model.state_dict().values():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
        return config, model

    return build


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


def command(monkeypatch, *words):
    monkeypatch.setattr("sys.argv", ["ckpt_convert", *map(str, words)])
    return main()


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip(variant, upstream, tmp_path, monkeypatch):
    config, model = upstream(variant)
    state = model.state_dict()
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "a.pt")
    options = ("--config", tmp_path / "config.json", "--model", variant)

    ours, ckpt = tmp_path / "b.safetensors", tmp_path / "c.ckpt"
    assert command(monkeypatch, tmp_path / "a.pt", ours, *options, "--provenance", "a test") == 0
    assert command(monkeypatch, ours, ckpt, *options) == 0
    sidecar = json.loads((tmp_path / "b.json").read_text())
    assert sidecar["model"] == variant and sidecar["provenance"] == "a test"
    assert sidecar["parameters"] == sum(v.numel() for v in state.values())

    expected = parameter_shapes(from_upstream(config))
    for path in (tmp_path / "a.pt", ours, ckpt):
        arrays = dict(load_arrays(path, expected))
        assert set(arrays) == set(state)
        assert all(np.array_equal(arrays[k], v.numpy()) for k, v in state.items())
    official = load_file(ours)
    assert all(np.array_equal(official[k], v.numpy()) for k, v in state.items())
    loaded = mindspore.load_checkpoint(str(ckpt))
    assert all(np.array_equal(loaded[k].asnumpy(), v.numpy()) for k, v in state.items())

    for source in (ours, ckpt):
        assert command(monkeypatch, source, tmp_path / "d.pt", *options, "--reverse") == 0
        back = torch.load(tmp_path / "d.pt", weights_only=True)["model"]
        for parameter in model.state_dict().values():
            parameter.zero_()
        model.load_state_dict(back, strict=True)
        original = by_torch(tmp_path / "a.pt")
        assert all(torch.equal(v, original[k]) for k, v in model.state_dict().items())


@pytest.mark.slow
@pytest.mark.skipif("PROTENIX_MS_FULL_SIZE" not in os.environ,
                    reason="5 GB of memory and disk: set PROTENIX_MS_FULL_SIZE=1")
@pytest.mark.parametrize("variant", ["protenix_base_default_v1.0.0",
                                     "protenix_tiny_default_v0.5.0"])
def test_full_size_round_trip(variant, upstream, tmp_path, monkeypatch):
    """Recognised without help, there and back, taken by upstream's strict loading."""
    _, model = upstream(variant, "full")
    torch.save({"model": model.state_dict()}, tmp_path / "a.pt")
    assert command(monkeypatch, tmp_path / "a.pt", tmp_path / "b.safetensors") == 0
    sidecar = json.loads((tmp_path / "b.json").read_text())
    assert variant in (sidecar["model"], *sidecar["same_graph"])
    assert command(monkeypatch, tmp_path / "b.safetensors", tmp_path / "c.pt", "--reverse") == 0
    for parameter in model.state_dict().values():
        parameter.zero_()
    loaded = torch.load(tmp_path / "c.pt", weights_only=True, mmap=True)["model"]
    model.load_state_dict(loaded, strict=True)
    original = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)["model"]
    assert all(torch.equal(v, original[k]) for k, v in model.state_dict().items())


def by_torch(path):
    return {k.removeprefix("module."): v for k, v in torch.load(path)["model"].items()}


def test_upstreams_training_checkpoint(upstream, tmp_path):
    """{model, optimizer, scheduler, step} as upstream's trainer saves it, by its own classes."""
    config, model = upstream("protenix_tiny_default_v0.5.0")
    from protenix.utils.lr_scheduler import get_lr_scheduler

    optimizer = torch.optim.Adam(model.parameters(), lr=config["lr"])
    scheduler = get_lr_scheduler(ConfigDict(config), optimizer)
    sum(p.square().sum() for p in model.parameters() if p.requires_grad).backward()
    optimizer.step()
    scheduler.step()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(),
                "scheduler": scheduler.state_dict(), "step": 1}, tmp_path / "1.pt")
    arrays = dict(load_arrays(tmp_path / "1.pt", parameter_shapes(from_upstream(config))))
    assert all(np.array_equal(arrays[k], v.numpy()) for k, v in model.state_dict().items())


def test_real_file_of_upstream(golden):
    """The one file written by upstream's runner itself, against torch."""
    folder = golden / "tiny" / "protenix_base_default_v1.0.0"
    path = folder / "protenix_base_default_v1.0.0.pt"
    if not path.is_file():
        pytest.skip(f"no {path}: set PROTENIX_MS_GOLDEN")
    meta = json.loads((folder / "meta.json").read_text())
    expected = parameter_shapes(from_upstream(meta["config"]))
    theirs = by_torch(path)
    arrays = dict(load_arrays(path, expected))
    assert list(arrays) == list(expected)
    assert all(np.array_equal(arrays[k], v.numpy()) for k, v in theirs.items())
