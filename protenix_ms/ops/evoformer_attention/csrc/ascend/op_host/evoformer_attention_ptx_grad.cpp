// SPDX-License-Identifier: Apache-2.0
// Host side of the backward op: the forward op's inputs, dout like query, lse and delta [G, H, Sq]
// fp32 -> dq [G, Sq, H, Dp], dk, dv [G, Sk, H, Dp] (Dp: D rounded up to 16; dq and dk without the
// scale of the logits), dbias like pair_bias; all fp32.
#include "evo_host.h"

namespace optiling {
static ge::graphStatus TilingBackward(gert::TilingContext* context) { return evo_host::Tile(context, true); }
}  // namespace optiling

namespace ge {
static graphStatus InferShapeBackward(gert::InferShapeContext* context) {
    const evo_host::Input like[] = {evo_host::QUERY, evo_host::KEY, evo_host::VALUE};
    for (size_t i = 0; i < 3; ++i) {
        gert::Shape* d = context->GetOutputShape(i);
        *d = *context->GetInputShape(like[i]);
        d->SetDim(3, (d->GetDim(3) + 15) / 16 * 16);
    }
    *context->GetOutputShape(3) = *context->GetInputShape(evo_host::PAIR_BIAS);
    return GRAPH_SUCCESS;
}
static graphStatus InferTypeBackward(gert::InferDataTypeContext* context) {
    for (size_t i = 0; i < 4; ++i) {
        context->SetOutputDataType(i, ge::DT_FLOAT);
    }
    return GRAPH_SUCCESS;
}
}  // namespace ge

namespace ops {
class EvoformerAttentionPtxGrad : public OpDef {
 public:
    explicit EvoformerAttentionPtxGrad(const char* name) : OpDef(name) {
        evo_host::Describe(this->Input("query"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("key"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("value"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("pair_bias"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("mask"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Input("tile_flag"), false, ge::DT_UINT8);
        evo_host::Describe(this->Input("dout"), true, ge::DT_FLOAT);
        evo_host::Describe(this->Input("lse"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Input("delta"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Output("dq"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Output("dk"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Output("dv"), false, ge::DT_FLOAT);
        evo_host::Describe(this->Output("dbias"), false, ge::DT_FLOAT);
        this->SetInferShape(ge::InferShapeBackward).SetInferDataType(ge::InferTypeBackward);
        this->AICore().SetTiling(optiling::TilingBackward);
        this->AICore().AddConfig("ascend910b");
        this->AICore().AddConfig("ascend910_93");
    }
};
OP_ADD(EvoformerAttentionPtxGrad);
}  // namespace ops
