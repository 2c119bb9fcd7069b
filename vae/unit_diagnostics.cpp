#include "vae/unit_diagnostics.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops.h"

namespace elbo {
namespace {

/// z ~ p(z), in the shape of z.
Variable drawn_from_prior(const Vae& vae, const Variable& z, const RandomKey& key) {
  const Variable standard = normal(z.shape(), vae.dtype(), key, vae.models(), vae.device());
  const Variable log_variance = vae.prior_log_variance();
  return log_variance.value().defined() ? standard * exp(0.5 * log_variance) : standard;
}

/// (k): 1 at one unit, 0 at the others.
Variable indicator(const Vae& vae, int64_t unit) {
  const Tensor one = Tensor::zeros({vae.latent()}, vae.dtype());
  one.slice(unit, unit + 1).fill(1);
  return one.to(vae.device());
}

}  // namespace

int64_t points_for_gains(int64_t latent) { return std::clamp<int64_t>(32768 / latent, 32, 256); }

std::vector<UnitGains> unit_gains(const Vae& vae, const Points& x, uint64_t seed) {
  const int64_t k = vae.latent(), models = vae.models();
  std::vector<PointSpread> zero(static_cast<size_t>(k), PointSpread(models)), prior = zero;
  for (int64_t begin = 0; begin < x.count(); begin += kPointsOfPart) {
    const Tensor rows =
        x.rows(begin, std::min(begin + kPointsOfPart, x.count())).to(vae.dtype()).to(vae.device());
    const RandomKey key = evaluation_key(vae, seed, begin);
    RandomKey of_prior = key;
    of_prior.stream = kUnitNoise;
    const Variable z = vae.draw(vae.encode(rows), key).z, other = drawn_from_prior(vae, z, of_prior);
    const auto fit = [&](const Variable& codes) { return vae.log_likelihood(rows, vae.decode(codes)); };
    const Variable whole = fit(z);
    for (int64_t i = 0; i < k; ++i) {
      const Variable own = indicator(vae, i), silenced = z * (1 - own);
      zero[static_cast<size_t>(i)].add((whole - fit(silenced)).value());
      prior[static_cast<size_t>(i)].add((whole - fit(silenced + other * own)).value());
    }
  }
  std::vector<UnitGains> gains(static_cast<size_t>(models));
  for (size_t m = 0; m < gains.size(); ++m) {
    gains[m].points = x.count();
    for (size_t i = 0; i < zero.size(); ++i) {
      gains[m].zero.push_back(zero[i].at(static_cast<int64_t>(m)));
      gains[m].prior.push_back(prior[i].at(static_cast<int64_t>(m)));
    }
  }
  return gains;
}

double UnitDiagnostics::law_cost() const {
  return 0.5 * (law + mean_of_mean * mean_of_mean - 1 - std::log(law));
}

bool UnitDiagnostics::criteria_agree() const {
  return by_variance() == by_half_variance() && by_variance() == by_kl() && by_variance() == by_gain();
}

std::vector<UnitDiagnostics> unit_diagnostics(const DeepVaeMetrics& m, const UnitGains& gains) {
  std::vector<UnitDiagnostics> units;
  for (size_t i = 0; i < m.kl_per_dim.size(); ++i)
    units.push_back({.unit = static_cast<int64_t>(i),
                     .mean_of_mean = m.mean_of_mean.at(i),
                     .variance_of_mean = m.variance_of_mean.at(i),
                     .mean_variance = m.variance_law.at(i) - m.variance_of_mean.at(i),
                     .law = m.variance_law.at(i),
                     .law_standard_error = m.variance_law_standard_error.at(i),
                     .kl = m.kl_per_dim.at(i),
                     .share_below = m.share_below.at(i),
                     .gain = gains.zero.at(i),
                     .gain_of_prior = gains.prior.at(i)});
  return units;
}

}  // namespace elbo
