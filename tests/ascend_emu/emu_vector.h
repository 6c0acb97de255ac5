// SPDX-License-Identifier: Apache-2.0
// Part of kernel_operator.h: the vector pipe. An instruction repeats over groups of up to 256 bytes;
// strides between the 32-byte blocks of a group and between groups are in blocks.

// A stride, which a mutation may change where it matters.
inline uint32_t Stride(const char* kind, int line, uint32_t repeat, uint32_t value) {
    return repeat > 1 ? emu::Number(kind, line, value) : value;
}

struct UnaryRepeatParams {
    uint16_t dstBlkStride = 1, srcBlkStride = 1;
    uint8_t dstRepStride = 8, srcRepStride = 8;
};
struct BinaryRepeatParams {
    uint8_t dstBlkStride = 1, src0BlkStride = 1, src1BlkStride = 1, dstRepStride = 8,
            src0RepStride = 8, src1RepStride = 8;
};
struct BrcbRepeatParams {
    uint16_t dstBlkStride = 1, dstRepStride = 8;
};

template <class T>
struct Lanes {
    const LocalTensor<T>& t;
    uint32_t block, repeat;  // strides
    static constexpr uint32_t PER = 32 / sizeof(T);

    uint64_t at(uint32_t r, uint32_t b) const { return t.at + (static_cast<uint64_t>(r) * repeat + b * block) * 32; }
    void Reach(Instruction& in, uint32_t r, uint32_t lanes, bool write) const {
        Check(t.at % 32 == 0 && t.place == Place::UB, in.Where(), "operand is not aligned to 32 bytes");
        uint32_t step = block == 1 ? lanes : PER;  // whole groups at once where blocks follow each other
        for (uint32_t x = 0; x < lanes; x += step) {
            uint64_t from = at(r, x / PER), bytes = std::min(step, lanes - x) * sizeof(T);
            in.Bounds(*t.region, from, bytes, t.end);
            if (!write) {
                in.Read(*t.region, from, bytes, true);
                continue;
            }
            in.Write(*t.region, from, bytes);
            std::fill_n(t.region->written.begin() + from / 2, bytes / 2, 1);
        }
    }
    void Get(Instruction& in, uint32_t r, uint32_t lanes, float* x) const {
        Reach(in, r, lanes, false);
        for (uint32_t i = 0; i < lanes; ++i)
            x[i] = static_cast<float>(reinterpret_cast<T*>(t.region->data + at(r, i / PER))[i % PER]);
    }
    void Put(Instruction& in, uint32_t r, uint32_t lanes, const float* x) const {
        Reach(in, r, lanes, true);
        for (uint32_t i = 0; i < lanes; ++i)
            reinterpret_cast<T*>(t.region->data + at(r, i / PER))[i % PER] = static_cast<T>(x[i]);
    }
};

inline void CheckRepeat(Instruction& in, uint64_t mask, uint32_t repeat, uint32_t most) {
    Check(mask >= 1 && mask <= most && repeat >= 1 && repeat <= 255, in.Where(), "mask ", mask, " or repeat ", repeat);
    in.core().count.vectorRepeats += repeat;
    ++in.core().count.vectorCalls;
}

template <class T, class U, class F>
void Unary(const char* name, int line, const LocalTensor<T>& dst, const LocalTensor<U>& src, uint64_t mask,
           uint32_t repeat, const UnaryRepeatParams& p, F f) {
    Instruction in(PIPE_V, name, line);
    constexpr uint32_t most = 256 / std::max(sizeof(T), sizeof(U));
    CheckRepeat(in, mask, repeat, most);
    Lanes<T> to{dst, p.dstBlkStride, Stride("vector dst", line, repeat, p.dstRepStride)};
    Lanes<U> from{src, p.srcBlkStride, Stride("vector src", line, repeat, p.srcRepStride)};
    float x[128];
    for (uint32_t r = 0; r < repeat; ++r) {
        from.Get(in, r, mask, x);
        for (uint32_t i = 0; i < mask; ++i) x[i] = f(x[i]);
        to.Put(in, r, mask, x);
    }
}
template <class T, class F>
void Binary(const char* name, int line, const LocalTensor<T>& dst, const LocalTensor<T>& a, const LocalTensor<T>& b,
            uint64_t mask, uint32_t repeat, const BinaryRepeatParams& p, F f) {
    static_assert(sizeof(T) == 4);
    Instruction in(PIPE_V, name, line);
    CheckRepeat(in, mask, repeat, 64);
    Lanes<T> to{dst, p.dstBlkStride, Stride("vector dst", line, repeat, p.dstRepStride)};
    Lanes<T> l{a, p.src0BlkStride, Stride("vector src0", line, repeat, p.src0RepStride)};
    Lanes<T> q{b, p.src1BlkStride, Stride("vector src1", line, repeat, p.src1RepStride)};
    float x[64], y[64];
    for (uint32_t r = 0; r < repeat; ++r) {
        l.Get(in, r, mask, x);
        q.Get(in, r, mask, y);
        for (uint32_t i = 0; i < mask; ++i) x[i] = f(x[i], y[i]);
        to.Put(in, r, mask, x);
    }
}
// The forms with a count of elements go over them contiguously.
template <class Call>
void Counted(uint32_t count, Call call) {
    for (uint32_t x = 0; x < count; x += 64) call(x, std::min(64u, count - x));
}

#define EMU_BINARY(NAME, EXPRESSION)                                                                            \
    template <class T>                                                                                          \
    void NAME(const LocalTensor<T>& dst, const LocalTensor<T>& a, const LocalTensor<T>& b, uint64_t mask,       \
              uint8_t repeat, const BinaryRepeatParams& p, EMU_LINE) {                                          \
        Binary(#NAME, line, dst, a, b, mask, repeat, p, [](float x, float y) { return EXPRESSION; });           \
    }                                                                                                           \
    template <class T>                                                                                          \
    void NAME(const LocalTensor<T>& dst, const LocalTensor<T>& a, const LocalTensor<T>& b, uint32_t count,      \
              EMU_LINE) {                                                                                       \
        Counted(count, [&](uint32_t x, uint32_t n) { NAME(dst[x], a[x], b[x], n, 1, BinaryRepeatParams{}, line); }); \
    }
#define EMU_UNARY(NAME, EXPRESSION)                                                                             \
    template <class T>                                                                                          \
    void NAME(const LocalTensor<T>& dst, const LocalTensor<T>& a, uint64_t mask, uint8_t repeat,                \
              const UnaryRepeatParams& p, EMU_LINE) {                                                           \
        Unary(#NAME, line, dst, a, mask, repeat, p, [](float x) { return EXPRESSION; });                        \
    }                                                                                                           \
    template <class T>                                                                                          \
    void NAME(const LocalTensor<T>& dst, const LocalTensor<T>& a, uint32_t count, EMU_LINE) {                   \
        Counted(count, [&](uint32_t x, uint32_t n) { NAME(dst[x], a[x], n, 1, UnaryRepeatParams{}, line); });   \
    }
#define EMU_SCALAR(NAME, EXPRESSION)                                                                            \
    template <class T>                                                                                          \
    void NAME(const LocalTensor<T>& dst, const LocalTensor<T>& a, T s, uint64_t mask, uint8_t repeat,           \
              const UnaryRepeatParams& p, EMU_LINE) {                                                           \
        Unary(#NAME, line, dst, a, mask, repeat, p, [s](float x) { return EXPRESSION; });                       \
    }                                                                                                           \
    template <class T>                                                                                          \
    void NAME(const LocalTensor<T>& dst, const LocalTensor<T>& a, T s, uint32_t count, EMU_LINE) {              \
        Counted(count, [&](uint32_t x, uint32_t n) { NAME(dst[x], a[x], s, n, 1, UnaryRepeatParams{}, line); }); \
    }
EMU_BINARY(Add, x + y)
EMU_BINARY(Sub, x - y)
EMU_BINARY(Mul, x * y)
EMU_BINARY(Div, x / y)
EMU_BINARY(Max, std::max(x, y))
EMU_UNARY(Exp, std::exp(x))
EMU_UNARY(Ln, std::log(x))
EMU_SCALAR(Muls, x * s)
EMU_SCALAR(Adds, x + s)
EMU_SCALAR(Maxs, std::max<float>(x, s))

template <class T, class U>
void Cast(const LocalTensor<T>& dst, const LocalTensor<U>& src, RoundMode mode, uint64_t mask, uint8_t repeat,
          const UnaryRepeatParams& p, EMU_LINE) {
    constexpr bool narrows = sizeof(T) < sizeof(U);
    Check(narrows ? mode == RoundMode::CAST_RINT : mode == RoundMode::CAST_NONE, "Cast: round mode, ", emu::Site(line));
    Unary("Cast", line, dst, src, mask, repeat, p, [](float x) { return x; });
}

template <class T>
void Duplicate(const LocalTensor<T>& dst, T value, uint64_t mask[], uint8_t repeat, uint16_t block, uint8_t rep,
               EMU_LINE) {
    static_assert(sizeof(T) == 4);
    Instruction in(PIPE_V, "Duplicate", line);
    CheckRepeat(in, 64, repeat, 64);
    Check(mask[0] != 0 && mask[1] == 0 && dst.at % 32 == 0, in.Where(), "mask or alignment");
    for (uint32_t r = 0; r < repeat; ++r)
        for (uint32_t i = 0; i < 64; ++i) {
            if (!(mask[0] >> i & 1)) continue;
            uint64_t at = dst.at + (static_cast<uint64_t>(r) * rep + i / 8 * block) * 32 + i % 8 * 4;
            in.Bounds(*dst.region, at, 4, dst.end);
            in.Write(*dst.region, at, 4);
            *reinterpret_cast<T*>(dst.region->data + at) = value;
            dst.region->written[at / 2] = dst.region->written[at / 2 + 1] = 1;
        }
}
template <class T>
void Duplicate(const LocalTensor<T>& dst, T value, uint32_t count, EMU_LINE) {
    float x[64];
    std::fill_n(x, 64, static_cast<float>(value));
    Instruction in(PIPE_V, "Duplicate", line);
    for (uint32_t at = 0; at < count; at += 64) {
        LocalTensor<T> part = dst[at];
        CheckRepeat(in, std::min(64u, count - at), 1, 64);
        Lanes<T>{part, 1, 8}.Put(in, 0, std::min(64u, count - at), x);
    }
}

template <class F>
void WholeReduce(const char* name, int line, const LocalTensor<float>& dst, const LocalTensor<float>& src, uint32_t mask,
                 uint32_t repeat, uint32_t dstRep, uint32_t srcBlk, uint32_t srcRep, F f) {
    Instruction in(PIPE_V, name, line);
    CheckRepeat(in, mask, repeat, 64);
    Lanes<float> from{src, srcBlk, Stride("vector src", line, repeat, srcRep)};
    float x[64];
    for (uint32_t r = 0; r < repeat; ++r) {
        from.Get(in, r, mask, x);
        for (uint32_t i = 1; i < mask; ++i) x[0] = f(x[0], x[i]);
        uint64_t at = dst.at + static_cast<uint64_t>(r) * dstRep * 4;
        in.Bounds(*dst.region, at, 4, dst.end);
        in.Write(*dst.region, at, 4);
        *reinterpret_cast<float*>(dst.region->data + at) = x[0];
        dst.region->written[at / 2] = dst.region->written[at / 2 + 1] = 1;
    }
}
template <class T>
void WholeReduceMax(const LocalTensor<T>& dst, const LocalTensor<T>& src, int32_t mask, int32_t repeat, int32_t dstRep,
                    int32_t srcBlk, int32_t srcRep, ReduceOrder order, EMU_LINE) {
    Check(order == ReduceOrder::ORDER_ONLY_VALUE, "WholeReduceMax with indices is not modelled");
    WholeReduce("WholeReduceMax", line, dst, src, mask, repeat, dstRep, srcBlk, srcRep,
                [](float a, float b) { return std::max(a, b); });
}
template <class T>
void WholeReduceSum(const LocalTensor<T>& dst, const LocalTensor<T>& src, int32_t mask, int32_t repeat, int32_t dstRep,
                    int32_t srcBlk, int32_t srcRep, EMU_LINE) {
    WholeReduce("WholeReduceSum", line, dst, src, mask, repeat, dstRep, srcBlk, srcRep,
                [](float a, float b) { return a + b; });
}
// Eight numbers per repeat, each spread over a block. Like a copy, it judges nothing.
template <class T>
void Brcb(const LocalTensor<T>& dst, const LocalTensor<T>& src, uint8_t repeat, const BrcbRepeatParams& p, EMU_LINE) {
    static_assert(sizeof(T) == 4);
    Instruction in(PIPE_V, "Brcb", line);
    CheckRepeat(in, 64, repeat, 64);
    Check(src.at % 32 == 0 && dst.at % 32 == 0, in.Where(), "alignment");
    for (uint32_t i = 0; i < repeat * 8u; ++i) {
        uint64_t to = dst.at + (i / 8 * p.dstRepStride + i % 8 * p.dstBlkStride) * 32ull, from = src.at + i * 4ull;
        in.Bounds(*dst.region, to, 32, dst.end);
        in.Bounds(*src.region, from, 4, src.end);
        in.Read(*src.region, from, 4, false);
        in.Write(*dst.region, to, 32);
        for (uint32_t x = 0; x < 8; ++x) Move(*dst.region, to + x * 4, *src.region, from, 4);
    }
}
