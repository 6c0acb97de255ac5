// SPDX-License-Identifier: Apache-2.0
// How the attention kernels cut their work: pure C++17, shared by host code, kernels and tests.
//
// A task of the forward kernel is (head, tile of queries, group); of the backward kernel (bias
// group, head, tile of queries, tile of keys, segment of the groups that share the bias). One cube
// core works with two vector cores, each of which owns half of the queries of a tile ("half" below)
// and goes over them in passes of `passRows`.
#ifndef EVO_TILING_H
#define EVO_TILING_H
#include <cstdint>

#ifndef EVO_FN
#define EVO_FN inline
#endif
// The five optimisations of the original op, each of which a build can turn off for an ablation.
#ifndef EVO_OPT_ARENA  // buffers of the vector core alias where their lives do not overlap
#define EVO_OPT_ARENA 1
#endif
#ifndef EVO_OPT_ASYNC  // events instead of waiting for every pipe after each stage
#define EVO_OPT_ASYNC 1
#endif
#ifndef EVO_OPT_MASK  // tile flags skip what is masked and spare the addition where nothing is
#define EVO_OPT_MASK 1
#endif
#ifndef EVO_OPT_TILING  // tiles as large as the buffer allows
#define EVO_OPT_TILING 1
#endif
#ifndef EVO_OPT_LEVEL0  // one instruction with repeats for all rows instead of one per row
#define EVO_OPT_LEVEL0 1
#endif

constexpr uint32_t EVO_FLAG_COLUMNS = 64;  // keys per tile flag, and per vector instruction
constexpr uint32_t EVO_L1 = 512 * 1024 - 256;
constexpr uint32_t EVO_L0_SLOT = 32 * 1024;   // L0A and L0B, two slots each
constexpr uint32_t EVO_L0C_SLOT = 64 * 1024;  // two slots
constexpr uint32_t EVO_SUB = 128;             // columns, or contraction, of one matrix instruction
constexpr uint32_t EVO_MAX_D = 64;

enum EvoDtype : uint32_t { EVO_HALF = 1, EVO_BF16 = 2 };

// What is asked. q [G, Sq, H, D], k and v [G, Sk, H, D], bias [G / biasDiv, H, Sq, Sk],
// mask [G, Sk] fp32, added to the logits.
struct EvoShape {
    uint32_t G, H, Sq, Sk, D, biasDiv, hasBias, hasMask;
    float scale;
};

// What both sides of the toolkit agree on.
struct EvoTiling {
    uint32_t G, H, Sq, Sk, D, Dp;  // Dp: D rounded up to 16
    uint32_t biasDiv, hasBias, hasMask, needDbias;
    uint32_t tileQ, tileK, passRows, half;
    uint32_t nq, nk, nflag, nTask, blocks;
    uint32_t segments, perSegment;  // backward only
    float scale;
    uint64_t workspacePerBlock;
};

EVO_FN uint32_t EvoMin(uint32_t a, uint32_t b) { return a < b ? a : b; }
EVO_FN uint32_t EvoCeil(uint32_t a, uint32_t b) { return (a + b - 1) / b; }
EVO_FN uint32_t EvoUp(uint32_t a, uint32_t b) { return EvoCeil(a, b) * b; }

// Byte offsets in the unified buffer of a vector core; `end` is what a kernel needs.
struct EvoForwardBuffers {
    uint32_t s[2], bias[2], p[2], mask[2], alpha[2], t, x, o, pv, m, l, next, lse, rows, end;
};

EVO_FN uint32_t EvoTake(uint32_t& end, uint32_t bytes) {
    uint32_t at = end;
    end += EvoUp(bytes, 32);
    return at;
}

EVO_FN EvoForwardBuffers EvoForwardLayout(uint32_t rows, uint32_t tileK, uint32_t half,
                                          uint32_t Dp) {
    EvoForwardBuffers u{};
    uint32_t area = rows * tileK;
    for (uint32_t i = 0; i < 2; ++i) {
        u.s[i] = EvoTake(u.end, area * 4);
        u.bias[i] = EvoTake(u.end, area * 2);
        u.p[i] = EvoTake(u.end, area * 2);
        u.mask[i] = EvoTake(u.end, tileK * 4);
        u.alpha[i] = EvoTake(u.end, half * 4);
    }
    u.t = EvoTake(u.end, area * 4);
    // The strips of a row reduction live after the bias was added: its fp32 copy is dead by then.
    u.x = EVO_OPT_ARENA ? u.t : EvoTake(u.end, rows * EVO_FLAG_COLUMNS * 4);
    u.o = EvoTake(u.end, half * Dp * 4);
    u.pv = EvoTake(u.end, half * Dp * 4);
    u.m = EvoTake(u.end, half * 4);
    u.l = EvoTake(u.end, half * 4);
    u.next = EvoTake(u.end, half * 4);
    u.lse = EvoTake(u.end, half * 4);
    u.rows = EvoTake(u.end, half * 32);  // one 32-byte block per row, for broadcasts over columns
    return u;
}

struct EvoBackwardBuffers {
    uint32_t s[2], dp[2], p[2], ds[2], mask[2], lse[2], delta[2], bias, dbias, rowsLse, rowsDelta;
    uint32_t end;
};

EVO_FN EvoBackwardBuffers EvoBackwardLayout(uint32_t rows, uint32_t tileK, uint32_t half) {
    EvoBackwardBuffers u{};
    uint32_t area = rows * tileK;
    for (uint32_t i = 0; i < 2; ++i) {
        u.s[i] = EvoTake(u.end, area * 4);
        u.dp[i] = EvoTake(u.end, area * 4);
        u.p[i] = EvoTake(u.end, area * 2);
        u.ds[i] = EvoTake(u.end, area * 2);
        u.mask[i] = EvoTake(u.end, tileK * 4);
        u.lse[i] = EvoTake(u.end, half * 4);
        u.delta[i] = EvoTake(u.end, half * 4);
    }
    u.bias = EvoTake(u.end, half * tileK * 4);
    u.dbias = EvoTake(u.end, half * tileK * 4);
    u.rowsLse = EvoTake(u.end, half * 32);
    u.rowsDelta = EvoTake(u.end, half * 32);
    return u;
}

// Byte offsets in L1 of the cube core.
struct EvoForwardL1 {
    uint32_t q, k[2], v[2], p[2], end;
};

EVO_FN EvoForwardL1 EvoForwardL1Layout(uint32_t tileQ, uint32_t tileK, uint32_t Dp) {
    EvoForwardL1 l{};
    l.q = EvoTake(l.end, tileQ * Dp * 2);
    for (uint32_t i = 0; i < 2; ++i) {
        l.k[i] = EvoTake(l.end, tileK * Dp * 2);
        l.v[i] = EvoTake(l.end, tileK * Dp * 2);
        l.p[i] = EvoTake(l.end, tileQ * tileK * 2);
    }
    return l;
}

struct EvoBackwardL1 {
    uint32_t q[2], k[2], v[2], dout[2], p[2], ds[2], end;
};

EVO_FN EvoBackwardL1 EvoBackwardL1Layout(uint32_t tileQ, uint32_t tileK, uint32_t Dp) {
    EvoBackwardL1 l{};
    for (uint32_t i = 0; i < 2; ++i) {
        l.q[i] = EvoTake(l.end, tileQ * Dp * 2);
        l.k[i] = EvoTake(l.end, tileK * Dp * 2);
        l.v[i] = EvoTake(l.end, tileK * Dp * 2);
        l.dout[i] = EvoTake(l.end, tileQ * Dp * 2);
        l.p[i] = EvoTake(l.end, tileQ * tileK * 2);
        l.ds[i] = EvoTake(l.end, tileQ * tileK * 2);
    }
    return l;
}

// Byte offsets in a block's workspace: what cube and vector cores hand each other, two slots each.
struct EvoWorkspace {
    uint64_t s[2], p[2], third[2], fourth[2], end;  // forward: S, P, PV; backward: S, P, dP, dS
};

EVO_FN EvoWorkspace EvoForwardWorkspace(uint32_t tileQ, uint32_t tileK, uint32_t Dp) {
    EvoWorkspace w{};
    uint64_t area = static_cast<uint64_t>(tileQ) * tileK;
    for (uint32_t i = 0; i < 2; ++i) {
        w.s[i] = w.end;
        w.p[i] = w.s[i] + area * 4;
        w.third[i] = w.p[i] + area * 2;
        w.end = w.third[i] + static_cast<uint64_t>(tileQ) * Dp * 4;
        w.end = (w.end + 511) / 512 * 512;
    }
    return w;
}

EVO_FN EvoWorkspace EvoBackwardWorkspace(uint32_t tileQ, uint32_t tileK) {
    EvoWorkspace w{};
    uint64_t area = static_cast<uint64_t>(tileQ) * tileK;
    for (uint32_t i = 0; i < 2; ++i) {
        w.s[i] = w.end;
        w.third[i] = w.s[i] + area * 4;
        w.p[i] = w.third[i] + area * 4;
        w.fourth[i] = w.p[i] + area * 2;
        w.end = w.fourth[i] + area * 2;
        w.end = (w.end + 511) / 512 * 512;
    }
    return w;
}

// ---- the rules; only the host and the tests call what follows. A device compiler may not see it:
// these functions are of the host and call functions of the core.
#ifndef EVO_KERNEL

inline bool EvoShapeIsServed(const EvoShape& a) {
    return a.G && a.H && a.Sq && a.Sk && a.D && a.D <= EVO_MAX_D && a.D % 8 == 0 && a.biasDiv &&
           a.G % a.biasDiv == 0 && static_cast<uint64_t>(a.H) * a.D <= 65535;
}

inline void EvoCopyShape(const EvoShape& a, EvoTiling* t) {
    *t = EvoTiling{};
    t->G = a.G, t->H = a.H, t->Sq = a.Sq, t->Sk = a.Sk, t->D = a.D, t->Dp = EvoUp(a.D, 16);
    t->biasDiv = a.biasDiv, t->hasBias = a.hasBias, t->hasMask = a.hasMask, t->scale = a.scale;
    t->nflag = EvoCeil(a.Sk, EVO_FLAG_COLUMNS);
    t->segments = 1;
}

// The largest tile of queries that still gives every cube core a task.
inline uint32_t EvoTileQ(uint32_t Sq, uint64_t others, uint32_t cores) {
    uint32_t tile = EvoMin(128, EvoUp(Sq, 16));
    while (tile > 16 && others * EvoCeil(Sq, tile) < cores) tile = EvoUp(tile / 2, 16);
    return tile;
}

inline bool EvoForwardTiling(const EvoShape& a, uint64_t ub, uint32_t cores, EvoTiling* t) {
    if (!EvoShapeIsServed(a) || !cores) return false;
    EvoCopyShape(a, t);
    t->tileQ = EvoTileQ(a.Sq, static_cast<uint64_t>(a.G) * a.H, cores);
    t->half = EvoUp(t->tileQ / 2, 8);
    const uint32_t widths[] = {512, 384, 256, 192, 128, 64};
    uint32_t best = 0;
    for (uint32_t width : widths) {
        if (width > EvoUp(a.Sk, 64) || (!EVO_OPT_TILING && width > 128)) continue;
        if (EvoForwardL1Layout(t->tileQ, width, t->Dp).end > EVO_L1) continue;
        uint32_t rows = EVO_OPT_TILING ? t->half : EvoMin(32, t->half);
        while (rows > 8 && EvoForwardLayout(rows, width, t->half, t->Dp).end > ub) rows -= 8;
        // What ends a task, its output in 16 bits, leaves through a buffer of weights.
        bool fits = EvoForwardLayout(rows, width, t->half, t->Dp).end <= ub &&
                    rows * width >= t->half * t->Dp;
        if (!fits || rows * width <= best) continue;
        best = rows * width, t->tileK = width, t->passRows = rows;
    }
    t->nq = EvoCeil(a.Sq, t->tileQ);
    if (!best || static_cast<uint64_t>(a.G) * a.H * t->nq > UINT32_MAX) return false;
    t->nk = EvoCeil(a.Sk, t->tileK);
    t->nTask = a.G * a.H * t->nq;
    t->blocks = EvoMin(cores, t->nTask);
    t->workspacePerBlock = EvoForwardWorkspace(t->tileQ, t->tileK, t->Dp).end;
    return true;
}

inline bool EvoBackwardTiling(const EvoShape& a, uint64_t ub, uint32_t cores, bool needDbias,
                              EvoTiling* t) {
    if (!EvoShapeIsServed(a) || !cores) return false;
    EvoCopyShape(a, t);
    t->needDbias = needDbias && a.hasBias;
    t->tileQ = EvoMin(128, EvoUp(a.Sq, 16));
    t->half = EvoUp(t->tileQ / 2, 8);
    t->tileK = EvoMin(128, EvoUp(a.Sk, 64));
    t->passRows = EVO_OPT_TILING ? t->half : EvoMin(32, t->half);
    while (t->passRows > 8 && EvoBackwardLayout(t->passRows, t->tileK, t->half).end > ub)
        t->passRows -= 8;
    if (EvoBackwardLayout(t->passRows, t->tileK, t->half).end > ub) return false;
    t->nq = EvoCeil(a.Sq, t->tileQ);
    t->nk = EvoCeil(a.Sk, t->tileK);
    // Without a bias all groups are alike, and there is nothing to keep on chip.
    uint32_t shared = a.biasDiv;
    uint64_t units = static_cast<uint64_t>(a.G / shared) * a.H * t->nq * t->nk;
    if (units < cores) t->segments = EvoMin(shared, EvoCeil(cores, static_cast<uint32_t>(units)));
    t->perSegment = EvoCeil(shared, t->segments);
    t->segments = EvoCeil(shared, t->perSegment);
    if (units * t->segments > UINT32_MAX) return false;
    t->nTask = static_cast<uint32_t>(units) * t->segments;
    t->blocks = EvoMin(cores, t->nTask);
    t->workspacePerBlock = EvoBackwardWorkspace(t->tileQ, t->tileK).end;
    return true;
}
#endif
#endif
