// SPDX-License-Identifier: Apache-2.0
// Forward, vector core: online softmax of its half of the queries, and the running output.
//
// The softmax of a tile precedes the update of the output with the tile before it, so that the cube
// core multiplies meanwhile. Events: V_MTE2 and MTE2_V 0-1 logits and bias by parity of the pass,
// 2 weighted values; MTE3_V and V_MTE3 0-1 weights by parity of the pass. The mask needs none: the
// logits that follow it hand it over, and those two tiles later come only after its last use.
#ifndef EVO_FORWARD_VEC_H
#define EVO_FORWARD_VEC_H
#include "evo_forward_cube.h"
#include "evo_vec.h"

template <class T>
class EvoForwardVec {
 public:
    __aicore__ inline void Process(const EvoTiling& t, EvoForwardGlobals<T>& x, AscendC::TPipe* pipe) {
        t_ = t;
        x_ = &x;
        first_ = static_cast<uint32_t>(AscendC::GetSubBlockIdx()) * t.half;
        Buffers(pipe);
        for (int32_t id = 0; id < 3; ++id) {
            AscendC::SetFlag<AscendC::HardEvent::V_MTE2>(id);
        }
        for (int32_t id = 0; id < 2; ++id) {
            AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(id);
        }
        EvoRange tasks = EvoTasks(t_);
        for (uint32_t id = tasks.begin; id < tasks.end; ++id) {
            Task(id % t_.G, id / t_.G / t_.nq, id / t_.G % t_.nq);
        }
        for (int32_t id = 0; id < 3; ++id) {
            AscendC::WaitFlag<AscendC::HardEvent::V_MTE2>(id);
        }
        for (int32_t id = 0; id < 2; ++id) {
            AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(id);
        }
    }

 private:
    using Floats = AscendC::LocalTensor<float>;

    __aicore__ inline Floats Column(uint32_t at) { return ub_.template GetWithOffset<float>(t_.half, at); }

    __aicore__ inline void Buffers(AscendC::TPipe* pipe) {
        EvoForwardBuffers at = EvoForwardLayout(t_.passRows, t_.tileK, t_.half, t_.Dp);
        uint32_t area = t_.passRows * t_.tileK;
        pipe->InitBuffer(ub_, at.end);
        for (uint32_t i = 0; i < 2; ++i) {
            s_[i] = ub_.template GetWithOffset<float>(area, at.s[i]);
            bias_[i] = ub_.template GetWithOffset<T>(area, at.bias[i]);
            p_[i] = ub_.template GetWithOffset<T>(area, at.p[i]);
            mask_[i] = ub_.template GetWithOffset<float>(t_.tileK, at.mask[i]);
            alpha_[i] = Column(at.alpha[i]);
        }
        wide_ = ub_.template GetWithOffset<float>(area, at.t);
        strip_ = ub_.template GetWithOffset<float>(t_.passRows * EVO_FLAG_COLUMNS, at.x);
        o_ = ub_.template GetWithOffset<float>(t_.half * t_.Dp, at.o);
        pv_ = ub_.template GetWithOffset<float>(t_.half * t_.Dp, at.pv);
        max_ = Column(at.m);
        sum_ = Column(at.l);
        next_ = Column(at.next);
        lse_ = Column(at.lse);
        spread_ = ub_.template GetWithOffset<float>(t_.half * 8, at.rows);
    }

    __aicore__ inline void Task(uint32_t g, uint32_t h, uint32_t qt) {
        uint32_t rows = EvoMin(t_.tileQ, t_.Sq - qt * t_.tileQ);
        rows_ = rows > first_ ? EvoMin(t_.half, rows - first_) : 0;
        q0_ = qt * t_.tileQ + first_;
        if (rows_) {
            EvoRows::Wait();
            AscendC::Duplicate(max_, EVO_LOWEST, rows_);
            AscendC::Duplicate(sum_, 0.0f, rows_);
            AscendC::Duplicate(o_, 0.0f, rows_ * t_.Dp);
            EvoRows::Wait();
        }
        bool any = false;
        for (uint32_t tile = 0; tile < t_.nk; ++tile) {
            uint32_t state = EvoTileState(t_, x_->flags, g, tile);
            if (state == 0) {
                continue;
            }
            // The handshakes take place also where this half has no rows: the cube waits for both.
            Softmax(g, h, tile, state == 1);
            if (any) {
                Update(slot_ ^ 1);
            }
            any = true;
            slot_ ^= 1;
        }
        if (any) {
            Update(slot_ ^ 1);
        }
        if (rows_) {
            Finish(g, h, any);
        }
    }

    __aicore__ inline void Softmax(uint32_t g, uint32_t h, uint32_t tile, bool masked) {
        uint32_t k0 = tile * t_.tileK, columns = EvoMin(t_.tileK, t_.Sk - k0);
        AscendC::CrossCoreWaitFlag(EVO_SCORES + slot_);
        if (rows_) {
            if (masked) {
                EvoLoad(mask_[slot_], x_->mask[static_cast<uint64_t>(g) * t_.Sk + k0], 1, columns, columns, t_.tileK);
            }
            uint64_t group = static_cast<uint64_t>(g / t_.biasDiv) * t_.H + h;
            for (uint32_t r0 = 0; r0 < rows_; r0 += t_.passRows) {
                EvoRows a{EvoMin(t_.passRows, rows_ - r0), columns, t_.tileK};
                Pass(a, r0, (group * t_.Sq + q0_ + r0) * t_.Sk + k0, masked);
                pass_ ^= 1;
            }
        }
        AscendC::CrossCoreSetFlag<2, PIPE_MTE3>(EVO_WEIGHTS + slot_);
    }

    __aicore__ inline void Pass(const EvoRows& a, uint32_t r0, uint64_t biasAt, bool masked) {
        Floats s = s_[pass_];
        AscendC::WaitFlag<AscendC::HardEvent::V_MTE2>(pass_);
        EvoLoad(s, x_->s[slot_][(first_ + r0) * t_.tileK], a.rows, a.columns, t_.tileK, t_.tileK);
        if (t_.hasBias) {
            EvoLoad(bias_[pass_], x_->bias[biasAt], a.rows, a.columns, t_.Sk, t_.tileK);
        }
        EvoHandOver<AscendC::HardEvent::MTE2_V>(pass_);
        EvoSerial();
        Logits(a, s, masked);
        Weigh(a, s, r0);
        AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(pass_);
        a.Narrow(p_[pass_], s);
        AscendC::SetFlag<AscendC::HardEvent::V_MTE2>(pass_);
        EvoHandOver<AscendC::HardEvent::V_MTE3>(pass_);
        EvoStore(x_->p[slot_][(first_ + r0) * t_.tileK], p_[pass_], a.rows, a.columns, t_.tileK, t_.tileK);
        AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(pass_);
        EvoSerial();
    }
    // s = scale * s + bias + mask
    __aicore__ inline void Logits(const EvoRows& a, const Floats& s, bool masked) {
        a.Scale(s, t_.scale);
        if (t_.hasBias) {
            EvoRows::Wait();
            a.Widen(wide_, bias_[pass_]);
            EvoRows::Wait();
            a.Plus(s, wide_);
        }
        if (masked) {
            EvoRows::Wait();
            a.PlusLine(s, mask_[slot_]);
        }
        a.CloseStrip(s);
        EvoRows::Wait();
    }
    // s = exp(s - max), with the running maximum and sum of rows r0 and on; alpha rescales what was.
    __aicore__ inline void Weigh(const EvoRows& a, const Floats& s, uint32_t r0) {
        Floats max = max_[r0], sum = sum_[r0], alpha = alpha_[slot_][r0], next = next_[r0];
        a.Largest(next, s, strip_);
        EvoRows::Wait();
        AscendC::Max(next, next, max, a.rows);
        EvoRows::Wait();
        AscendC::Sub(alpha, max, next, a.rows);
        a.Spread(spread_, next);
        EvoRows::Wait();
        AscendC::Exp(alpha, alpha, a.rows);
        AscendC::Adds(max, next, 0.0f, a.rows);
        EvoRows full{a.rows, EvoUp(a.columns, EVO_FLAG_COLUMNS), a.stride};
        full.MinusEach(s, spread_);
        EvoRows::Wait();
        full.Exponential(s);
        AscendC::Mul(sum, sum, alpha, a.rows);
        EvoRows::Wait();
        a.Sum(next, s, strip_);
        EvoRows::Wait();
        AscendC::Add(sum, sum, next, a.rows);
    }
    // o = o * alpha + weights times values of the tile that had this slot.
    __aicore__ inline void Update(uint32_t slot) {
        AscendC::CrossCoreWaitFlag(EVO_VALUES + slot);
        if (rows_ == 0) {
            return;
        }
        EvoRows a{rows_, t_.Dp, t_.Dp};
        AscendC::WaitFlag<AscendC::HardEvent::V_MTE2>(2);
        EvoLoad(pv_, x_->pv[slot][first_ * t_.Dp], 1, rows_ * t_.Dp, rows_ * t_.Dp, rows_ * t_.Dp);
        EvoRows::Wait();
        a.Spread(spread_, alpha_[slot]);
        EvoRows::Wait();
        a.TimesEach(o_, spread_);
        EvoRows::Wait();
        EvoHandOver<AscendC::HardEvent::MTE2_V>(2);
        a.Plus(o_, pv_);
        AscendC::SetFlag<AscendC::HardEvent::V_MTE2>(2);
        EvoRows::Wait();
        EvoSerial();
    }
    // The output and the log-sum-exp of the task; zero and EVO_NO_KEY where there was no key.
    __aicore__ inline void Finish(uint32_t g, uint32_t h, bool any) {
        EvoRows a{rows_, t_.Dp, t_.Dp};
        uint32_t width = t_.H * t_.D;
        AscendC::Maxs(sum_, sum_, 1.0e-30f, rows_);
        AscendC::WaitFlag<AscendC::HardEvent::MTE3_V>(0);
        EvoRows::Wait();
        a.Spread(spread_, sum_);
        AscendC::Ln(lse_, sum_, rows_);
        EvoRows::Wait();
        a.OverEach(o_, spread_);
        AscendC::Add(lse_, lse_, max_, rows_);
        EvoRows::Wait();
        a.Narrow(p_[0], o_);
        if (!any) {
            AscendC::Duplicate(lse_, EVO_NO_KEY, rows_);
        }
        EvoHandOver<AscendC::HardEvent::V_MTE3>(0);
        uint64_t row = static_cast<uint64_t>(g) * t_.Sq + q0_;
        EvoStore(x_->out[row * width + h * t_.D], p_[0], rows_, t_.D, width, t_.Dp);
        EvoStore(x_->lse[(static_cast<uint64_t>(g) * t_.H + h) * t_.Sq + q0_], lse_, 1, rows_, rows_,
                 EvoUp(rows_, 8));
        AscendC::SetFlag<AscendC::HardEvent::MTE3_V>(0);
        EvoSerial();
    }

    EvoTiling t_;
    EvoForwardGlobals<T>* x_;
    AscendC::TBuf<AscendC::TPosition::VECCALC> ub_;
    Floats s_[2], mask_[2], alpha_[2], wide_, strip_, o_, pv_, max_, sum_, next_, lse_, spread_;
    AscendC::LocalTensor<T> bias_[2], p_[2];
    uint32_t first_ = 0, rows_ = 0, q0_ = 0, slot_ = 0, pass_ = 0;
};
#endif
