// SPDX-License-Identifier: Apache-2.0
#define PMS_ISA avx2
#define PMS_TABLE avx2_kernels
#include "isa.h"
