// SPDX-License-Identifier: Apache-2.0
// Attention with pair bias and key mask, forward: softmax(scale q k^T + bias + mask) v and its
// log-sum-exp. One cube core and two vector cores per block. Never run on hardware, see README.md.
#include "evo_forward_vec.h"

template <class T>
__aicore__ inline void EvoForward(EvoForwardGlobals<T>& x, GM_ADDR workspace, const EvoTiling& t) {
    uint64_t block = AscendC::GetBlockIdx();
    if ASCEND_IS_AIV {
        block /= 2;
    }
    GM_ADDR own = workspace + block * t.workspacePerBlock;
    EvoWorkspace at = EvoForwardWorkspace(t.tileQ, t.tileK, t.Dp);
    uint32_t area = t.tileQ * t.tileK;
    for (uint32_t i = 0; i < 2; ++i) {
        x.s[i].SetGlobalBuffer((__gm__ float*)(own + at.s[i]), area);
        x.p[i].SetGlobalBuffer((__gm__ T*)(own + at.p[i]), area);
        x.pv[i].SetGlobalBuffer((__gm__ float*)(own + at.third[i]), t.tileQ * t.Dp);
    }
    AscendC::TPipe pipe;
    if ASCEND_IS_AIC {
        EvoForwardCube<T> cube;
        cube.Process(t, x, &pipe);
    }
    if ASCEND_IS_AIV {
        EvoForwardVec<T> vec;
        vec.Process(t, x, &pipe);
    }
}

template <class T>
__aicore__ inline void EvoForwardOf(GM_ADDR query, GM_ADDR key, GM_ADDR value, GM_ADDR bias, GM_ADDR mask,
                                    GM_ADDR flags, GM_ADDR out, GM_ADDR lse, GM_ADDR workspace, const EvoTiling& t) {
    EvoForwardGlobals<T> x;
    x.q.SetGlobalBuffer((__gm__ T*)query);
    x.k.SetGlobalBuffer((__gm__ T*)key);
    x.v.SetGlobalBuffer((__gm__ T*)value);
    x.bias.SetGlobalBuffer((__gm__ T*)bias);
    x.mask.SetGlobalBuffer((__gm__ float*)mask);
    x.flags.SetGlobalBuffer((__gm__ uint8_t*)flags);
    x.out.SetGlobalBuffer((__gm__ T*)out);
    x.lse.SetGlobalBuffer((__gm__ float*)lse);
    EvoForward<T>(x, AscendC::GetUserWorkspace(workspace), t);
}

extern "C" __global__ __aicore__ void evoformer_attention_ptx(GM_ADDR query, GM_ADDR key, GM_ADDR value,
                                                              GM_ADDR pair_bias, GM_ADDR mask, GM_ADDR tile_flag,
                                                              GM_ADDR out, GM_ADDR lse, GM_ADDR workspace,
                                                              GM_ADDR tiling) {
    KERNEL_TASK_TYPE_DEFAULT(KERNEL_TYPE_MIX_AIC_1_2);
    REGISTER_TILING_DEFAULT(EvoTiling);
    GET_TILING_DATA(t, tiling);
    if (TILING_KEY_IS(1)) {
        EvoForwardOf<half>(query, key, value, pair_bias, mask, tile_flag, out, lse, workspace, t);
    } else if (TILING_KEY_IS(2)) {
        EvoForwardOf<bfloat16_t>(query, key, value, pair_bias, mask, tile_flag, out, lse, workspace, t);
    }
}
