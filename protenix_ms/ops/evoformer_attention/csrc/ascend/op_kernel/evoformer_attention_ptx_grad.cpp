// SPDX-License-Identifier: Apache-2.0
// Attention with pair bias and key mask, backward: dq and dk without the scale of the logits, dv
// (all fp32, D padded to a multiple of 16) and the gradient of the bias. Tasks are tiles of the
// bias ("bias-stationary"). Sums of dq, dk and dv are atomic, hence not bitwise reproducible. One
// cube core and two vector cores per block. Never run on hardware, see README.md.
#include "evo_backward_vec.h"

template <class T>
__aicore__ inline void EvoBackward(EvoBackwardGlobals<T>& x, GM_ADDR workspace, const EvoTiling& t) {
    uint64_t block = AscendC::GetBlockIdx();
    if ASCEND_IS_AIV {
        block /= 2;
    }
    GM_ADDR own = workspace + block * t.workspacePerBlock;
    EvoWorkspace at = EvoBackwardWorkspace(t.tileQ, t.tileK);
    uint32_t area = t.tileQ * t.tileK;
    for (uint32_t i = 0; i < 2; ++i) {
        x.s[i].SetGlobalBuffer((__gm__ float*)(own + at.s[i]), area);
        x.dp[i].SetGlobalBuffer((__gm__ float*)(own + at.third[i]), area);
        x.p[i].SetGlobalBuffer((__gm__ T*)(own + at.p[i]), area);
        x.ds[i].SetGlobalBuffer((__gm__ T*)(own + at.fourth[i]), area);
    }
    AscendC::TPipe pipe;
    if ASCEND_IS_AIC {
        EvoBackwardCube<T> cube;
        cube.Process(t, x, &pipe);
    }
    if ASCEND_IS_AIV {
        EvoBackwardVec<T> vec;
        vec.Process(t, x, &pipe);
    }
}

// GM_ADDR is a macro that ends in an asterisk: it declares one pointer at a time.
using EvoAddress = GM_ADDR;
struct EvoBackwardArguments {
    EvoAddress query, key, value, bias, mask, flags, dout, lse, delta, dq, dk, dv, dbias, workspace;
};

template <class T>
__aicore__ inline void EvoBackwardOf(const EvoBackwardArguments& a, const EvoTiling& t) {
    EvoBackwardGlobals<T> x;
    x.q.SetGlobalBuffer((__gm__ T*)a.query);
    x.k.SetGlobalBuffer((__gm__ T*)a.key);
    x.v.SetGlobalBuffer((__gm__ T*)a.value);
    x.bias.SetGlobalBuffer((__gm__ T*)a.bias);
    x.mask.SetGlobalBuffer((__gm__ float*)a.mask);
    x.flags.SetGlobalBuffer((__gm__ uint8_t*)a.flags);
    x.dout.SetGlobalBuffer((__gm__ T*)a.dout);
    x.lse.SetGlobalBuffer((__gm__ float*)a.lse);
    x.delta.SetGlobalBuffer((__gm__ float*)a.delta);
    x.dq.SetGlobalBuffer((__gm__ float*)a.dq);
    x.dk.SetGlobalBuffer((__gm__ float*)a.dk);
    x.dv.SetGlobalBuffer((__gm__ float*)a.dv);
    x.dbias.SetGlobalBuffer((__gm__ float*)a.dbias);
    EvoBackward<T>(x, AscendC::GetUserWorkspace(a.workspace), t);
}

extern "C" __global__ __aicore__ void evoformer_attention_ptx_grad(GM_ADDR query, GM_ADDR key, GM_ADDR value,
                                                                   GM_ADDR pair_bias, GM_ADDR mask,
                                                                   GM_ADDR tile_flag, GM_ADDR dout, GM_ADDR lse,
                                                                   GM_ADDR delta, GM_ADDR dq, GM_ADDR dk, GM_ADDR dv,
                                                                   GM_ADDR dbias, GM_ADDR workspace,
                                                                   GM_ADDR tiling) {
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
    REGISTER_TILING_DEFAULT(EvoTiling);
    GET_TILING_DATA(t, tiling);
    EvoBackwardArguments a{query, key, value, pair_bias, mask, tile_flag, dout, lse, delta, dq, dk, dv, dbias,
                           workspace};
    if (TILING_KEY_IS(1)) {
        EvoBackwardOf<half>(a, t);
    } else if (TILING_KEY_IS(2)) {
        EvoBackwardOf<bfloat16_t>(a, t);
    }
}
