// SPDX-License-Identifier: Apache-2.0
#define PMS_ISA avx512
#define PMS_TABLE avx512_kernels
#include "isa.h"
