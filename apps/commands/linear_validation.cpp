#include "apps/commands/linear_validation.h"

#include <algorithm>
#include <cmath>

#include "vae/linear_vae_file.h"
#include "vae/point_spread.h"
#include "vae/point_terms.h"

namespace elbo {
namespace {

constexpr int64_t kRows = 512;  // of one part

double standard_error(const LinearVaeWeights& weights, const LoadedData& data) {
  const auto vae = as_deep_vae(weights);
  const int64_t points = data.dataset.points();
  PointSpread elbos(1);
  for (int64_t begin = 0; begin < points; begin += kRows) {
    const Tensor x = data.rows(begin, std::min(begin + kRows, points)).to(DType::f64);
    const Posterior q = vae->encode(x);
    const Variable likelihood = linear_point_log_likelihood(*vae, weights.decoder, x, q);
    elbos.add((likelihood - point_kl(*vae, q)).value());
  }
  return elbos.at(0).standard_error;
}

}  // namespace

LinearHeldOut linear_held_out(const DataOptions& options, const LoadedData& training) {
  LinearHeldOut held_out{load_held_out(options, training, Split::validation), {}};
  held_out.moments = data_moments(held_out.data.all());
  return held_out;
}

HeldOut evaluate_held_out(const LinearVaeWeights& weights, const LinearHeldOut& held_out) {
  const LinearVaeMetrics m = evaluate_linear_vae(weights, held_out.moments);
  return {.elbo = m.elbo,
          .standard_error = standard_error(weights, held_out.data),
          .expected_log_likelihood = m.elbo + m.kl,
          .kl = m.kl};
}

void save_best_linear(const LinearVae& vae, const Validation& validation, const std::string& path,
                      std::map<std::string, std::string> metadata) {
  if (validation.members()[0].best_epoch == 0) return;
  LinearVae best(vae.options(), 0);
  best.set_mean(vae.mean());
  validation.copy_best(best.parameters());
  metadata["epoch"] = std::to_string(validation.members()[0].best_epoch);
  save_linear_vae(path, best, 0, metadata);
}

}  // namespace elbo
