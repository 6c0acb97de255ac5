// SPDX-License-Identifier: Apache-2.0
// Backward, cube core: S and dP of the next group while the vector cores work on this one, then
// dv += P^T dO, dk += dS^T Q, dq += dS K, added atomically into fp32 gradients (dq and dk without
// the scale of the logits). Events between L1 and L0A/L0B: inputs 0-1, P and dS 2-3. None guards P
// and dS against overwriting: those of two groups later come only after this group's gradients.
#ifndef EVO_BACKWARD_CUBE_H
#define EVO_BACKWARD_CUBE_H
#include "evo_cube.h"

template <class T>
struct EvoBackwardGlobals {
    AscendC::GlobalTensor<T> q, k, v, bias, dout;
    AscendC::GlobalTensor<float> mask, lse, delta, dq, dk, dv, dbias;
    AscendC::GlobalTensor<uint8_t> flags;
    AscendC::GlobalTensor<float> s[2], dp[2];
    AscendC::GlobalTensor<T> p[2], ds[2];
};

// One tile of the bias and the groups, from `begin` to `end`, that share it.
struct EvoUnit {
    uint32_t h, qt, kt, bias, begin, end;
};

__aicore__ inline EvoUnit EvoUnitOf(const EvoTiling& t, uint32_t id) {
    EvoUnit u;
    uint32_t segment = id % t.segments;
    id /= t.segments;
    u.kt = id % t.nk;
    id /= t.nk;
    u.qt = id % t.nq;
    id /= t.nq;
    u.h = id % t.H;
    u.bias = id / t.H;
    u.begin = u.bias * t.biasDiv + segment * t.perSegment;
    u.end = EvoMin(u.begin + t.perSegment, (u.bias + 1) * t.biasDiv);
    return u;
}

// The first group from g on whose keys of this tile are not all masked, or u.end.
__aicore__ inline uint32_t EvoNextGroup(const EvoTiling& t, const AscendC::GlobalTensor<uint8_t>& flags,
                                        const EvoUnit& u, uint32_t g) {
    while (g < u.end && EvoTileState(t, flags, g, u.kt) == 0) {
        ++g;
    }
    return g;
}

template <class T>
class EvoBackwardCube {
 public:
    __aicore__ inline void Process(const EvoTiling& t, EvoBackwardGlobals<T>& x, AscendC::TPipe* pipe) {
        t_ = t;
        x_ = &x;
        EvoBackwardL1 at = EvoBackwardL1Layout(t.tileQ, t.tileK, t.Dp);
        pipe->InitBuffer(l1_, at.end);
        for (uint32_t i = 0; i < 2; ++i) {
            q_[i] = l1_.template GetWithOffset<T>(t.tileQ * t.Dp, at.q[i]);
            k_[i] = l1_.template GetWithOffset<T>(t.tileK * t.Dp, at.k[i]);
            v_[i] = l1_.template GetWithOffset<T>(t.tileK * t.Dp, at.v[i]);
            dout_[i] = l1_.template GetWithOffset<T>(t.tileQ * t.Dp, at.dout[i]);
            p_[i] = l1_.template GetWithOffset<T>(t.tileQ * t.tileK, at.p[i]);
            ds_[i] = l1_.template GetWithOffset<T>(t.tileQ * t.tileK, at.ds[i]);
        }
        cube_.Init(pipe);
        for (int32_t id = 0; id < 2; ++id) {
            AscendC::SetFlag<AscendC::HardEvent::MTE1_MTE2>(id);
        }
        AscendC::SyncAll<false>();  // the vector cores fill the gradients with zeros
        EvoRange units = EvoTasks(t_);
        for (uint32_t id = units.begin; id < units.end; ++id) {
            Unit(EvoUnitOf(t_, id));
        }
        for (int32_t id = 0; id < 2; ++id) {
            AscendC::WaitFlag<AscendC::HardEvent::MTE1_MTE2>(id);
        }
        cube_.Drain();
    }

 private:
    __aicore__ inline void Unit(const EvoUnit& u) {
        rows_ = EvoMin(t_.tileQ, t_.Sq - u.qt * t_.tileQ);
        columns_ = EvoMin(t_.tileK, t_.Sk - u.kt * t_.tileK);
        m_ = EvoUp(rows_, 16);
        n_ = EvoUp(columns_, 16);
        uint32_t g = EvoNextGroup(t_, x_->flags, u, u.begin);
        if (g < u.end) {
            Scores(u, g, slot_);
        }
        while (g < u.end) {
            uint32_t next = EvoNextGroup(t_, x_->flags, u, g + 1);
            if (next < u.end) {
                Scores(u, next, slot_ ^ 1);
            }
            Gradients(u, g, slot_);
            slot_ ^= 1;
            g = next;
        }
    }
    __aicore__ inline uint64_t Row(uint32_t g, uint32_t length, uint32_t first) const {
        return static_cast<uint64_t>(g) * length + first;
    }
    // S = Q K^T and dP = dO V^T.
    __aicore__ inline void Scores(const EvoUnit& u, uint32_t g, uint32_t slot) {
        uint32_t width = t_.H * t_.D, head = u.h * t_.D;
        uint64_t query = Row(g, t_.Sq, u.qt * t_.tileQ) * width + head;
        uint64_t key = Row(g, t_.Sk, u.kt * t_.tileK) * width + head;
        AscendC::WaitFlag<AscendC::HardEvent::MTE1_MTE2>(slot);
        cube_.ToL1(q_[slot], x_->q[query], rows_, t_.D, width);
        cube_.ToL1(k_[slot], x_->k[key], columns_, t_.D, width);
        cube_.ToL1(dout_[slot], x_->dout[query], rows_, t_.D, width);
        cube_.ToL1(v_[slot], x_->v[key], columns_, t_.D, width);
        EvoHandOver<AscendC::HardEvent::MTE2_MTE1>(slot);
        EvoSerial();
        Product(q_[slot], k_[slot], x_->s[slot]);
        Product(dout_[slot], v_[slot], x_->dp[slot]);
        AscendC::CrossCoreSetFlag<2, PIPE_FIX>(EVO_SCORES + slot);
    }
    __aicore__ inline void Product(const AscendC::LocalTensor<T>& left, const AscendC::LocalTensor<T>& right,
                                   const AscendC::GlobalTensor<float>& to) {
        cube_.Open();
        cube_.LeftAs(left, m_, 0, t_.Dp);
        cube_.RightTransposed(right, n_, t_.Dp, 0, n_);
        cube_.Multiply(m_, n_, t_.Dp, true);
        cube_.Store(to, rows_, n_, t_.tileK, m_);
    }
    __aicore__ inline void Gradients(const EvoUnit& u, uint32_t g, uint32_t slot) {
        uint32_t width = t_.H * t_.Dp, head = u.h * t_.Dp;
        uint64_t query = Row(g, t_.Sq, u.qt * t_.tileQ) * width + head;
        uint64_t key = Row(g, t_.Sk, u.kt * t_.tileK) * width + head;
        AscendC::CrossCoreWaitFlag(EVO_WEIGHTS + slot);
        cube_.ToL1(p_[slot], x_->p[slot], rows_, columns_, t_.tileK);
        cube_.ToL1(ds_[slot], x_->ds[slot], rows_, columns_, t_.tileK);
        EvoHandOver<AscendC::HardEvent::MTE2_MTE1>(2 + slot);
        EvoSerial();
        AscendC::SetAtomicAdd<float>();
        OfKeys(p_[slot], dout_[slot], x_->dv[key]);
        OfKeys(ds_[slot], q_[slot], x_->dk[key]);
        cube_.Open();
        cube_.LeftAs(ds_[slot], m_, 0, n_);
        cube_.RightAs(k_[slot], n_, t_.Dp, 0, n_);
        cube_.Multiply(m_, t_.Dp, columns_, true);
        AscendC::SetFlag<AscendC::HardEvent::MTE1_MTE2>(slot);
        cube_.Store(x_->dq[query], rows_, t_.Dp, width, m_);
        AscendC::SetAtomicNone();
    }
    // Added to a gradient of keys or values: weights^T x, over the rows of this tile.
    __aicore__ inline void OfKeys(const AscendC::LocalTensor<T>& weights, const AscendC::LocalTensor<T>& x,
                                  const AscendC::GlobalTensor<float>& to) {
        cube_.Open();
        cube_.LeftTransposed(weights, m_, n_);
        cube_.RightAs(x, m_, t_.Dp, 0, m_);
        cube_.Multiply(n_, t_.Dp, rows_, true);
        cube_.Store(to, columns_, t_.Dp, t_.H * t_.Dp, n_);
    }

    EvoTiling t_;
    EvoBackwardGlobals<T>* x_;
    EvoCube<T> cube_;
    AscendC::TBuf<AscendC::TPosition::A1> l1_;
    AscendC::LocalTensor<T> q_[2], k_[2], v_[2], dout_[2], p_[2], ds_[2];
    uint32_t rows_ = 0, columns_ = 0, m_ = 0, n_ = 0, slot_ = 0;
};
#endif
