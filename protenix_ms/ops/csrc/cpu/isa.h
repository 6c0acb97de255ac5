// SPDX-License-Identifier: Apache-2.0
// One instruction set's table of kernels; the including unit defines PMS_ISA and PMS_TABLE.
#include "adam.h"
#include "attention.h"
#include "conditioned.h"
#include "elementwise.h"
#include "gradient_norm.h"
#include "layer_norm.h"
#include "outer_product.h"
#include "pair_layers.h"
#include "product.h"
#include "smooth_lddt.h"
#include "transition_backward.h"

namespace pms {

const Kernels *PMS_TABLE() {
  static const Kernels table = {
      PMS_ISA::attention_scratch,   PMS_ISA::attention_forward,  PMS_ISA::attention_backward,
      PMS_ISA::attention_reduce,    PMS_ISA::layer_norm_scratch, PMS_ISA::layer_norm_forward,
      PMS_ISA::layer_norm_backward, PMS_ISA::gate_forward,       PMS_ISA::gate_backward,
      PMS_ISA::rotation,            PMS_ISA::outer_sum_forward,  PMS_ISA::outer_sum_backward,
      PMS_ISA::P,                   PMS_ISA::TILE_ROWS,
      PMS_ISA::pack_weights,        PMS_ISA::pair_scratch,
      {PMS_ISA::by_panels<PMS_ISA::projection>, PMS_ISA::linear,
       PMS_ISA::by_panels<PMS_ISA::transition>, PMS_ISA::by_panels<PMS_ISA::edges>,
       PMS_ISA::by_panels<PMS_ISA::gated_output>, PMS_ISA::triangle_attention},
      PMS_ISA::product_scratch,     PMS_ISA::product,
      PMS_ISA::adam,
      PMS_ISA::outer_scratch,       PMS_ISA::outer_product,
      PMS_ISA::conditioned_scratch,
      {PMS_ISA::projections, PMS_ISA::attended, PMS_ISA::conditioned_transition},
      PMS_ISA::smooth_lddt_scratch, PMS_ISA::smooth_lddt,
      PMS_ISA::gradient_norm,
      PMS_ISA::pack_transposed,     PMS_ISA::transition_backward_scratch,
      PMS_ISA::transition_sums,     PMS_ISA::transition_backward,
      PMS_ISA::transition_reduce,
  };
  return &table;
}

}  // namespace pms
