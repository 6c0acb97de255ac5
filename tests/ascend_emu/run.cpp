// SPDX-License-Identifier: Apache-2.0
// The attention kernels, as they are, on the emulated machine: a library for ctypes (see device.py).
#include "evo_tiling.h"  // first, so with the rules of the host that kernels may not see
#undef EVO_FN
#include "kernel_operator.h"

#include "evoformer_attention_ptx.cpp"
#include "evoformer_attention_ptx_grad.cpp"

namespace {
struct Buffer {
    uint8_t* data;
    uint64_t bytes, grain;  // grain 0: an input
};

uint8_t* Register(emu::Machine& m, const char* name, const Buffer& b) {
    auto r = std::make_unique<emu::Region>();
    if (b.grain) {
        r->Own(name, b.bytes, b.grain);
    } else {
        r->name = name, r->data = b.data, r->size = b.bytes, r->constant = true;
    }
    m.global.push_back(std::move(r));
    return m.global.back()->data;
}

int Report(emu::Machine& m, char* message, uint64_t room) {
    std::snprintf(message, room, "%s", m.failure.c_str());
    return m.failure.empty() ? 0 : 1;
}
}  // namespace

extern "C" {
struct Run {
    EvoShape shape;
    uint32_t dtype, cores, grad, needDbias;
    uint64_t ub;
    Buffer tensors[13];  // in the order of the kernel's arguments
    uint32_t count, listing;
    const char* kind;  // of the mutant, or empty
    int32_t line, id;
    EvoTiling tiling;
    emu::Counters counters;  // sums over cores
};

int evo_tiling(Run* run) {
    return run->grad ? EvoBackwardTiling(run->shape, run->ub, run->cores, run->needDbias, &run->tiling)
                     : EvoForwardTiling(run->shape, run->ub, run->cores, &run->tiling);
}

int evo_buffers(const Run* run, uint64_t* ub, uint64_t* l1) {
    const EvoTiling& t = run->tiling;
    *ub = run->grad ? EvoBackwardLayout(t.passRows, t.tileK, t.half).end
                    : EvoForwardLayout(t.passRows, t.tileK, t.half, t.Dp).end;
    *l1 = run->grad ? EvoBackwardL1Layout(t.tileQ, t.tileK, t.Dp).end
                    : EvoForwardL1Layout(t.tileQ, t.tileK, t.Dp).end;
    return 0;
}

// 0: ran and every output is complete; else `message` says what the machine objects to. The sites
// that a mutant can spoil are listed as lines of kind, line and id.
int evo_run(Run* run, char* message, uint64_t room, char* sites, uint64_t siteRoom) {
    static const char* names[2][13] = {
        {"query", "key", "value", "pair_bias", "mask", "tile_flag", "out", "lse"},
        {"query", "key", "value", "pair_bias", "mask", "tile_flag", "dout", "lse", "delta", "dq", "dk", "dv",
         "dbias"}};
    emu::Machine m;
    emu::machine = &m;
    m.capacity[0] = run->ub;
    m.mutant = {run->kind, run->line, run->id};
    m.listing = run->listing;
    m.tilingKey = run->dtype;
    if (!evo_tiling(run)) {
        m.failure = "the tiling refuses this shape";
        return Report(m, message, room);
    }
    uint8_t* a[13];
    for (uint32_t i = 0; i < run->count; ++i) a[i] = Register(m, names[run->grad][i], run->tensors[i]);
    uint8_t* w = Register(m, "workspace", {nullptr, run->tiling.workspacePerBlock * run->tiling.blocks, 32});
    auto t = reinterpret_cast<uint8_t*>(&run->tiling);
    emu::Launch(run->tiling.blocks, [&] {
        if (run->grad) {
            evoformer_attention_ptx_grad(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11],
                                         a[12], w, t);
        } else {
            evoformer_attention_ptx(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], w, t);
        }
    });
    for (uint32_t i = 0; i < run->count && m.failure.empty(); ++i) {
        emu::Region& r = *m.global[i];
        if (r.constant) continue;
        if (!r.Known(0, r.size)) m.failure = "a part of the output " + r.name + " was never written";
        std::memcpy(run->tensors[i].data, r.data, r.size);
    }
    emu::Counters& sum = run->counters;
    sum = {};
    for (auto& c : m.cores) {
        const emu::Counters& n = c->count;
        sum.vectorRepeats += n.vectorRepeats, sum.vectorCalls += n.vectorCalls, sum.mte1 += n.mte1;
        sum.mte2 += n.mte2, sum.mte3 += n.mte3, sum.fix += n.fix, sum.mmad += n.mmad, sum.scalar += n.scalar;
    }
    std::string list;
    for (auto& s : m.sites) list += s.kind + "|" + std::to_string(s.line) + "|" + std::to_string(s.id) + "\n";
    if (siteRoom) std::snprintf(sites, siteRoom, "%s", list.c_str());
    return Report(m, message, room);
}

// The same as entry points of MindSpore's `Custom` on CPU: inputs, then outputs, as on the device.
static int FromMindSpore(int count, void** data, int* ranks, int64_t** shapes, const char** types, bool grad) {
    auto run = std::make_unique<Run>();
    auto dim = [&](int i, int d) { return static_cast<uint32_t>(shapes[i][d]); };
    bool biased = ranks[3] == 4, masked = ranks[4] == 2;
    uint32_t G = dim(0, 0), H = dim(0, 2), D = dim(0, 3);
    run->shape = {G, H, dim(0, 1), dim(1, 1), D, biased ? G / dim(3, 0) : G, biased, masked, 1 / std::sqrt(float(D))};
    run->dtype = std::string(types[0]) == "float16" ? EVO_HALF : EVO_BF16;
    run->cores = 2, run->grad = grad, run->needDbias = biased, run->ub = 188160, run->kind = "";
    run->count = count;
    for (int i = 0; i < count; ++i) {
        uint64_t bytes = std::string(types[i]) == "uint8" ? 1 : std::string(types[i]) == "float32" ? 4 : 2;
        uint64_t unit = bytes;
        for (int d = 0; d < ranks[i]; ++d) bytes *= dim(i, d);
        bool output = i >= (grad ? 9 : 6) && !(grad && i == 12 && !biased);
        bool rows = grad && i < 12;  // of D padded to 16
        run->tensors[i] = {static_cast<uint8_t*>(data[i]), bytes, output ? (rows ? 64 : i == 6 ? D * unit : unit) : 0};
    }
    char message[2000];
    int failed = evo_run(run.get(), message, sizeof message, nullptr, 0);
    if (failed) std::fprintf(stderr, "%s\n", message);
    return failed;
}
int evo_ms_forward(int n, void** data, int* ranks, int64_t** shapes, const char** types, void*, void*) {
    return FromMindSpore(n, data, ranks, shapes, types, false);
}
int evo_ms_backward(int n, void** data, int* ranks, int64_t** shapes, const char** types, void*, void*) {
    return FromMindSpore(n, data, ranks, shapes, types, true);
}
}
