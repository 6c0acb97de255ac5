// SPDX-License-Identifier: Apache-2.0
// The host side of both ops, as it is, behind a C interface for ctypes.
#include "evoformer_attention_ptx.cpp"
#include "evoformer_attention_ptx_grad.cpp"

#include <cstring>
#include <sstream>

namespace {
gert::Shape ToShape(const int64_t*& numbers) {
    gert::Shape shape;
    shape.SetDimNum(*numbers++);
    for (size_t i = 0; i < shape.GetDimNum(); ++i) shape.SetDim(i, *numbers++);
    return shape;
}
}  // namespace

extern "C" {
// One line per input, then per output: name, option, types, formats; then the chips.
int host_definition(const char* op, char* text, uint64_t room) {
    const ops::OpDef& def = ops::Registered().at(op);
    std::ostringstream out;
    for (auto* params : {&def.inputs, &def.outputs})
        for (auto& p : *params) {
            out << (params == &def.inputs ? "in " : "out ") << p->name << ' ' << p->option << ' ';
            for (auto t : p->types) out << t << ',';
            out << ' ' << p->formats.size() << ' ' << p->unknown.size() << '\n';
        }
    for (auto& soc : def.core.socs) out << "chip " << soc << '\n';
    return std::snprintf(text, room, "%s", out.str().c_str());
}

// `shapes`: for each input its rank and extents. `results`: blocks, key, schedule mode, workspace.
uint32_t host_tiling(const char* op, uint32_t inputs, const int64_t* shapes, int32_t type, uint64_t ub, uint32_t cores,
                     EvoTiling* tiling, uint64_t* results) {
    gert::TilingContext context;
    context.platform = {ub, cores};
    for (uint32_t i = 0; i < inputs; ++i) {
        context.shapes.emplace_back(ToShape(shapes));
        context.types.emplace_back(static_cast<ge::DataType>(type));
    }
    uint32_t status = ops::Registered().at(op).core.tiling(&context);
    std::memcpy(tiling, context.data.data(), sizeof(EvoTiling));
    results[0] = context.blockDim, results[1] = context.tilingKey, results[2] = context.scheduleMode;
    results[3] = context.workspaces.empty() ? 0 : context.workspaces[0];
    return status;
}

// Rank, extents and type of each output, one after the other.
uint32_t host_inference(const char* op, uint32_t inputs, const int64_t* shapes, int32_t type, uint32_t outputs,
                        int64_t* found) {
    const ops::OpDef& def = ops::Registered().at(op);
    gert::InferShapeContext shape;
    gert::InferDataTypeContext types;
    for (uint32_t i = 0; i < inputs; ++i) {
        shape.inputs.push_back(ToShape(shapes));
        types.inputs.push_back(static_cast<ge::DataType>(type));
    }
    shape.outputs.resize(outputs), types.outputs.resize(outputs);
    uint32_t status = def.inferShape(&shape) | def.inferType(&types);
    for (uint32_t i = 0; i < outputs; ++i) {
        *found++ = shape.outputs[i].GetDimNum();
        for (size_t d = 0; d < shape.outputs[i].GetDimNum(); ++d) *found++ = shape.outputs[i].GetDim(d);
        *found++ = types.outputs[i];
    }
    return status;
}
}
