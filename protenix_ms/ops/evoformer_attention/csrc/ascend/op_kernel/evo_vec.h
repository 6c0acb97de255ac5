// SPDX-License-Identifier: Apache-2.0
// Vector arithmetic on tiles of rows: float [rows, stride], of which the first `columns` count.
//
// One instruction serves 64 columns of all rows (its repeats are the rows); a tail of columns is a
// shorter mask, so what lies beyond is neither read nor needed. Dependent instructions of the
// vector pipe need PipeBarrier<PIPE_V> between them: callers place it.
#ifndef EVO_VEC_H
#define EVO_VEC_H
#include "evo_sync.h"

constexpr float EVO_LOWEST = -1.0e30f;  // of a row before its first key
constexpr float EVO_NO_KEY = 1.0e30f;   // log-sum-exp of a row without keys: exp(x - this) is zero

// Strips of w columns from x on, and rows r to r + n in one instruction.
#define EVO_STRIPS(x, w, columns, r, n, rows)                                                       \
    for (uint32_t x = 0; x < (columns); x += EVO_FLAG_COLUMNS)                                      \
        for (uint32_t w = EvoMin(EVO_FLAG_COLUMNS, (columns) - x), r = 0, n = EVO_OPT_LEVEL0 ? (rows) : 1; \
             r < (rows); r += n)

class EvoRows {
 public:
    using Floats = AscendC::LocalTensor<float>;
    uint32_t rows, columns, stride;

    static __aicore__ inline void Wait() { AscendC::PipeBarrier<PIPE_V>(); }

    __aicore__ inline void Scale(const Floats& s, float factor) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Muls(s[r * stride + x], s[r * stride + x], factor, w, n, One(Blocks(), Blocks()));
        }
    }
    __aicore__ inline void Exponential(const Floats& s) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Exp(s[r * stride + x], s[r * stride + x], w, n, One(Blocks(), Blocks()));
        }
    }
    __aicore__ inline void Plus(const Floats& s, const Floats& other) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Add(s[r * stride + x], s[r * stride + x], other[r * stride + x], w, n,
                         Two(Blocks(), Blocks(), 1, Blocks()));
        }
    }
    __aicore__ inline void Times(const Floats& s, const Floats& other) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Mul(s[r * stride + x], s[r * stride + x], other[r * stride + x], w, n,
                         Two(Blocks(), Blocks(), 1, Blocks()));
        }
    }
    // s[r, x] += line[x]
    __aicore__ inline void PlusLine(const Floats& s, const Floats& line) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Add(s[r * stride + x], s[r * stride + x], line[x], w, n, Two(Blocks(), Blocks(), 1, 0));
        }
    }
    // s[r, x] op= each[r], `each` spread by Brcb to one block of eight per row.
    __aicore__ inline void MinusEach(const Floats& s, const Floats& each) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Sub(s[r * stride + x], s[r * stride + x], each[r * 8], w, n, Two(Blocks(), Blocks(), 0, 1));
        }
    }
    __aicore__ inline void TimesEach(const Floats& s, const Floats& each) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Mul(s[r * stride + x], s[r * stride + x], each[r * 8], w, n, Two(Blocks(), Blocks(), 0, 1));
        }
    }
    __aicore__ inline void OverEach(const Floats& s, const Floats& each) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Div(s[r * stride + x], s[r * stride + x], each[r * 8], w, n, Two(Blocks(), Blocks(), 0, 1));
        }
    }
    template <class T>
    __aicore__ inline void Widen(const Floats& to, const AscendC::LocalTensor<T>& from) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Cast(to[r * stride + x], from[r * stride + x], AscendC::RoundMode::CAST_NONE, w, n,
                          One(Blocks(), Blocks() / 2));
        }
    }
    template <class T>
    __aicore__ inline void Narrow(const AscendC::LocalTensor<T>& to, const Floats& from) const {
        EVO_STRIPS(x, w, columns, r, n, rows) {
            AscendC::Cast(to[r * stride + x], from[r * stride + x], AscendC::RoundMode::CAST_RINT, w, n,
                          One(Blocks() / 2, Blocks()));
        }
    }
    // What lies between the last column and the end of its strip becomes the lowest number.
    __aicore__ inline void CloseStrip(const Floats& s) const {
        uint32_t tail = columns % EVO_FLAG_COLUMNS;
        if (tail == 0) {
            return;
        }
        Wait();  // the last block of 32 bytes is shared with what was just computed
        uint64_t mask[2] = {~((1ull << tail) - 1), 0};
        AscendC::Duplicate(s[columns - tail], EVO_LOWEST, mask, static_cast<uint8_t>(rows), 1,
                           static_cast<uint8_t>(Blocks()));
    }
    // Maximum and sum of whole strips by row; `strip` [rows, 64] is scratch.
    __aicore__ inline void Largest(const Floats& to, const Floats& s, const Floats& strip) const {
        uint32_t from = Blocks();
        const Floats* source = &s;
        for (uint32_t x = EVO_FLAG_COLUMNS; x < columns; x += EVO_FLAG_COLUMNS) {
            AscendC::Max(strip, *source, s[x], 64, rows, Fold(from));
            Wait();
            source = &strip;
            from = 8;
        }
        AscendC::WholeReduceMax(to, *source, 64, rows, 1, 1, from, AscendC::ReduceOrder::ORDER_ONLY_VALUE);
    }
    __aicore__ inline void Sum(const Floats& to, const Floats& s, const Floats& strip) const {
        uint32_t from = Blocks();
        const Floats* source = &s;
        for (uint32_t x = EVO_FLAG_COLUMNS; x < columns; x += EVO_FLAG_COLUMNS) {
            AscendC::Add(strip, *source, s[x], 64, rows, Fold(from));
            Wait();
            source = &strip;
            from = 8;
        }
        AscendC::WholeReduceSum(to, *source, 64, rows, 1, 1, from);
    }
    // Each number of a column of rows, to a block of its own.
    __aicore__ inline void Spread(const Floats& to, const Floats& from) const {
        AscendC::Brcb(to, from, static_cast<uint8_t>(EvoCeil(rows, 8)), {1, 8});
    }

 private:
    __aicore__ inline uint32_t Blocks() const { return stride / 8; }
    static __aicore__ inline AscendC::UnaryRepeatParams One(uint32_t to, uint32_t from) {
        return {1, 1, static_cast<uint8_t>(to), static_cast<uint8_t>(from)};
    }
    // `blocks` and `repeat` are the strides of the second operand.
    static __aicore__ inline AscendC::BinaryRepeatParams Two(uint32_t to, uint32_t first, uint32_t blocks,
                                                             uint32_t repeat) {
        return {1, 1, static_cast<uint8_t>(blocks), static_cast<uint8_t>(to), static_cast<uint8_t>(first),
                static_cast<uint8_t>(repeat)};
    }
    __aicore__ inline AscendC::BinaryRepeatParams Fold(uint32_t from) const {
        return {1, 1, 1, 8, static_cast<uint8_t>(from), static_cast<uint8_t>(Blocks())};
    }
};

// Rows x columns of global memory, rows `stride` elements apart, to or from a tile whose rows are
// `tile` elements apart.
template <class T>
__aicore__ inline void EvoLoad(const AscendC::LocalTensor<T>& to, const AscendC::GlobalTensor<T>& from,
                               uint32_t rows, uint32_t columns, uint32_t stride, uint32_t tile) {
    uint32_t bytes = columns * sizeof(T), gap = (tile * sizeof(T) - EvoUp(bytes, 32)) / 32;
    AscendC::DataCopyExtParams p{static_cast<uint16_t>(rows), bytes,
                                 static_cast<uint32_t>((stride - columns) * sizeof(T)), gap, 0};
    AscendC::DataCopyPadExtParams<T> none{false, 0, 0, T()};
    AscendC::DataCopyPad(to, from, p, none);
}
template <class T>
__aicore__ inline void EvoStore(const AscendC::GlobalTensor<T>& to, const AscendC::LocalTensor<T>& from,
                                uint32_t rows, uint32_t columns, uint32_t stride, uint32_t tile) {
    uint32_t bytes = columns * sizeof(T), gap = (tile * sizeof(T) - EvoUp(bytes, 32)) / 32;
    AscendC::DataCopyExtParams p{static_cast<uint16_t>(rows), bytes, gap,
                                 static_cast<uint32_t>((stride - columns) * sizeof(T)), 0};
    AscendC::DataCopyPad(to, from, p);
}
#endif
