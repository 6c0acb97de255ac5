// SPDX-License-Identifier: Apache-2.0
// Part of kernel_operator.h: the cube core. L0A holds 16x16 fractals by rows of fractals (zZ),
// L0B by rows with each fractal transposed (nZ), L0C by columns (Nz).

struct LoadData2DParams {
    uint16_t startIndex = 0;
    uint8_t repeatTimes = 0;
    uint16_t srcStride = 0;
    uint8_t sid = 0;
    uint16_t dstGap = 0;
    bool ifTranspose = false;
    uint8_t addrMode = 0;
};
struct MmadParams {
    uint16_t m = 0, n = 0, k = 0;
    bool isBias = false;
    int32_t fmOffset = 0;
    uint8_t unitFlag = 0;
    bool cmatrixSource = false, cmatrixInitVal = true;
};
struct FixpipeParamsV220 {
    uint16_t nSize = 0, mSize = 0, srcStride = 0;
    uint32_t dstStride = 0;
    uint8_t quantPre = 0;
    uint64_t deqScalar = 0;
    uint16_t ndNum = 1, srcNdStride = 0, dstNdStride = 0;
    bool reluEn = false;
    uint8_t unitFlag = 0;
};
struct FixpipeConfig {};
constexpr FixpipeConfig CFG_ROW_MAJOR{};

template <class T>
void LoadData(const LocalTensor<T>& dst, const LocalTensor<T>& src, const LoadData2DParams& p, EMU_LINE) {
    static_assert(sizeof(T) == 2);
    Instruction in(PIPE_MTE1, "LoadData", line);
    Check((dst.place == Place::L0A || dst.place == Place::L0B) && src.place == Place::L1, in.Where(), "places");
    Check(dst.at % 512 == 0 && src.at % 32 == 0 && p.repeatTimes >= 1, in.Where(), "alignment or repeat");
    uint32_t stride = emu::Number("fractal stride", line, p.srcStride);
    for (uint32_t i = 0; i < p.repeatTimes; ++i) {
        uint64_t a = dst.at + static_cast<uint64_t>(i) * (1 + p.dstGap) * 512;
        uint64_t b = src.at + (p.startIndex + static_cast<uint64_t>(i) * stride) * 512;
        in.Bounds(*dst.region, a, 512, dst.end);
        in.Bounds(*src.region, b, 512, src.end);
        in.Read(*src.region, b, 512, false);
        in.Write(*dst.region, a, 512);
        if (!p.ifTranspose) {
            Move(*dst.region, a, *src.region, b, 512);
            continue;
        }
        for (uint32_t x = 0; x < 256; ++x)
            Move(*dst.region, a + x * 2, *src.region, b + (x % 16 * 16 + x / 16) * 2, 2);
    }
    in.core().count.mte1 += p.repeatTimes * 512ull;
}

// Rows and columns of the result are known if all they are made of is.
template <class T>
void Mmad(const LocalTensor<float>& c, const LocalTensor<T>& a, const LocalTensor<T>& b,
          const MmadParams& p, EMU_LINE) {
    Instruction in(PIPE_M, "Mmad", line);
    Check(c.place == Place::L0C && a.place == Place::L0A && b.place == Place::L0B, in.Where(), "places");
    Check(p.m > 1 && p.n && p.k, in.Where(), "m of 1 means a vector product, 0 nothing");
    Check(a.at % 512 == 0 && b.at % 512 == 0 && c.at % 1024 == 0, in.Where(), "alignment");
    uint32_t m = p.m, n = p.n, k = p.k, mA = (m + 15) / 16 * 16, nA = (n + 15) / 16 * 16, kA = (k + 15) / 16 * 16;
    in.Bounds(*a.region, a.at, mA * kA * 2, a.end);
    in.Bounds(*b.region, b.at, nA * kA * 2, b.end);
    in.Bounds(*c.region, c.at, mA * nA * 4, c.end);
    in.Read(*a.region, a.at, mA * kA * 2, false);
    in.Read(*b.region, b.at, nA * kA * 2, false);
    if (!p.cmatrixInitVal) in.Read(*c.region, c.at, mA * nA * 4, false);
    in.Write(*c.region, c.at, mA * nA * 4);
    std::vector<float> left(m * k), right(k * n), sum(n);
    std::vector<uint8_t> rowKnown(m, 1), columnKnown(n, 1);
    for (uint32_t i = 0; i < m; ++i)
        for (uint32_t x = 0; x < k; ++x) {
            uint32_t e = (i / 16 * (kA / 16) + x / 16) * 256 + i % 16 * 16 + x % 16;
            left[i * k + x] = static_cast<float>(a.raw()[e]);
            rowKnown[i] &= a.region->written[a.at / 2 + e];
        }
    for (uint32_t x = 0; x < k; ++x)
        for (uint32_t j = 0; j < n; ++j) {
            uint32_t e = (x / 16 * (nA / 16) + j / 16) * 256 + j % 16 * 16 + x % 16;
            right[x * n + j] = static_cast<float>(b.raw()[e]);
            columnKnown[j] &= b.region->written[b.at / 2 + e];
        }
    for (uint32_t i = 0; i < m; ++i) {
        std::fill(sum.begin(), sum.end(), 0.f);
        for (uint32_t x = 0; x < k; ++x) {
            float l = left[i * k + x];
            for (uint32_t j = 0; j < n; ++j) sum[j] += l * right[x * n + j];
        }
        for (uint32_t j = 0; j < n; ++j) {
            uint32_t e = j / 16 * mA * 16 + i * 16 + j % 16;
            uint8_t* known = &c.region->written[c.at / 2 + e * 2];
            bool ok = rowKnown[i] && columnKnown[j] && (p.cmatrixInitVal || known[0]);
            c.raw()[e] = sum[j] + (p.cmatrixInitVal ? 0.f : c.raw()[e]);
            known[0] = known[1] = ok;
        }
    }
    in.core().count.mmad += static_cast<uint64_t>(mA / 16) * (nA / 16) * (kA / 16);
}

template <class To, class From, const FixpipeConfig& CONFIG>
void Fixpipe(const GlobalTensor<To>& dst, const LocalTensor<From>& src, const FixpipeParamsV220& p, EMU_LINE) {
    static_assert(sizeof(To) == 4 && sizeof(From) == 4);
    Instruction in(PIPE_FIX, "Fixpipe", line);
    Check(src.place == Place::L0C && src.at % 64 == 0, in.Where(), "source");
    Check(p.nSize && p.nSize % 16 == 0 && p.mSize && p.mSize <= 8192 && p.ndNum == 1, in.Where(), "sizes");
    bool atomic = in.core().atomic;
    uint32_t ld = emu::Number("fixpipe rows", line, p.dstStride), column = emu::Number("fixpipe source", line, p.srcStride);
    for (uint32_t i = 0; i < p.mSize; ++i) {
        uint64_t to = dst.at + static_cast<uint64_t>(i) * ld * 4;
        in.Bounds(*dst.region, to, p.nSize * 4ull, dst.end);
        in.Write(*dst.region, to, p.nSize * 4ull, atomic);
        for (uint32_t j = 0; j < p.nSize; j += 16) {
            uint64_t from = src.at + (static_cast<uint64_t>(j / 16) * column + i) * 64;
            in.Bounds(*src.region, from, 64, src.end);
            in.Read(*src.region, from, 64, atomic);
            if (!atomic) {
                Move(*dst.region, to + j * 4, *src.region, from, 64);
                continue;
            }
            Check(dst.region->Known(to + j * 4, 64), in.Where(), "atomic addition to what nobody wrote");
            for (uint32_t x = 0; x < 64; x += 4)
                *reinterpret_cast<float*>(dst.region->data + to + j * 4 + x) += *reinterpret_cast<float*>(src.region->data + from + x);
        }
    }
    in.core().count.fix += static_cast<uint64_t>(p.mSize) * p.nSize * 4;
}
