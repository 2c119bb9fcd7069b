// The op table of the whole library: autograd's rows and those of the fused ops of this folder.
#pragma once

#include "autograd/gradcheck.h"

namespace elbo {

const std::vector<OpRow>& vae_op_table();

/// All rows, autograd's first: what `elbo gradcheck` prints.
std::vector<OpRow> op_table();

}  // namespace elbo
