// SPDX-License-Identifier: Apache-2.0
// Memory and cores of a chip; see op_def_registry.h. The toolkit's: tiling/platform/platform_ascendc.h.
#ifndef EMU_PLATFORM_ASCENDC_H
#define EMU_PLATFORM_ASCENDC_H
#include "register/op_def_registry.h"

namespace platform_ascendc {
enum class CoreMemType { L0_A = 0, L0_B = 1, L0_C = 2, L1 = 3, L2 = 4, UB = 5, HBM = 6, RESERVED };
constexpr uint32_t LIBRARY_WORKSPACE = 16 * 1024 * 1024;

class PlatformAscendC {
 public:
    explicit PlatformAscendC(fe::PlatFormInfos* platform) : platform_(platform) {}
    uint32_t GetCoreNumAic(void) const { return platform_->cubeCores; }
    uint32_t GetLibApiWorkSpaceSize(void) const { return LIBRARY_WORKSPACE; }
    void GetCoreMemSize(const CoreMemType& type, uint64_t& size) const {
        size = type == CoreMemType::UB ? platform_->ub : 0;
    }

 private:
    fe::PlatFormInfos* platform_;
};
}  // namespace platform_ascendc
#endif
