// SPDX-License-Identifier: Apache-2.0
// What both ops' host code shares: shapes to EvoShape, memory and cores of the chip, results of
// tiling to the framework. Needs the vendor's toolkit; never compiled by us, see README.md.
#ifndef EVO_HOST_H
#define EVO_HOST_H
#include "evo_tiling.h"
#include "register/op_def_registry.h"
#include "tiling/platform/platform_ascendc.h"

#include <cmath>

namespace evo_host {
// Order of the inputs, as in op_kernel and in ascend.py.
enum Input { QUERY, KEY, VALUE, PAIR_BIAS, MASK, TILE_FLAG, DOUT, LSE, DELTA };

// Reserved by the toolkit unless a kernel is compiled without its asynchronous checks.
constexpr uint64_t RESERVED_UB = 8 * 1024;

// An absent bias or mask is a tensor of rank 1.
inline bool ReadShape(gert::TilingContext* context, EvoShape* s) {
    const gert::Shape& q = context->GetInputShape(QUERY)->GetStorageShape();
    const gert::Shape& k = context->GetInputShape(KEY)->GetStorageShape();
    const gert::Shape& bias = context->GetInputShape(PAIR_BIAS)->GetStorageShape();
    const gert::Shape& mask = context->GetInputShape(MASK)->GetStorageShape();
    if (q.GetDimNum() != 4 || k.GetDimNum() != 4 || q.GetDim(0) != k.GetDim(0)) {
        return false;
    }
    s->G = static_cast<uint32_t>(q.GetDim(0));
    s->Sq = static_cast<uint32_t>(q.GetDim(1));
    s->H = static_cast<uint32_t>(q.GetDim(2));
    s->D = static_cast<uint32_t>(q.GetDim(3));
    s->Sk = static_cast<uint32_t>(k.GetDim(1));
    s->hasBias = bias.GetDimNum() == 4;
    s->hasMask = mask.GetDimNum() == 2;
    s->scale = 1.0f / std::sqrt(static_cast<float>(s->D));
    uint32_t groups = s->hasBias ? static_cast<uint32_t>(bias.GetDim(0)) : 1;
    if (groups == 0 || s->G % groups != 0) {
        return false;
    }
    s->biasDiv = s->G / groups;
    return true;
}

inline ge::graphStatus Tile(gert::TilingContext* context, bool backward) {
    EvoShape shape{};
    if (!ReadShape(context, &shape)) {
        return ge::GRAPH_FAILED;
    }
    auto chip = platform_ascendc::PlatformAscendC(context->GetPlatformInfo());
    uint64_t ub = 0;
    chip.GetCoreMemSize(platform_ascendc::CoreMemType::UB, ub);
    ub -= RESERVED_UB;
    uint32_t cores = chip.GetCoreNumAic();
    EvoTiling* t = context->GetTilingData<EvoTiling>();
    if (t == nullptr) {
        return ge::GRAPH_FAILED;
    }
    bool served = backward ? EvoBackwardTiling(shape, ub, cores, true, t) : EvoForwardTiling(shape, ub, cores, t);
    if (!served) {
        return ge::GRAPH_FAILED;
    }
    context->SetBlockDim(t->blocks);
    context->SetTilingKey(context->GetInputDesc(QUERY)->GetDataType() == ge::DT_BF16 ? EVO_BF16 : EVO_HALF);
    if (backward) {
        context->SetScheduleMode(1);  // SyncAll: every block must run at once
    }
    context->GetWorkspaceSizes(1)[0] = chip.GetLibApiWorkSpaceSize() + t->blocks * t->workspacePerBlock;
    return ge::GRAPH_SUCCESS;
}

// Input or output of an op: `same` is the type of the query, else fp32 or uint8.
inline void Describe(ops::OpParamDef& p, bool same, ge::DataType other) {
    p.ParamType(ops::REQUIRED);
    if (same) {
        p.DataType({ge::DT_FLOAT16, ge::DT_BF16});
    } else {
        p.DataType({other, other});
    }
    p.Format({ge::FORMAT_ND, ge::FORMAT_ND});
    p.UnknownShapeFormat({ge::FORMAT_ND, ge::FORMAT_ND});
}
}  // namespace evo_host
#endif
