// SPDX-License-Identifier: Apache-2.0
// The part of the toolkit's host interface that op_host uses, so that g++ compiles its very sources
// and tests run them. Written by us; names, signatures and numbers are those of the public headers
// of CANN 8.1.RC1, named at each part. Not the toolkit's header.
#ifndef EMU_OP_DEF_REGISTRY_H
#define EMU_OP_DEF_REGISTRY_H
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ge {  // graph/types.h, graph/ge_error_codes.h
using graphStatus = uint32_t;
constexpr graphStatus GRAPH_SUCCESS = 0, GRAPH_FAILED = 0xFFFFFFFF;
enum DataType { DT_FLOAT = 0, DT_FLOAT16 = 1, DT_UINT8 = 4, DT_BF16 = 27 };
enum Format { FORMAT_ND = 2 };
}  // namespace ge

namespace fe {  // exe_graph/runtime/tiling_context.h names it, platform_ascendc.h reads it
struct PlatFormInfos {
    uint64_t ub;
    uint32_t cubeCores;
};
}  // namespace fe

namespace gert {
class Shape {  // exe_graph/runtime/shape.h
 public:
    size_t GetDimNum() const { return dims_.size(); }
    void SetDimNum(const size_t n) { dims_.resize(n); }
    int64_t GetDim(const size_t i) const { return dims_.at(i); }
    void SetDim(size_t i, const int64_t value) { dims_.at(i) = value; }

 private:
    std::vector<int64_t> dims_;
};

class StorageShape {  // exe_graph/runtime/storage_shape.h
 public:
    explicit StorageShape(const Shape& shape) : shape_(shape) {}
    const Shape& GetStorageShape() const { return shape_; }

 private:
    Shape shape_;
};

class CompileTimeTensorDesc {  // exe_graph/runtime/compute_node_info.h
 public:
    explicit CompileTimeTensorDesc(ge::DataType type) : type_(type) {}
    ge::DataType GetDataType() const { return type_; }

 private:
    ge::DataType type_;
};

// exe_graph/runtime/tiling_context.h and extended_kernel_context.h
class TilingContext {
 public:
    std::vector<StorageShape> shapes;
    std::vector<CompileTimeTensorDesc> types;
    fe::PlatFormInfos platform;
    std::vector<uint8_t> data = std::vector<uint8_t>(4096);
    uint32_t blockDim = 0, scheduleMode = 0;
    uint64_t tilingKey = 0;
    std::vector<size_t> workspaces;

    const StorageShape* GetInputShape(const size_t i) const { return i < shapes.size() ? &shapes[i] : nullptr; }
    const CompileTimeTensorDesc* GetInputDesc(const size_t i) const { return i < types.size() ? &types[i] : nullptr; }
    fe::PlatFormInfos* GetPlatformInfo() const { return const_cast<fe::PlatFormInfos*>(&platform); }
    template <class T>
    auto GetTilingData() -> T* {
        return sizeof(T) <= data.size() ? reinterpret_cast<T*>(data.data()) : nullptr;
    }
    ge::graphStatus SetBlockDim(const uint32_t n) { return blockDim = n, ge::GRAPH_SUCCESS; }
    ge::graphStatus SetTilingKey(const uint64_t key) { return tilingKey = key, ge::GRAPH_SUCCESS; }
    ge::graphStatus SetScheduleMode(const uint32_t mode) { return scheduleMode = mode, ge::GRAPH_SUCCESS; }
    size_t* GetWorkspaceSizes(const size_t n) { return workspaces.resize(n), workspaces.data(); }
};

class InferShapeContext {  // exe_graph/runtime/infer_shape_context.h
 public:
    std::vector<Shape> inputs, outputs;
    const Shape* GetInputShape(const size_t i) const { return &inputs.at(i); }
    Shape* GetOutputShape(const size_t i) { return &outputs.at(i); }
};

class InferDataTypeContext {  // exe_graph/runtime/infer_datatype_context.h
 public:
    std::vector<ge::DataType> inputs, outputs;
    ge::DataType GetInputDataType(const size_t i) const { return inputs.at(i); }
    ge::graphStatus SetOutputDataType(const size_t i, const ge::DataType type) {
        return outputs.at(i) = type, ge::GRAPH_SUCCESS;
    }
};

struct OpImplRegisterV2 {  // register/op_impl_registry.h
    using InferShapeKernelFunc = uint32_t (*)(InferShapeContext*);
    using InferDataTypeKernelFunc = uint32_t (*)(InferDataTypeContext*);
    using TilingKernelFunc = uint32_t (*)(TilingContext*);
};
}  // namespace gert

namespace ops {  // register/op_def.h, register/op_def_registry.h
enum Option { IGNORE = 0, OPTIONAL = 1, REQUIRED = 2, DYNAMIC = 3, VIRTUAL = 4 };

class OpParamDef {
 public:
    explicit OpParamDef(const char* n) : name(n) {}
    OpParamDef& ParamType(Option o) { return option = o, *this; }
    OpParamDef& DataType(std::vector<ge::DataType> t) { return types = t, *this; }
    OpParamDef& Format(std::vector<ge::Format> f) { return formats = f, *this; }
    OpParamDef& UnknownShapeFormat(std::vector<ge::Format> f) { return unknown = f, *this; }

    std::string name;
    Option option = IGNORE;
    std::vector<ge::DataType> types;
    std::vector<ge::Format> formats, unknown;
};

class OpAICoreDef {
 public:
    OpAICoreDef& SetTiling(gert::OpImplRegisterV2::TilingKernelFunc f) { return tiling = f, *this; }
    OpAICoreDef& AddConfig(const char* soc) { return socs.push_back(soc), *this; }

    gert::OpImplRegisterV2::TilingKernelFunc tiling = nullptr;
    std::vector<std::string> socs;
};

class OpDef {
 public:
    explicit OpDef(const char*) {}
    OpParamDef& Input(const char* n) { return *inputs.emplace_back(new OpParamDef(n)); }
    OpParamDef& Output(const char* n) { return *outputs.emplace_back(new OpParamDef(n)); }
    OpDef& SetInferShape(gert::OpImplRegisterV2::InferShapeKernelFunc f) { return inferShape = f, *this; }
    OpDef& SetInferDataType(gert::OpImplRegisterV2::InferDataTypeKernelFunc f) { return inferType = f, *this; }
    OpAICoreDef& AICore(void) { return core; }

    std::vector<std::shared_ptr<OpParamDef>> inputs, outputs;
    gert::OpImplRegisterV2::InferShapeKernelFunc inferShape = nullptr;
    gert::OpImplRegisterV2::InferDataTypeKernelFunc inferType = nullptr;
    OpAICoreDef core;
};

inline std::map<std::string, OpDef>& Registered() {
    static std::map<std::string, OpDef> all;
    return all;
}
}  // namespace ops

#define OP_ADD(opType, ...) \
    [[maybe_unused]] static bool g_##opType##_added = ops::Registered().emplace(#opType, opType(#opType)).second
#endif
