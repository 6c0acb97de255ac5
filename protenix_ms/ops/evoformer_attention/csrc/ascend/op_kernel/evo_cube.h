// SPDX-License-Identifier: Apache-2.0
// Matrix products of the cube core on tiles in L1, ping-pong in L0A, L0B and L0C.
//
// Tiles lie in L1 as the hardware wants them: columns of 16x16 fractals (Nz), rows padded to
// `rows`, a multiple of 16. Events: MTE1_M 0 and 1 and M_MTE1 4 and 5 by slot of L0A/L0B, FIX_M and
// M_FIX 0 and 1 by slot of L0C. TPipe itself sets M_MTE1 0 to 2 when made and waits for them in the
// end, so those are not ours to set.
#ifndef EVO_CUBE_H
#define EVO_CUBE_H
#include "evo_sync.h"

constexpr int32_t EVO_L0_FREE = 4;

template <class T>
class EvoCube {
 public:
    __aicore__ inline void Init(AscendC::TPipe* pipe) {
        pipe->InitBuffer(bufferA_, 2 * EVO_L0_SLOT);
        pipe->InitBuffer(bufferB_, 2 * EVO_L0_SLOT);
        pipe->InitBuffer(bufferC_, 2 * EVO_L0C_SLOT);
        for (uint32_t i = 0; i < 2; ++i) {
            a_[i] = bufferA_.template GetWithOffset<T>(EVO_L0_SLOT / sizeof(T), i * EVO_L0_SLOT);
            b_[i] = bufferB_.template GetWithOffset<T>(EVO_L0_SLOT / sizeof(T), i * EVO_L0_SLOT);
            c_[i] = bufferC_.template GetWithOffset<float>(EVO_L0C_SLOT / 4, i * EVO_L0C_SLOT);
            AscendC::SetFlag<AscendC::HardEvent::M_MTE1>(EVO_L0_FREE + i);
            AscendC::SetFlag<AscendC::HardEvent::FIX_M>(i);
        }
    }
    __aicore__ inline void Drain() {
        for (uint32_t i = 0; i < 2; ++i) {
            AscendC::WaitFlag<AscendC::HardEvent::M_MTE1>(EVO_L0_FREE + i);
            AscendC::WaitFlag<AscendC::HardEvent::FIX_M>(i);
        }
    }

    // Row-major global [n, columns] with rows `stride` apart, to L1; D is padded with zeros.
    static __aicore__ inline void ToL1(const AscendC::LocalTensor<T>& to, const AscendC::GlobalTensor<T>& from,
                                       uint32_t n, uint32_t columns, uint32_t stride) {
        AscendC::Nd2NzParams p;
        p.ndNum = 1;
        p.nValue = n;
        p.dValue = columns;
        p.srcNdMatrixStride = 0;
        p.srcDValue = stride;
        p.dstNzC0Stride = EvoUp(n, 16);
        p.dstNzNStride = 1;
        p.dstNzMatrixStride = 0;
        AscendC::DataCopy(to, from, p);
    }

    // Before the loads of one product's operands.
    __aicore__ inline void Open() { AscendC::WaitFlag<AscendC::HardEvent::M_MTE1>(EVO_L0_FREE + l0_); }

    // A = X[:, k0 : k0 + k], X of `rows` rows.
    __aicore__ inline void LeftAs(const AscendC::LocalTensor<T>& x, uint32_t rows, uint32_t k0, uint32_t k) {
        AscendC::LoadData2DParams p = Load(k / 16, rows / 16, false);
        for (uint32_t i = 0; i < rows / 16; ++i) {
            AscendC::LoadData(a_[l0_][i * 16 * k], x[k0 * rows + i * 256], p);
        }
    }
    // A = X^T, X [rows, columns].
    __aicore__ inline void LeftTransposed(const AscendC::LocalTensor<T>& x, uint32_t rows, uint32_t columns) {
        AscendC::LoadData2DParams p = Load(rows / 16, 1, true);
        for (uint32_t i = 0; i < columns / 16; ++i) {
            AscendC::LoadData(a_[l0_][i * 16 * rows], x[i * 16 * rows], p);
        }
    }
    // B = X[k0 : k0 + k, :columns], X of `rows` rows.
    __aicore__ inline void RightAs(const AscendC::LocalTensor<T>& x, uint32_t rows, uint32_t columns, uint32_t k0,
                                   uint32_t k) {
        AscendC::LoadData2DParams p = Load(columns / 16, rows / 16, true);
        for (uint32_t i = 0; i < k / 16; ++i) {
            AscendC::LoadData(b_[l0_][i * 16 * columns], x[(k0 / 16 + i) * 256], p);
        }
    }
    // B = X[n0 : n0 + n, :columns]^T, X of `rows` rows.
    __aicore__ inline void RightTransposed(const AscendC::LocalTensor<T>& x, uint32_t rows, uint32_t columns,
                                           uint32_t n0, uint32_t n) {
        AscendC::LoadData2DParams p = Load(n / 16, 1, false);
        for (uint32_t i = 0; i < columns / 16; ++i) {
            AscendC::LoadData(b_[l0_][i * 16 * n], x[i * 16 * rows + n0 * 16], p);
        }
    }

    // C = A B, or C += A B. The tail of a fractal beyond k is ignored by the hardware; m is a
    // multiple of 16, because an m of 1 would mean another instruction.
    __aicore__ inline void Multiply(uint32_t m, uint32_t n, uint32_t k, bool first) {
        EvoHandOver<AscendC::HardEvent::MTE1_M>(l0_);
        if (first) {
            AscendC::WaitFlag<AscendC::HardEvent::FIX_M>(lc_);
        } else {
            AscendC::PipeBarrier<PIPE_M>();
        }
        AscendC::MmadParams p;
        p.m = m;
        p.n = n;
        p.k = k;
        p.cmatrixInitVal = first;
        AscendC::Mmad(c_[lc_], a_[l0_], b_[l0_], p);
        AscendC::SetFlag<AscendC::HardEvent::M_MTE1>(EVO_L0_FREE + l0_);
        l0_ ^= 1;
        EvoSerial();
    }
    // The first rows x columns of C, a tile of m rows, to global memory.
    __aicore__ inline void Store(const AscendC::GlobalTensor<float>& to, uint32_t rows, uint32_t columns,
                                 uint32_t stride, uint32_t m) {
        EvoHandOver<AscendC::HardEvent::M_FIX>(lc_);
        AscendC::FixpipeParamsV220 p;
        p.nSize = columns;
        p.mSize = rows;
        p.srcStride = m;
        p.dstStride = stride;
        p.ndNum = 1;
        AscendC::Fixpipe<float, float, AscendC::CFG_ROW_MAJOR>(to, c_[lc_], p);
        AscendC::SetFlag<AscendC::HardEvent::FIX_M>(lc_);
        lc_ ^= 1;
        EvoSerial();
    }

 private:
    static __aicore__ inline AscendC::LoadData2DParams Load(uint32_t repeat, uint32_t stride, bool transpose) {
        AscendC::LoadData2DParams p;
        p.startIndex = 0;
        p.repeatTimes = repeat;
        p.srcStride = stride;
        p.dstGap = 0;
        p.ifTranspose = transpose;
        return p;
    }
    AscendC::TBuf<AscendC::TPosition::A2> bufferA_;
    AscendC::TBuf<AscendC::TPosition::B2> bufferB_;
    AscendC::TBuf<AscendC::TPosition::CO1> bufferC_;
    AscendC::LocalTensor<T> a_[2], b_[2];
    AscendC::LocalTensor<float> c_[2];
    uint32_t l0_ = 0, lc_ = 0;
};
#endif
