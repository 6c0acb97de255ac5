// SPDX-License-Identifier: Apache-2.0
// Host side of the forward op: query [G, Sq, H, D], key and value [G, Sk, H, D], pair_bias
// [Gb, H, Sq, Sk] (Gb divides G) or [1], mask [G, Sk] fp32 or [1], tile_flag [G, ceil(Sk / 64)] or
// [1] -> out like query, lse [G, H, Sq] fp32. Logits are scaled by D^-0.5.
#include "evo_host.h"

namespace optiling {
static ge::graphStatus TilingForward(gert::TilingContext* context) { return evo_host::Tile(context, false); }
}  // namespace optiling

namespace ge {
static graphStatus InferShapeForward(gert::InferShapeContext* context) {
    const gert::Shape* q = context->GetInputShape(evo_host::QUERY);
    *context->GetOutputShape(0) = *q;
    gert::Shape* lse = context->GetOutputShape(1);
    lse->SetDimNum(3);
    lse->SetDim(0, q->GetDim(0));
    lse->SetDim(1, q->GetDim(2));
    lse->SetDim(2, q->GetDim(1));
    return GRAPH_SUCCESS;
}
static graphStatus InferTypeForward(gert::InferDataTypeContext* context) {
    context->SetOutputDataType(0, context->GetInputDataType(evo_host::QUERY));
    context->SetOutputDataType(1, ge::DT_FLOAT);
    return GRAPH_SUCCESS;
}
}  // namespace ge

namespace ops {
class EvoformerAttentionPtx : public OpDef {
 public:
    explicit EvoformerAttentionPtx(const char* name) : OpDef(name) {
        evo_host::Describe(this->Input("query"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("key"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("value"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("pair_bias"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("mask"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Input("tile_flag"), false, ge::DT_UINT8);
        evo_host::Describe(this->Output("out"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Output("lse"), false, ge::DT_FLOAT);
        this->SetInferShape(ge::InferShapeForward).SetInferDataType(ge::InferTypeForward);
        this->AICore().SetTiling(optiling::TilingForward);
        this->AICore().AddConfig("ascend910b");
        this->AICore().AddConfig("ascend910_93");
    }
};
OP_ADD(EvoformerAttentionPtx);
}  // namespace ops
