// SPDX-License-Identifier: Apache-2.0
// Backward, vector core: P and dS of its half of the queries. The tile of bias stays on chip while
// all groups that share it pass by, and so does its gradient, which is therefore written once.
// Events: V_MTE2 and MTE2_V 0-1 S and dP by parity of the pass, 2 bias, 3 log-sum-exp, delta and
// mask; MTE3_V and V_MTE3 0-1 P and dS by parity of the pass, 2 dBias. None guards log-sum-exp,
// delta and mask against overwriting: S of two groups later comes only after their last use.
#ifndef EVO_BACKWARD_VEC_H
#define EVO_BACKWARD_VEC_H
#include "evo_backward_cube.h"
#include "evo_vec.h"

template <class T>
class EvoBackwardVec {
 public:
    __aicore__ inline void Process(const EvoTiling& t, EvoBackwardGlobals<T>& x, AscendC::TPipe* pipe) {
        t_ = t;
        x_ = &x;
        first_ = static_cast<uint32_t>(AscendC::GetSubBlockIdx()) * t.half;
        Buffers(pipe);
        Zeros();
        AscendC::SyncAll<false>();
        for (int32_t id = 0; id < 2; ++id) {
            AscendC::SetFlag<AscendC::HardEvent::V_MTE2>(id);
        }
        for (int32_t id = 0; id < 3; ++id) {
            AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(id);
        }
        EvoRange units = EvoTasks(t_);
        for (uint32_t id = units.begin; id < units.end; ++id) {
            Unit(EvoUnitOf(t_, id));
        }
        for (int32_t id = 0; id < 2; ++id) {
            AscendC::WaitFlag<AscendC::HardEvent::V_MTE2>(id);
        }
        for (int32_t id = 0; id < 3; ++id) {
            AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(id);
        }
    }

 private:
    using Floats = AscendC::LocalTensor<float>;

    __aicore__ inline void Buffers(AscendC::TPipe* pipe) {
        EvoBackwardBuffers at = EvoBackwardLayout(t_.passRows, t_.tileK, t_.half);
        uint32_t area = t_.passRows * t_.tileK;
        pipe->InitBuffer(ub_, at.end);
        for (uint32_t i = 0; i < 2; ++i) {
            s_[i] = ub_.template GetWithOffset<float>(area, at.s[i]);
            dp_[i] = ub_.template GetWithOffset<float>(area, at.dp[i]);
            p_[i] = ub_.template GetWithOffset<T>(area, at.p[i]);
            ds_[i] = ub_.template GetWithOffset<T>(area, at.ds[i]);
            mask_[i] = ub_.template GetWithOffset<float>(t_.tileK, at.mask[i]);
            lse_[i] = ub_.template GetWithOffset<float>(t_.half, at.lse[i]);
            delta_[i] = ub_.template GetWithOffset<float>(t_.half, at.delta[i]);
        }
        bias_ = ub_.template GetWithOffset<float>(t_.half * t_.tileK, at.bias);
        dbias_ = ub_.template GetWithOffset<float>(t_.half * t_.tileK, at.dbias);
        rowsLse_ = ub_.template GetWithOffset<float>(t_.half * 8, at.rowsLse);
        rowsDelta_ = ub_.template GetWithOffset<float>(t_.half * 8, at.rowsDelta);
    }

    // What is added to must be zero first: each vector core fills a part of each gradient.
    __aicore__ inline void Zeros() {
        AscendC::Duplicate(s_[0], 0.0f, t_.passRows * t_.tileK);
        EvoHandOver<AscendC::HardEvent::V_MTE3>(0);
        uint64_t width = static_cast<uint64_t>(t_.H) * t_.Dp;
        Fill(x_->dq, static_cast<uint64_t>(t_.G) * t_.Sq * width);
        Fill(x_->dk, static_cast<uint64_t>(t_.G) * t_.Sk * width);
        Fill(x_->dv, static_cast<uint64_t>(t_.G) * t_.Sk * width);
        if (t_.needDbias && t_.segments > 1) {
            Fill(x_->dbias, static_cast<uint64_t>(t_.G / t_.biasDiv) * t_.H * t_.Sq * t_.Sk);
        }
    }
    __aicore__ inline void Fill(const AscendC::GlobalTensor<float>& to, uint64_t size) {
        uint64_t cores = static_cast<uint64_t>(t_.blocks) * 2, core = AscendC::GetBlockIdx();
        uint64_t each = (size / cores + 16) / 16 * 16, begin = core * each, end = begin + each;
        end = end < size ? end : size;
        for (; begin < end; begin += t_.passRows * t_.tileK) {
            uint64_t rest = end - begin;
            uint32_t n = rest < t_.passRows * t_.tileK ? static_cast<uint32_t>(rest) : t_.passRows * t_.tileK;
            EvoStore(to[begin], s_[0], 1, n, n, EvoUp(n, 8));
        }
    }

    __aicore__ inline void Unit(const EvoUnit& u) {
        uint32_t rows = EvoMin(t_.tileQ, t_.Sq - u.qt * t_.tileQ);
        rows_ = rows > first_ ? EvoMin(t_.half, rows - first_) : 0;
        columns_ = EvoMin(t_.tileK, t_.Sk - u.kt * t_.tileK);
        q0_ = u.qt * t_.tileQ + first_;
        uint64_t tile = ((static_cast<uint64_t>(u.bias) * t_.H + u.h) * t_.Sq + q0_) * t_.Sk + u.kt * t_.tileK;
        if (rows_ && t_.hasBias) {
            LoadBias(tile);
        }
        for (uint32_t g = EvoNextGroup(t_, x_->flags, u, u.begin); g < u.end;
             g = EvoNextGroup(t_, x_->flags, u, g + 1)) {
            Group(u, g, EvoTileState(t_, x_->flags, g, u.kt) == 1);
            slot_ ^= 1;
        }
        if (rows_ && t_.needDbias) {
            StoreDbias(tile);
        }
    }
    // The bias in fp32, by way of a buffer of P; its gradient starts at zero.
    __aicore__ inline void LoadBias(uint64_t tile) {
        AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(2);
        EvoRows::Wait();
        AscendC::Duplicate(dbias_, 0.0f, t_.half * t_.tileK);
        AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(2);
        AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(0);
        for (uint32_t r0 = 0; r0 < rows_; r0 += t_.passRows) {
            EvoRows a{EvoMin(t_.passRows, rows_ - r0), columns_, t_.tileK};
            EvoHandOver<AscendC::HardEvent::V_MTE2>(2);  // and with it what this pipe waited for
            EvoLoad(p_[0], x_->bias[tile + static_cast<uint64_t>(r0) * t_.Sk], a.rows, columns_, t_.Sk, t_.tileK);
            EvoHandOver<AscendC::HardEvent::MTE2_V>(2);
            a.Widen(bias_[r0 * t_.tileK], p_[0]);
        }
        AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(0);
        EvoRows::Wait();
    }
    __aicore__ inline void StoreDbias(uint64_t tile) {
        AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(2);
        EvoHandOver<AscendC::HardEvent::V_MTE3>(2);
        if (t_.segments > 1) {
            AscendC::SetAtomicAdd<float>();
        }
        EvoStore(x_->dbias[tile], dbias_, rows_, columns_, t_.Sk, t_.tileK);
        if (t_.segments > 1) {
            AscendC::SetAtomicNone();
        }
        AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(2);
        EvoSerial();
    }

    __aicore__ inline void Group(const EvoUnit& u, uint32_t g, bool masked) {
        AscendC::CrossCoreWaitFlag(EVO_SCORES + slot_);
        if (rows_) {
            uint64_t row = (static_cast<uint64_t>(g) * t_.H + u.h) * t_.Sq + q0_;
            EvoLoad(lse_[slot_], x_->lse[row], 1, rows_, rows_, EvoUp(rows_, 8));
            EvoLoad(delta_[slot_], x_->delta[row], 1, rows_, rows_, EvoUp(rows_, 8));
            if (masked) {
                EvoLoad(mask_[slot_], x_->mask[static_cast<uint64_t>(g) * t_.Sk + u.kt * t_.tileK], 1, columns_,
                        columns_, t_.tileK);
            }
            EvoHandOver<AscendC::HardEvent::MTE2_V>(3);
            EvoRows all{rows_, columns_, t_.tileK};
            EvoRows::Wait();
            all.Spread(rowsLse_, lse_[slot_]);
            all.Spread(rowsDelta_, delta_[slot_]);
            for (uint32_t r0 = 0; r0 < rows_; r0 += t_.passRows) {
                Pass({EvoMin(t_.passRows, rows_ - r0), columns_, t_.tileK}, r0, masked);
                pass_ ^= 1;
            }
        }
        AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(EVO_WEIGHTS + slot_);
    }
    // P = exp(scale S + bias + mask - lse), dS = P (dP - delta).
    __aicore__ inline void Pass(const EvoRows& a, uint32_t r0, bool masked) {
        uint32_t at = (first_ + r0) * t_.tileK;
        Floats s = s_[pass_], dp = dp_[pass_];
        AscendC::WaitFlag<AscendC::HardEvent::V_MTE2>(pass_);
        EvoLoad(s, x_->s[slot_][at], a.rows, a.columns, t_.tileK, t_.tileK);
        EvoLoad(dp, x_->dp[slot_][at], a.rows, a.columns, t_.tileK, t_.tileK);
        EvoHandOver<AscendC::HardEvent::MTE2_V>(pass_);
        EvoSerial();
        a.Scale(s, t_.scale);
        EvoRows::Wait();
        if (t_.hasBias) {
            a.Plus(s, bias_[r0 * t_.tileK]);
            EvoRows::Wait();
        }
        if (masked) {
            a.PlusLine(s, mask_[slot_]);
            EvoRows::Wait();
        }
        a.MinusEach(s, rowsLse_[r0 * 8]);
        a.MinusEach(dp, rowsDelta_[r0 * 8]);
        EvoRows::Wait();
        a.Exponential(s);
        EvoRows::Wait();
        a.Times(dp, s);
        AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(pass_);
        a.Narrow(p_[pass_], s);
        EvoRows::Wait();
        if (t_.needDbias) {
            a.Plus(dbias_[r0 * t_.tileK], dp);
        }
        a.Narrow(ds_[pass_], dp);
        AscendC::SetFlag<AscendC::HardEvent::V_MTE2>(pass_);
        EvoHandOver<AscendC::HardEvent::V_MTE3>(pass_);
        EvoStore(x_->p[slot_][at], p_[pass_], a.rows, a.columns, t_.tileK, t_.tileK);
        EvoStore(x_->ds[slot_][at], ds_[pass_], a.rows, a.columns, t_.tileK, t_.tileK);
        AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(pass_);
        EvoSerial();
    }

    EvoTiling t_;
    EvoBackwardGlobals<T>* x_;
    AscendC::TBuf<AscendC::TPosition::VECCALC> ub_;
    Floats s_[2], dp_[2], mask_[2], lse_[2], delta_[2], bias_, dbias_, rowsLse_, rowsDelta_;
    AscendC::LocalTensor<T> p_[2], ds_[2];
    uint32_t first_ = 0, rows_ = 0, columns_ = 0, q0_ = 0, slot_ = 0, pass_ = 0;
};
#endif
