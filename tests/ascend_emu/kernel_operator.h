// SPDX-License-Identifier: Apache-2.0
// The part of Ascend C that the attention kernels call, on the machine of emu_machine.h, so that
// g++ compiles their very sources. Signatures and semantics follow the public documentation of the
// A2 (NPU architecture 2201); a limit that it names is checked. Not the toolkit's header.
#ifndef EMU_KERNEL_OPERATOR_H
#define EMU_KERNEL_OPERATOR_H
#include "emu_machine.h"

#define __aicore__
#define __global__
#define __gm__
#define GM_ADDR __gm__ uint8_t*  // a macro as in the toolkit: a second name after it is no pointer
#define EMU_LINE int line = emu::Here(__builtin_FILE(), __builtin_LINE())
#define ASCEND_IS_AIC (emu::Me().cube)
#define ASCEND_IS_AIV (!emu::Me().cube)
#define KERNEL_TASK_TYPE_DEFAULT(type)
#define TILING_KEY_IS(key) (emu::machine->tilingKey == (key))
#define REGISTER_TILING_DEFAULT(T) using EmuTiling = T
#define GET_TILING_DATA(name, address) \
    EmuTiling name;                    \
    std::memcpy(&name, address, sizeof(name))

using half = _Float16;
struct bfloat16_t {
    uint16_t bits;
    bfloat16_t() = default;
    explicit bfloat16_t(float x) {
        uint32_t u;
        std::memcpy(&u, &x, 4);
        bits = std::isnan(x) ? 0x7FFF : static_cast<uint16_t>((u + 0x7FFF + (u >> 16 & 1)) >> 16);
    }
    explicit operator float() const {
        uint32_t u = static_cast<uint32_t>(bits) << 16;
        float x;
        std::memcpy(&x, &u, 4);
        return x;
    }
};
enum event_t { EVENT_ID0, EVENT_ID1, EVENT_ID2, EVENT_ID3, EVENT_ID4, EVENT_ID5, EVENT_ID6, EVENT_ID7 };

namespace AscendC {
using emu::Check;
using emu::Instruction;
using emu::Place;
using emu::Region;

enum class TPosition { GM, A1, A2, B1, B2, CO1, VECIN, VECOUT, VECCALC };
enum class RoundMode { CAST_NONE, CAST_RINT, CAST_ROUND };
enum class ReduceOrder { ORDER_VALUE_INDEX, ORDER_ONLY_VALUE };
enum class HardEvent {
    MTE2_MTE1, MTE1_MTE2, MTE1_M, M_MTE1, MTE2_V, V_MTE2, MTE3_V, V_MTE3, M_FIX, FIX_M, MTE3_MTE2,
    MTE2_MTE3, S_V, V_S, MTE2_S, S_MTE2, S_MTE3, MTE3_S,
};
struct EventPipes {
    pipe_t from, to;
};
constexpr EventPipes EVENT_PIPES[] = {
    {PIPE_MTE2, PIPE_MTE1}, {PIPE_MTE1, PIPE_MTE2}, {PIPE_MTE1, PIPE_M}, {PIPE_M, PIPE_MTE1},
    {PIPE_MTE2, PIPE_V}, {PIPE_V, PIPE_MTE2}, {PIPE_MTE3, PIPE_V}, {PIPE_V, PIPE_MTE3},
    {PIPE_M, PIPE_FIX}, {PIPE_FIX, PIPE_M}, {PIPE_MTE3, PIPE_MTE2}, {PIPE_MTE2, PIPE_MTE3},
    {PIPE_S, PIPE_V}, {PIPE_V, PIPE_S}, {PIPE_MTE2, PIPE_S}, {PIPE_S, PIPE_MTE2},
    {PIPE_S, PIPE_MTE3}, {PIPE_MTE3, PIPE_S},
};

// ---- tensors

constexpr Place PlaceOf(TPosition p) {
    return p == TPosition::A1 || p == TPosition::B1 ? Place::L1
           : p == TPosition::A2                     ? Place::L0A
           : p == TPosition::B2                     ? Place::L0B
           : p == TPosition::CO1                    ? Place::L0C
                                                    : Place::UB;
}

template <class T>
struct LocalTensor {
    Region* region = nullptr;
    uint64_t at = 0, end = 0;  // bytes
    Place place = Place::UB;

    LocalTensor operator[](uint32_t n) const {
        LocalTensor t = *this;
        t.at += static_cast<uint64_t>(n) * sizeof(T);
        return t;
    }
    template <class U>
    LocalTensor<U> ReinterpretCast() const {
        return {region, at, end, place};
    }
    T* raw(uint64_t bytes = 0) const { return reinterpret_cast<T*>(region->data + at + bytes); }
};

template <class T>
struct GlobalTensor {
    Region* region = nullptr;
    uint64_t at = 0, end = 0;

    void SetGlobalBuffer(T* p) {
        region = &emu::GlobalAt(p);
        at = reinterpret_cast<uint8_t*>(p) - region->data;
        end = region->size;
    }
    void SetGlobalBuffer(T* p, uint64_t elements) {
        SetGlobalBuffer(p);
        end = std::min(end, at + elements * sizeof(T));
    }
    GlobalTensor operator[](uint64_t n) const {
        GlobalTensor t = *this;
        t.at += n * sizeof(T);
        return t;
    }
    T GetValue(uint64_t n) const {
        Instruction in(PIPE_S, "GetValue", 0);
        ++in.core().count.scalar;
        in.Bounds(*region, at + n * sizeof(T), sizeof(T), end);
        in.Read(*region, at + n * sizeof(T), sizeof(T), true);
        T x;
        std::memcpy(&x, region->data + at + n * sizeof(T), sizeof(T));
        return x;
    }
};

class TPipe;
template <TPosition P>
class TBuf {
 public:
    template <class T>
    LocalTensor<T> Get() const {
        return GetWithOffset<T>((end_ - at_) / sizeof(T), 0, 0);
    }
    template <class T>
    LocalTensor<T> GetWithOffset(uint32_t elements, uint32_t bytes, EMU_LINE) const {
        uint64_t from = at_ + bytes, size = static_cast<uint64_t>(elements) * sizeof(T);
        Check(from + size <= end_ && bytes % 32 == 0, "a slice exceeds its TBuf or is not aligned, ", emu::Site(line));
        // L0B is cut by what it has, not by what a tile needs.
        if (P != TPosition::B2 && emu::Spoiled("shrink", line, static_cast<int>(bytes))) size -= 32;
        return {&emu::Me().at(PlaceOf(P)), from, from + size, PlaceOf(P)};
    }
    uint64_t at_ = 0, end_ = 0;
};

// On this architecture a cube core's TPipe sets M_MTE1 0 to 2 when made, for the toolkit's matrix
// classes, and waits for them when destroyed.
class TPipe {
 public:
    TPipe() {
        for (int id = 0; id < 3 && emu::Me().cube; ++id) emu::Me().events[KEY + id] = emu::Finished(PIPE_M);
    }
    ~TPipe() {
        for (int id = 0; id < 3 && emu::Me().cube; ++id)
            if (!emu::Me().events.erase(KEY + id) && emu::machine->failure.empty())
                emu::machine->failure = "an event of TPipe was consumed, M_MTE1 id " + std::to_string(id);
    }
    template <TPosition P>
    void InitBuffer(TBuf<P>& buffer, uint32_t bytes) {
        emu::Core& c = emu::Me();
        int p = static_cast<int>(PlaceOf(P));
        buffer.at_ = c.used[p];
        c.used[p] += (bytes + 31) / 32 * 32;
        buffer.end_ = c.used[p];
        Check(c.used[p] <= c.memory[p].size, "InitBuffer: ", c.used[p], " bytes asked of a memory of ",
              c.memory[p].size);
    }

 private:
    static constexpr int KEY = static_cast<int>(HardEvent::M_MTE1) * 8;
};

// ---- where we are

inline int64_t GetBlockIdx() {
    emu::Core& c = emu::Me();
    return c.cube ? c.block : c.block * 2 + c.sub;
}
inline int64_t GetBlockNum() { return emu::machine->blocks; }
inline int64_t GetSubBlockIdx() { return emu::Me().sub; }
inline GM_ADDR GetUserWorkspace(GM_ADDR w) { return w; }

// ---- synchronisation

template <HardEvent E>
void SetFlag(int32_t id, EMU_LINE) {
    constexpr EventPipes p = EVENT_PIPES[static_cast<int>(E)];
    int key = static_cast<int>(E) * 8 + id;
    Check(id >= 0 && id < 8, "event id ", id);
    if (emu::Spoiled("set", line, key) || emu::Spoiled("event", 0, key)) return;
    auto& events = emu::Me().events;
    Check(!events.count(key), "SetFlag (", emu::Site(line), "): set twice without a wait, event ", key / 8, " id ", id);
    Instruction(p.from, "SetFlag", line);
    events[key] = emu::Finished(p.from);
}
template <HardEvent E>
void WaitFlag(int32_t id, EMU_LINE) {
    constexpr EventPipes p = EVENT_PIPES[static_cast<int>(E)];
    int key = static_cast<int>(E) * 8 + id;
    if (emu::Spoiled("wait", line, key) || emu::Spoiled("event", 0, key)) return;
    auto& events = emu::Me().events;
    Check(events.count(key), "WaitFlag (", emu::Site(line), "): nobody sets event ", key / 8, " id ", id);
    emu::Join(emu::Me().clock[p.to], events[key]);
    events.erase(key);
}
template <pipe_t P>
void PipeBarrier(EMU_LINE) {
    if (!emu::Spoiled("barrier", line)) emu::Barrier(P);
}
inline void CheckCrossId(uint32_t id) {
    Check(id < emu::CROSS_FLAGS && !(id >= 11 && id <= 14), "cross-core flag ", id,
          " is out of range or belongs to SyncAll");
}
template <uint8_t MODE, pipe_t P>
void CrossCoreSetFlag(uint16_t id, EMU_LINE) {
    static_assert(MODE == 2, "only the pairing of a cube core and its vector cores is modelled");
    CheckCrossId(id);
    emu::Core& c = emu::Me();
    if (emu::Spoiled("cross set", line, id) || emu::Spoiled("cross", c.cube, id)) return;
    Instruction(P, "CrossCoreSetFlag", line);
    emu::Clock now = emu::Finished(P);
    for (auto& other : emu::machine->cores) {
        if (other->block != c.block || other->cube == c.cube) continue;
        uint32_t sender = c.cube ? 2 : c.sub;
        Check(!other->cross[id].count(sender), "CrossCoreSetFlag (", emu::Site(line), "): flag ", id,
              " is set again before it was waited for");
        other->cross[id][sender] = now;
    }
}
template <uint8_t MODE = 0, pipe_t P = PIPE_S>
void CrossCoreWaitFlag(uint16_t id, EMU_LINE) {
    CheckCrossId(id);
    emu::Core& c = emu::Me();
    if (emu::Spoiled("cross wait", line, id) || emu::Spoiled("cross", !c.cube, id)) return;
    uint32_t senders = c.cube ? 2 : 1;
    emu::WaitUntil([&] { return c.cross[id].size() == senders; });
    for (auto& flag : c.cross[id]) emu::Join(c.clock[PIPE_S], flag.second);
    c.cross[id].clear();
}
template <bool AIV_ONLY = true>
void SyncAll(EMU_LINE) {
    emu::Machine& m = *emu::machine;
    emu::Core& c = emu::Me();
    if (emu::Spoiled("sync all", line)) return;
    static_assert(!AIV_ONLY, "only the barrier of all cores is modelled");
    emu::Barrier(PIPE_ALL);
    uint32_t n = c.syncs++;
    if (m.syncs.size() <= n) m.syncs.resize(n + 1);
    m.syncs[n].push_back(c.clock[PIPE_S]);
    emu::WaitUntil([&] { return m.syncs[n].size() == m.cores.size(); });
    for (auto& clock : m.syncs[n]) emu::Join(emu::Me().clock[PIPE_S], clock);
}
template <class T>
void SetAtomicAdd(EMU_LINE) {
    static_assert(sizeof(T) == 4);
    if (!emu::Spoiled("atomic", line)) emu::Me().atomic = true;
}
inline void SetAtomicNone(EMU_LINE) {
    if (!emu::Spoiled("atomic none", line)) emu::Me().atomic = false;
}

#include "emu_transfer.h"
#include "emu_cube.h"
#include "emu_vector.h"
}  // namespace AscendC
#endif
