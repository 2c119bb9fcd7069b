#include "vae/entropies.h"

#include <cmath>

#include "tensor/math.h"
#include "vae/member_mean.h"

namespace elbo {
namespace {

/// Mean over everything but the members, of what dimensions share and of what each has alike.
Variable mean_of_all(const Variable& x, int64_t members) {
  if (members > 0 && (x.rank() < 1 || x.size(0) != members))
    fail("[entropies] log variances {} of {} members: the first axis must be theirs", x.shape().str(),
         members);
  return member_mean(x, members);
}

}  // namespace

double standard_normal_entropy(int64_t dimensions) {
  return 0.5 * static_cast<double>(dimensions) * (math::kLogTwoPi + 1);
}

Variable gaussian_entropy(const Variable& log_variance, int64_t dimensions, int64_t members) {
  return affine(mean_of_all(log_variance, members), 0.5 * static_cast<double>(dimensions),
                standard_normal_entropy(dimensions));
}

Variable log_volume(const Variable& log_variance, int64_t dimensions, int64_t members, double edge) {
  const auto d = static_cast<double>(dimensions);
  return affine(mean_of_all(log_variance, members), 0.5 * d, d * std::log(edge));
}

double log_volume_constant(int64_t dimensions, int64_t latent, double edge) {
  return static_cast<double>(dimensions - latent) * std::log(edge) - standard_normal_entropy(dimensions);
}

}  // namespace elbo
