// SPDX-License-Identifier: Apache-2.0
// Part of kernel_operator.h: transfers between global memory and a core's memories.

struct DataCopyExtParams {
    uint16_t blockCount = 1;
    uint32_t blockLen = 0, srcStride = 0, dstStride = 0, rsv = 0;
};
template <class T>
struct DataCopyPadExtParams {
    bool isPad = false;
    uint8_t leftPadding = 0, rightPadding = 0;
    T paddingValue{};
};
struct Nd2NzParams {
    uint16_t ndNum = 0, nValue = 0, dValue = 0, srcNdMatrixStride = 0, srcDValue = 0,
             dstNzC0Stride = 0, dstNzNStride = 0, dstNzMatrixStride = 0;
};

// What was written stays known, what was not stays unknown: a copy judges nothing.
inline void Move(Region& to, uint64_t a, const Region& from, uint64_t b, uint64_t bytes) {
    std::memcpy(to.data + a, from.data + b, bytes);
    for (uint64_t i = 0; i < bytes; i += 2)
        to.written[(a + i) / 2] = from.constant ? 1 : from.written[(b + i) / 2];
}

inline void CheckCopy(Instruction& in, const DataCopyExtParams& p, uint64_t local) {
    Check(p.blockCount >= 1 && p.blockCount <= 4095 && p.blockLen >= 1 && p.blockLen <= 2097151,
          in.Where(), "block count or length out of range");
    Check(local % 32 == 0, in.Where(), "address in the unified buffer is not aligned to 32 bytes");
}

template <class T>
void DataCopyPad(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const DataCopyExtParams& p,
                 const DataCopyPadExtParams<T>& pad, EMU_LINE) {
    Instruction in(PIPE_MTE2, "DataCopyPad", line);
    CheckCopy(in, p, dst.at);
    Check(!pad.isPad, in.Where(), "padding with a value is not modelled");
    uint32_t gap = emu::Number("load gap", line, p.srcStride), room = (p.blockLen + 31) / 32 * 32;
    for (uint32_t i = 0; i < p.blockCount; ++i) {
        uint64_t a = dst.at + static_cast<uint64_t>(i) * (room + p.dstStride * 32);
        uint64_t b = src.at + static_cast<uint64_t>(i) * (p.blockLen + gap);
        in.Bounds(*src.region, b, p.blockLen, src.end);
        in.Bounds(*dst.region, a, room, dst.end);
        in.Read(*src.region, b, p.blockLen, false);
        in.Write(*dst.region, a, room);
        Move(*dst.region, a, *src.region, b, p.blockLen);
        for (uint64_t x = p.blockLen; x < room; x += 2) {  // hardware leaves anything there
            dst.region->written[(a + x) / 2] = 0;
            dst.region->data[a + x] = dst.region->data[a + x + 1] = 0xFF;
        }
    }
    in.core().count.mte2 += static_cast<uint64_t>(p.blockCount) * p.blockLen;
}

template <class T>
void DataCopyPad(const GlobalTensor<T>& dst, const LocalTensor<T>& src, const DataCopyExtParams& p,
                 EMU_LINE) {
    Instruction in(PIPE_MTE3, "DataCopyPad", line);
    CheckCopy(in, p, src.at);
    uint32_t gap = emu::Number("store gap", line, p.dstStride), room = (p.blockLen + 31) / 32 * 32;
    bool atomic = in.core().atomic;
    for (uint32_t i = 0; i < p.blockCount; ++i) {
        uint64_t a = dst.at + static_cast<uint64_t>(i) * (p.blockLen + gap);
        uint64_t b = src.at + static_cast<uint64_t>(i) * (room + p.srcStride * 32);
        in.Bounds(*dst.region, a, p.blockLen, dst.end);
        in.Bounds(*src.region, b, p.blockLen, src.end);
        in.Read(*src.region, b, p.blockLen, true);
        in.Write(*dst.region, a, p.blockLen, atomic);
        if (!atomic) {
            Move(*dst.region, a, *src.region, b, p.blockLen);
            continue;
        }
        Check(sizeof(T) == 4 && dst.region->Known(a, p.blockLen), in.Where(), "atomic addition to what nobody wrote");
        for (uint64_t x = 0; x < p.blockLen; x += 4)
            *reinterpret_cast<float*>(dst.region->data + a + x) += *reinterpret_cast<float*>(src.region->data + b + x);
    }
    in.core().count.mte3 += static_cast<uint64_t>(p.blockCount) * p.blockLen;
}

// Rows of global memory become 16-column fractals in L1; columns are filled with zeros to 32 bytes.
template <class T>
void DataCopy(const LocalTensor<T>& dst, const GlobalTensor<T>& src, const Nd2NzParams& p, EMU_LINE) {
    Instruction in(PIPE_MTE2, "DataCopy Nd2Nz", line);
    Check(dst.place == Place::L1 && p.ndNum == 1 && dst.at % 32 == 0, in.Where(), "destination");
    Check(p.nValue >= 1 && p.nValue <= 16384 && p.dValue >= 1 && p.srcDValue >= 1 &&
          p.dstNzC0Stride >= 1 && p.dstNzC0Stride <= 16384, in.Where(), "parameters out of range");
    uint32_t c0 = emu::Number("nz stride", line, p.dstNzC0Stride);
    uint32_t per = 32 / sizeof(T), ld = emu::Number("nz rows", line, p.srcDValue);
    for (uint32_t n = 0; n < p.nValue; ++n) {
        uint64_t b = src.at + static_cast<uint64_t>(n) * ld * sizeof(T);
        in.Bounds(*src.region, b, p.dValue * sizeof(T), src.end);
        in.Read(*src.region, b, p.dValue * sizeof(T), false);
        for (uint32_t d = 0; d < p.dValue; d += per) {
            uint64_t a = dst.at + (static_cast<uint64_t>(d / per) * c0 + n * p.dstNzNStride) * 32;
            uint32_t bytes = std::min(per, p.dValue - d) * sizeof(T);
            in.Bounds(*dst.region, a, 32, dst.end);
            in.Write(*dst.region, a, 32);
            std::memset(dst.region->data + a, 0, 32);
            std::fill_n(dst.region->written.begin() + a / 2, 16, 1);
            Move(*dst.region, a, *src.region, b + d * sizeof(T), bytes);
        }
    }
    in.core().count.mte2 += static_cast<uint64_t>(p.nValue) * p.dValue * sizeof(T);
}
