// What metrics of a VAE have in common: points as the model takes them.
#pragma once

#include "vae/points.h"
#include "vae/vae.h"

namespace elbo {

/// Points begin .. end - 1 in the model's type, on its device.
inline Tensor rows_for(const Vae& vae, const Points& x, int64_t begin, int64_t end) {
  return x.rows(begin, end).to(vae.dtype()).to(vae.device());
}

}  // namespace elbo
