// SPDX-License-Identifier: Apache-2.0
// Which tasks a core has, which tiles they skip, and how cores and pipes wait for each other.
#ifndef EVO_SYNC_H
#define EVO_SYNC_H
#include "kernel_operator.h"
#define EVO_KERNEL
#define EVO_FN __aicore__ inline
#include "evo_tiling.h"

// Flags between the cube core and its two vector cores; two of each, by the parity of the tile. A
// flag is never set before its last setting was consumed; 11 to 14 belong to SyncAll.
constexpr uint16_t EVO_SCORES = 0;    // cube: logits (backward: and dP) are in the workspace
constexpr uint16_t EVO_WEIGHTS = 2;   // vector: weights (backward: and dS) are
constexpr uint16_t EVO_VALUES = 4;    // cube: weights times values are

// Waits for everything where the ablation of the asynchronous pipeline asks for that.
__aicore__ inline void EvoSerial() {
#if !EVO_OPT_ASYNC
    AscendC::PipeBarrier<PIPE_ALL>();
#endif
}

template <AscendC::HardEvent E>
__aicore__ inline void EvoHandOver(int32_t id) {
    AscendC::SetFlag<E>(id);
    AscendC::WaitFlag<E>(id);
}

struct EvoRange {
    uint32_t begin, end;
};

// Neighbouring tasks for one core: they read the same strip of bias from L2.
__aicore__ inline EvoRange EvoTasks(const EvoTiling& t) {
    uint32_t core = AscendC::GetBlockIdx();
    if ASCEND_IS_AIV {
        core /= 2;
    }
    uint32_t each = t.nTask / t.blocks, rest = t.nTask % t.blocks;
    uint32_t begin = core * each + EvoMin(core, rest);
    return {begin, begin + each + (core < rest ? 1 : 0)};
}

// 0: every key of the tile is masked, 2: none is, 1: some are.
__aicore__ inline uint32_t EvoTileState(const EvoTiling& t, const AscendC::GlobalTensor<uint8_t>& flags,
                                        uint32_t g, uint32_t tile) {
    if (!t.hasMask) {
        return 2;
    }
    uint32_t per = t.tileK / EVO_FLAG_COLUMNS, first = tile * per;
    uint32_t last = EvoMin(first + per, t.nflag);
#if !EVO_OPT_MASK
    first = 0;
    last = t.nflag;
#endif
    uint32_t any = 0, all = 2;
    for (uint32_t i = first; i < last; ++i) {
        uint32_t flag = flags.GetValue(static_cast<uint64_t>(g) * t.nflag + i);
        any |= flag;
        all = EvoMin(all, flag);
    }
#if !EVO_OPT_MASK
    all = 1;
#endif
    return any == 0 ? 0 : (all == 2 ? 2 : 1);
}

// The first tile of keys from `tile` on that is not skipped, or t.nk.
__aicore__ inline uint32_t EvoNextTile(const EvoTiling& t, const AscendC::GlobalTensor<uint8_t>& flags,
                                       uint32_t g, uint32_t tile) {
    while (tile < t.nk && EvoTileState(t, flags, g, tile) == 0) {
        ++tile;
    }
    return tile;
}
#endif
