# SPDX-License-Identifier: Apache-2.0
"""The Ascend path through MindSpore: our ops emulated, the vendor's by its documented meaning.

Nothing here ran on hardware.
"""

import shutil
import subprocess
from dataclasses import replace

import emulated_device as device
import mindspore as ms
import numpy as np
import pytest
from emulated_device import SOURCES
from emulated_ops import our_ops, vendor_op
from mindspore import ops
from mindspore.ops.operations._custom_ops_utils import CustomCodeGenerator

from protenix_ms.config.home import ASCEND_HEADER
from protenix_ms.errors import ConfigError, ResourceError
from protenix_ms.ops.evoformer_attention import (
    ascend,
    compatible,
    dispatch,
    env,
    evoformer_attention,
    layout,
    vendor,
)
from protenix_ms.ops.evoformer_attention.reference import reference_attention
from protenix_ms.runtime.policy import policy, using

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="this machine has no g++")
B, R, Q, K, H, D = 2, 3, 20, 70, 2, 24
SCALE = D**-0.5


@pytest.fixture
def emulated_ops():
    with our_ops():
        yield


@pytest.fixture
def emulated_vendor():
    with vendor_op():
        yield


def arguments(bias_shape=(B, 1), masked=True, seed=0):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=(B, R, s, H, D)) for s in (Q, K, K)]
    arrays.append(rng.normal(size=(*bias_shape, H, Q, K)))
    mask = rng.random((1, R, 1, 1, K)) < 0.7
    mask[0, 1] = False
    low = tuple(ms.Tensor(x.astype(np.float16)) for x in arrays)
    return low, ms.Tensor(mask) if masked else None


def values_and_gradients(attention, inputs, mask, dtype):
    def total(*x):
        out = attention(*x, mask, SCALE)
        return (out.astype(ms.float32) ** 2).sum(), out

    inputs = tuple(x.astype(dtype) for x in inputs)
    (_, out), grads = ms.value_and_grad(total, (0, 1, 2, 3), has_aux=True)(*inputs)
    return [x.astype(ms.float32).asnumpy() for x in (out, *grads)]


def compare(attention, bias_shape, masked):
    inputs, mask = arguments(bias_shape, masked)
    actual = values_and_gradients(attention, inputs, mask, ms.float16)
    exact = values_and_gradients(reference_attention, inputs, mask, ms.float32)
    for name, x, y in zip(("out", "dq", "dk", "dv", "dbias"), actual, exact):
        assert np.abs(y).max() > 1e-3
        np.testing.assert_allclose(x, y, atol=5e-3 * np.abs(y).max(), err_msg=name)


SHARING = [((1, 1), True), ((B, 1), True), ((1, R), False), ((B, R), True)]


@needs_compiler
@pytest.mark.parametrize("bias_shape, masked", SHARING)
def test_our_ops_give_values_and_gradients(emulated_ops, bias_shape, masked):
    compare(ascend.ascend_attention, bias_shape, masked)


@needs_compiler
@pytest.mark.parametrize("bias_shape, masked", [((1, 1), True), ((B, 1), True), ((B, R), False)])
def test_our_ops_take_bf16(emulated_ops, bias_shape, masked):
    """The whole binding in bf16, which has 8 bits of mantissa. In PyNative and without a bias to
    repeat, since graphs of the CPU back end reshape no bf16 and no bf16 is summed there."""
    inputs, mask = arguments(bias_shape, masked)
    inputs = tuple(x.astype(ms.bfloat16) for x in inputs)
    assert ascend.ascend_attention(*inputs, mask, SCALE).dtype == ms.bfloat16
    actual = values_and_gradients(ascend.ascend_attention, inputs, mask, ms.bfloat16)
    exact = values_and_gradients(reference_attention, inputs, mask, ms.float32)
    for name, x, y in zip(("out", "dq", "dk", "dv", "dbias"), actual, exact):
        assert np.abs(y).max() > 1e-3
        np.testing.assert_allclose(x, y, atol=2e-2 * np.abs(y).max(), err_msg=name)


@needs_compiler
def test_our_ops_have_gradients_in_a_graph(emulated_ops):
    """A gradient that silently becomes zero in graphs is what other bindings suffer from."""
    inputs, mask = arguments()
    actual = values_and_gradients(ms.jit(ascend.ascend_attention), inputs, mask, ms.float16)
    exact = values_and_gradients(reference_attention, inputs, mask, ms.float32)
    for x, y in zip(actual, exact):
        np.testing.assert_allclose(x, y, atol=5e-3 * np.abs(y).max())


def test_the_vendor_path_has_gradients_in_a_graph(emulated_vendor):
    inputs, mask = arguments()
    actual = values_and_gradients(ms.jit(vendor.vendor_attention), inputs, mask, ms.float16)
    exact = values_and_gradients(reference_attention, inputs, mask, ms.float32)
    for x, y in zip(actual, exact):
        np.testing.assert_allclose(x, y, atol=5e-3 * np.abs(y).max())


@needs_compiler
@pytest.mark.parametrize("form", [ascend.ascend_attention, vendor.vendor_attention])
def test_a_bias_that_forbids_keys_as_atom_windows_do(emulated_ops, emulated_vendor, form):
    """-1e9 is infinite in fp16; a tile may consist of it."""
    (q, k, v, bias), _ = arguments((1, R))
    forbidden = np.array(bias.astype(ms.float32).asnumpy())
    forbidden[..., :66] = -1e9
    inputs = (*(x.astype(ms.float32) for x in (q, k, v)), ms.Tensor(forbidden))
    exact = reference_attention(*inputs, None, SCALE).asnumpy()
    actual = form(q, k, v, inputs[3], None, SCALE).asnumpy()
    np.testing.assert_allclose(actual, exact, atol=5e-3)
    assert np.isfinite(actual).all()


@needs_compiler
def test_long_launches_are_cut(emulated_ops, monkeypatch):
    inputs, mask = arguments((1, 1))
    whole = ascend.ascend_attention(*inputs, mask, SCALE).asnumpy()
    monkeypatch.setattr(ascend, "LARGEST_LAUNCH", 2 * Q * H * K)
    np.testing.assert_array_equal(ascend.ascend_attention(*inputs, mask, SCALE).asnumpy(), whole)


@needs_compiler
def test_another_scale_is_folded_into_the_queries(emulated_ops):
    inputs, mask = arguments()
    actual = ascend.ascend_attention(*inputs, mask, 0.5).asnumpy()
    wide = tuple(x.astype(ms.float32) for x in inputs)
    np.testing.assert_allclose(actual, reference_attention(*wide, mask, 0.5).asnumpy(), atol=1e-2)


@pytest.mark.parametrize("bias_shape, masked", SHARING)
def test_the_vendor_path_gives_values_and_every_gradient(emulated_vendor, bias_shape, masked):
    compare(vendor.vendor_attention, bias_shape, masked)


def test_the_vendor_path_in_chunks_and_without_bias(emulated_vendor, monkeypatch):
    inputs, mask = arguments()
    q, k, v, bias = inputs
    whole = vendor.vendor_attention(q, k, v, bias, mask, SCALE).asnumpy()
    monkeypatch.setattr(vendor, "MOST_GROUPS", 4)
    np.testing.assert_array_equal(
        vendor.vendor_attention(q, k, v, bias, mask, SCALE).asnumpy(), whole
    )
    wide = (x.astype(ms.float32) for x in (q, k, v))
    exact = reference_attention(*wide, None, mask, SCALE).asnumpy()
    actual = vendor.vendor_attention(q, k, v, None, mask, SCALE).asnumpy()
    np.testing.assert_allclose(actual, exact, atol=5e-3)


@pytest.mark.parametrize("keys", [1, 63, 64, 65, 200])
def test_tile_flags(keys):
    keep = np.random.default_rng(keys).random((4, keys)) < 0.9
    keep[0], keep[1] = True, False
    flags = layout.tile_flags(ms.Tensor(keep)).asnumpy()
    np.testing.assert_array_equal(flags, device.tile_flags(keep))
    assert (flags[0] == 2).all() and not flags[1].any()


REGISTERED = [
    ("evoformer_attention_ptx", ascend.FORWARD, ascend.INPUTS, ascend.OUTPUTS),
    ("evoformer_attention_ptx_grad", ascend.BACKWARD, ascend.GRAD_INPUTS, ascend.GRAD_OUTPUTS),
]


@pytest.mark.parametrize("file, name, inputs, outputs", REGISTERED)
def test_host_kernel_and_registration_agree(file, name, inputs, outputs):
    """The order of arguments is written in three places."""
    host = (SOURCES / "op_host" / f"{file}.cpp").read_text(encoding="utf-8")
    for kind, expected in (("Input", inputs), ("Output", outputs)):
        names = [part.split('"')[0] for part in host.split(f'this->{kind}("')[1:]]
        assert tuple(names) == expected
    assert f"OP_ADD({name.removeprefix('aclnn')})" in host
    kernel = (SOURCES / "op_kernel" / f"{file}.cpp").read_text(encoding="utf-8")
    entry = kernel.split(f"{file}(")[1].split(")")[0]
    named = tuple(part.split()[-1] for part in entry.split(","))
    assert named == (*inputs, *outputs, "workspace", "tiling")
    info = ascend.registration("x", inputs, outputs)
    assert [x["name"] for x in info["inputs"]] == list(inputs)
    assert all(len(types) == len(inputs) + len(outputs) for types in info["dtype_format"])


@needs_compiler
@pytest.mark.parametrize("file, name, inputs, outputs", REGISTERED)
def test_the_callback_of_mindspore_compiles(tmp_path, file, name, inputs, outputs):
    info = ascend.registration(name.removeprefix("aclnn"), inputs, outputs)
    generator = CustomCodeGenerator()
    types = generator.get_api_types_by_reg_info(info)
    assert types[:-2] == ["aclTensor*"] * (len(inputs) + len(outputs))
    text = generator.generate_callback_by_types(name, info, types)
    (tmp_path / "acl").mkdir()
    (tmp_path / "acl" / "acl_base.h").write_text("#include <cstdint>\n", encoding="ascii")
    (tmp_path / "callback.cc").write_text(text, encoding="utf-8")
    subprocess.run(
        ["g++", "-std=c++17", "-fsyntax-only", f"-I{tmp_path}", str(tmp_path / "callback.cc")],
        check=True, timeout=60,
    )


@pytest.fixture
def toolkit(tmp_path):
    """Make a toolkit and a built op, as folders and variables."""
    home, op = tmp_path / "cann", tmp_path / "op"
    for path, text in (
        (home / "version.info", "Version=8.3.RC1\n"), (op / ASCEND_HEADER, ""),
        (op / env.LIBRARY, ""), (op / "built_for", "8.3\n"),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")
    return {
        "ASCEND_HOME_PATH": str(home), "ASCEND_OPP_PATH": str(home / "opp"),
        "ASCEND_CUSTOM_OPP_PATH": f"/elsewhere:{op}",
    }


def test_obstacles_are_named_with_their_remedy(toolkit, tmp_path):
    op, none = tmp_path / "op", tmp_path / "none"
    assert env.ascend_obstacle("Ascend910B2", toolkit, none) is None
    assert "Ascend310P" in env.ascend_obstacle("Ascend310P3", toolkit, none)
    assert "set_env.sh" in env.ascend_obstacle("Ascend910B2", {}, none)
    without = toolkit | {"ASCEND_CUSTOM_OPP_PATH": ""}
    assert "build_ascend_op.sh" in env.ascend_obstacle("Ascend910B2", without, none)
    assert "g++" in env.ascend_obstacle("Ascend910B2", toolkit | {"PATH": ""}, none)
    assert "export ASCEND_CUSTOM_OPP_PATH" in env.ascend_obstacle("Ascend910B2", without, op)
    (op / "built_for").write_text("8.2", encoding="ascii")
    assert "another toolkit" in env.ascend_obstacle("Ascend910B2", toolkit, none)
    (tmp_path / "cann" / "version.info").write_text("Version=7.0.1", encoding="ascii")
    assert "7.0" in env.ascend_obstacle("Ascend910B2", toolkit, none)


def test_order_of_implementations(monkeypatch):
    choose, half = dispatch.implementation, ms.float16
    with using(replace(policy(), device="Ascend", kernels=True)):
        monkeypatch.setattr(dispatch, "ascend_obstacle", lambda: None)
        assert choose(half, 32) == choose(ms.bfloat16, 24) == "ascend"
        assert choose(ms.float32, 32) == "reference"
        assert choose(half, 72) == "vendor"
        monkeypatch.setattr(dispatch, "ascend_obstacle", lambda: "it is not built")
        assert choose(half, 32) == "vendor"
        monkeypatch.setenv(env.VARIABLE, "ascend")
        with pytest.raises(ResourceError, match="it is not built"):
            choose(half, 32)
        monkeypatch.setenv(env.VARIABLE, "reference")
        assert choose(half, 32) == "reference"
        monkeypatch.setenv(env.VARIABLE, "fastest")
        with pytest.raises(ConfigError, match="fastest"):
            choose(half, 32)
    monkeypatch.setenv(env.VARIABLE, "vendor")
    with pytest.raises(ResourceError, match="CPU"):
        choose(ms.float32, 32)


@needs_compiler
def test_self_test_passes_and_can_fail(emulated_ops, emulated_vendor):
    assert dispatch.self_test(ascend.ascend_attention) is None

    def without_bias_gradient(q, k, v, bias, mask, scale):
        return ascend.ascend_attention(q, k, v, ops.stop_gradient(bias), mask, scale)

    assert "dbias" in dispatch.self_test(without_bias_gradient)


def test_signatures_of_other_projects():
    (q, k, v, bias), mask = arguments()
    q, k, v, bias = (x.astype(ms.float32) for x in (q, k, v, bias))
    expected = evoformer_attention(q, k, v, bias, mask).asnumpy()
    kept = np.broadcast_to(mask.asnumpy(), (B, R, 1, 1, K))
    additive = ms.Tensor(np.where(kept, 0, -1e9), ms.float32)
    actual = compatible.DS4Sci_EvoformerAttention(q, k, v, [additive, bias]).asnumpy()
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    with pytest.raises(ConfigError, match="shape"):
        compatible.DS4Sci_EvoformerAttention(q, k, v, [q])
    gone = ms.Tensor(1 - mask.asnumpy()[0].reshape(R, 1, 1, K).astype(np.uint8))
    for form in ("BSND", "BNSD", "BSH", "SBH"):
        tensors = [compatible._from_bsnd(x[0], form) for x in (q, k, v)]
        out = compatible.evo_attention(*tensors, H, bias[0], gone, SCALE, form)
        out = compatible._to_bsnd(out, H, form).asnumpy()
        np.testing.assert_allclose(out, expected[0], atol=1e-5)
    with pytest.raises(ConfigError, match="layout"):
        compatible.evo_attention(q[0], k[0], v[0], H, input_layout="TND")
