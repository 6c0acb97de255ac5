// SPDX-License-Identifier: Apache-2.0
// Forward, cube core: logits of the next tile while the vector cores weigh this one, then weights
// times values. Events between L1 and L0A/L0B: keys 0-1, values and weights 2-3.
//
// No event guards queries, keys and weights in L1 against being overwritten too early. The weights
// of a tile come back only after its logits went out, hence after its keys were used, and each task
// waits for all its weights; weights two tiles later, only after the values of this one were read.
#ifndef EVO_FORWARD_CUBE_H
#define EVO_FORWARD_CUBE_H
#include "evo_cube.h"

template <class T>
struct EvoForwardGlobals {
    AscendC::GlobalTensor<T> q, k, v, bias, out;
    AscendC::GlobalTensor<float> mask, lse;
    AscendC::GlobalTensor<uint8_t> flags;
    AscendC::GlobalTensor<float> s[2], pv[2];
    AscendC::GlobalTensor<T> p[2];
};

template <class T>
class EvoForwardCube {
 public:
    __aicore__ inline void Process(const EvoTiling& t, EvoForwardGlobals<T>& x, AscendC::TPipe* pipe) {
        t_ = t;
        x_ = &x;
        EvoForwardL1 at = EvoForwardL1Layout(t.tileQ, t.tileK, t.Dp);
        pipe->InitBuffer(l1_, at.end);
        q_ = l1_.template GetWithOffset<T>(t.tileQ * t.Dp, at.q);
        for (uint32_t i = 0; i < 2; ++i) {
            k_[i] = l1_.template GetWithOffset<T>(t.tileK * t.Dp, at.k[i]);
            v_[i] = l1_.template GetWithOffset<T>(t.tileK * t.Dp, at.v[i]);
            p_[i] = l1_.template GetWithOffset<T>(t.tileQ * t.tileK, at.p[i]);
        }
        cube_.Init(pipe);
        for (int32_t id = 2; id < 4; ++id) {
            AscendC::SetFlag<AscendC::HardEvent::MTE1_MTE2>(id);
        }
        EvoRange tasks = EvoTasks(t_);
        for (uint32_t id = tasks.begin; id < tasks.end; ++id) {
            Task(id % t_.G, id / t_.G / t_.nq, id / t_.G % t_.nq);
        }
        for (int32_t id = 2; id < 4; ++id) {
            AscendC::WaitFlag<AscendC::HardEvent::MTE1_MTE2>(id);
        }
        cube_.Drain();
    }

 private:
    __aicore__ inline void Task(uint32_t g, uint32_t h, uint32_t qt) {
        uint32_t tile = EvoNextTile(t_, x_->flags, g, 0);
        if (tile == t_.nk) {
            return;
        }
        uint32_t rows = EvoMin(t_.tileQ, t_.Sq - qt * t_.tileQ), width = t_.H * t_.D;
        m_ = EvoUp(rows, 16);
        rows_ = rows;
        uint64_t first = (static_cast<uint64_t>(g) * t_.Sq + qt * t_.tileQ) * width + h * t_.D;
        cube_.ToL1(q_, x_->q[first], rows, t_.D, width);  // handed over with the keys that follow
        Scores(g, h, tile, slot_);
        while (tile < t_.nk) {
            uint32_t next = EvoNextTile(t_, x_->flags, g, tile + 1);
            if (next < t_.nk) {
                Scores(g, h, next, slot_ ^ 1);
            }
            Values(g, h, tile, slot_);
            slot_ ^= 1;
            tile = next;
        }
    }
    __aicore__ inline void LoadKeys(const AscendC::LocalTensor<T>& to, const AscendC::GlobalTensor<T>& from,
                                    uint32_t g, uint32_t h, uint32_t tile, uint32_t columns) {
        uint32_t width = t_.H * t_.D;
        uint64_t first = (static_cast<uint64_t>(g) * t_.Sk + tile * t_.tileK) * width + h * t_.D;
        cube_.ToL1(to, from[first], columns, t_.D, width);
        EvoSerial();
    }
    // Logits [rows, columns] without scale: S = Q K^T.
    __aicore__ inline void Scores(uint32_t g, uint32_t h, uint32_t tile, uint32_t slot) {
        uint32_t columns = EvoMin(t_.tileK, t_.Sk - tile * t_.tileK), keys = EvoUp(columns, 16);
        LoadKeys(k_[slot], x_->k, g, h, tile, columns);
        EvoHandOver<AscendC::HardEvent::MTE2_MTE1>(slot);
        for (uint32_t n0 = 0; n0 < keys; n0 += EVO_SUB) {
            uint32_t n = EvoMin(EVO_SUB, keys - n0);
            cube_.Open();
            cube_.LeftAs(q_, m_, 0, t_.Dp);
            cube_.RightTransposed(k_[slot], keys, t_.Dp, n0, n);
            cube_.Multiply(m_, n, t_.Dp, true);
            cube_.Store(x_->s[slot][n0], rows_, n, t_.tileK, m_);
        }
        AscendC::CrossCoreSetFlag<2, PIPE_FIX>(EVO_SCORES + slot);
    }
    // Weights times values, [rows, Dp].
    __aicore__ inline void Values(uint32_t g, uint32_t h, uint32_t tile, uint32_t slot) {
        uint32_t columns = EvoMin(t_.tileK, t_.Sk - tile * t_.tileK), keys = EvoUp(columns, 16);
        AscendC::WaitFlag<AscendC::HardEvent::MTE1_MTE2>(2 + slot);
        LoadKeys(v_[slot], x_->v, g, h, tile, columns);
        AscendC::CrossCoreWaitFlag(EVO_WEIGHTS + slot);
        cube_.ToL1(p_[slot], x_->p[slot], rows_, columns, t_.tileK);
        EvoHandOver<AscendC::HardEvent::MTE2_MTE1>(2 + slot);
        for (uint32_t k0 = 0; k0 < keys; k0 += EVO_SUB) {
            uint32_t k = EvoMin(EVO_SUB, keys - k0);
            cube_.Open();
            cube_.LeftAs(p_[slot], m_, k0, k);
            cube_.RightAs(v_[slot], keys, t_.Dp, k0, k);
            cube_.Multiply(m_, t_.Dp, EvoMin(k, columns - k0), k0 == 0);
        }
        AscendC::SetFlag<AscendC::HardEvent::MTE1_MTE2>(2 + slot);
        cube_.Store(x_->pv[slot], rows_, t_.Dp, t_.Dp, m_);
        AscendC::CrossCoreSetFlag<2, PIPE_FIX>(EVO_VALUES + slot);
    }

    EvoTiling t_;
    EvoForwardGlobals<T>* x_;
    EvoCube<T> cube_;
    AscendC::TBuf<AscendC::TPosition::A1> l1_;
    AscendC::LocalTensor<T> q_, k_[2], v_[2], p_[2];
    uint32_t m_ = 0, rows_ = 0, slot_ = 0;
};
#endif
