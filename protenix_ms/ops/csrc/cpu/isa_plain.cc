// SPDX-License-Identifier: Apache-2.0
#define PMS_ISA plain
#define PMS_TABLE plain_kernels
#include "isa.h"
