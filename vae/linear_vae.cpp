#include "vae/linear_vae.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/gemm.h"
#include "tensor/map.h"
#include "vae/entropies.h"
#include "vae/fused.h"

namespace elbo {
namespace {

const LinearVaeOptions& checked(const LinearVaeOptions& o) {
  if (o.latent < 1 || o.latent > o.dimensions)
    fail("[linear vae] the latent dimension must be between 1 and the data's dimension {}, got {}",
         o.dimensions, o.latent);
  if (!(o.sigma2 > 0) || !std::isfinite(o.sigma2))
    fail("[linear vae] sigma^2 must be positive and finite, got {}", o.sigma2);
  return o;
}

/// One matrix or vector of one member as f64.
Tensor member_value(const Parameter& parameter, int64_t members, int64_t member) {
  return (members > 0 ? parameter.value.slice(member) : parameter.value)
      .to(DType::f64)
      .to(Device::cpu)
      .clone();
}

}  // namespace

LinearVae::LinearVae(const LinearVaeOptions& options, uint64_t seed)
    : options_(checked(options)),
      store_(options.dtype, options.members, options.device),
      decoder_(store_.add("decoder.weight", {options.dimensions, options.latent}, options.weights)),
      encoder_(store_.add("encoder.weight", {options.latent, options.dimensions}, options.weights)),
      log_variance_(store_.add("log_variance", {options.latent}, {})),
      log_sigma2_(store_.add("log_sigma2", {1}, {Initializer::Kind::constant, std::log(options.sigma2)},
                             options.learn_sigma2)),
      mean_(Tensor::zeros({options.dimensions}, DType::f64)) {
  store_.initialise(seed);
}

Variable LinearVae::analytic_elbo(const Tensor& x) const {
  return linear_vae_elbo(x, decoder_, encoder_, log_variance_, log_sigma2_);
}

Variable LinearVae::analytic_elbo_from_covariance(const Tensor& covariance) const {
  return linear_vae_elbo_from_covariance(covariance, decoder_, encoder_, log_variance_, log_sigma2_);
}

Variable LinearVae::stochastic_elbo(const Tensor& x, const RandomKey& key) const {
  const int64_t members = options_.members;
  const Variable code = matmul_nt(x, encoder_);  // (M?, N, k)
  const Variable log_variance =
      members > 0 ? reshape(log_variance_, {members, 1, options_.latent}) : Variable(log_variance_);
  const PosteriorTerms posterior = reparameterize_kl(code, log_variance, key, std::max<int64_t>(members, 1));
  const Variable reconstruction = matmul_nt(posterior.z, decoder_);  // (M?, N, D)
  return elbo::mean(gaussian_log_likelihood(x, reconstruction, log_sigma2_) - posterior.kl, {-1});
}

void LinearVae::set_mean(const Tensor& mean) { mean_.copy_from(mean.to(DType::f64)); }

bool covariance_form_is_cheaper(int64_t n, int64_t dimensions, int64_t latent) {
  return 4 * dimensions + 8 * latent < 10 * n;
}

LinearVaeWeights linear_vae_weights(LinearVae& vae, int64_t member) {
  ParameterStore& store = vae.parameters();
  const auto value = [&](const char* name) { return member_value(store.at(name), store.members(), member); };
  return {value("decoder.weight"), value("encoder.weight"), value("log_variance"), vae.mean().clone(),
          value("log_sigma2").item()};
}

void set_linear_vae_weights(LinearVae& vae, const LinearVaeWeights& weights, int64_t member) {
  ParameterStore& store = vae.parameters();
  const auto set = [&](const char* name, const Tensor& value) {
    const Parameter& parameter = store.at(name);
    const Tensor to = store.members() > 0 ? parameter.value.slice(member) : parameter.value;
    to.copy_from(value.to(to.dtype()));
  };
  set("decoder.weight", weights.decoder);
  set("encoder.weight", weights.encoder);
  set("log_variance", weights.log_variance);
  set("log_sigma2", Tensor::full({1}, weights.log_sigma2, DType::f64));
  vae.set_mean(weights.mean);
}

LinearVaeMetrics evaluate_linear_vae(const LinearVaeWeights& w, const DataMoments& data) {
  const int64_t d = w.decoder.size(0), k = w.decoder.size(1);
  if (data.mean.elements() != d)
    fail("[evaluate] the model is for {} dimensions, the data have {}", d, data.mean.elements());
  // Moments about the model's own mean: S is the covariance and the outer product of the offset.
  const Tensor offset = (Variable(data.mean) - Variable(w.mean)).value().reshape({1, d});
  const Tensor pulled = matmul(offset, Transpose::no, w.encoder, Transpose::yes);  // (1, k)
  const Tensor root = matmul(w.encoder, Transpose::no, data.root, Transpose::no);  // V F (k, R)
  Tensor a = matmul(data.root, Transpose::no, root, Transpose::yes);
  gemm(a, offset, Transpose::yes, pulled, Transpose::no, true);            // S V^T (D, k)
  const Tensor code = matmul(w.encoder, Transpose::no, a, Transpose::no);  // V S V^T (k, k)
  const Tensor gram = matmul(w.decoder, Transpose::yes, w.decoder, Transpose::no);
  LinearVaeMetrics metrics{};
  std::vector<double> second_moments;
  double noise = 0, slope = 0;
  for (int64_t i = 0; i < k; ++i) {
    const double log_variance = w.log_variance.at(i), mean_square = code.at(i * k + i);
    metrics.kl_per_dim.push_back(0.5 * (mean_square + std::expm1(log_variance) - log_variance));
    second_moments.push_back(mean_square + std::exp(log_variance));
    const double pushed = std::exp(log_variance) * gram.at(i * k + i);
    noise += pushed;
    slope += 0.5 * (1 - std::exp(log_variance) - pushed * std::exp(-w.log_sigma2));
    // Var_x of E_q z_i is about the data mean, not the model's.
    const double shift = pulled.at(i);
    if (mean_square - shift * shift > 0.01) ++metrics.active_units;
  }
  metrics.kl = std::accumulate(metrics.kl_per_dim.begin(), metrics.kl_per_dim.end(), 0.0);
  const double residual = total_variance(data) + map_reduce<Sum>({}, SquareOf{}, offset).item() -
                          2 * map_reduce<Sum>({}, Product{}, w.decoder, a).item() +
                          map_reduce<Sum>({}, Product{}, gram, code).item();
  const auto dimensions = static_cast<double>(d);
  metrics.sigma2 = std::exp(w.log_sigma2);
  metrics.mse = residual / dimensions;
  metrics.sigma2_tuned = (residual + noise) / dimensions;
  const auto elbo_at = [&](double sigma2) {
    return -metrics.kl -
           0.5 * dimensions * (math::kLogTwoPi + std::log(sigma2) + metrics.sigma2_tuned / sigma2);
  };
  metrics.elbo = elbo_at(metrics.sigma2);
  metrics.elbo_tuned = elbo_at(metrics.sigma2_tuned);
  const Tensor log_sigma2 = Tensor::scalar(w.log_sigma2, DType::f64);
  metrics.entropies =
      entropy_gauge(metrics.elbo, standard_normal_entropy(k), gaussian_entropy(log_sigma2, d).item(),
                    gaussian_entropy(w.log_variance, k).item(), d, metrics.sigma2_tuned / metrics.sigma2,
                    std::move(second_moments), slope);
  metrics.log_likelihood = ppca_log_likelihood({w.decoder, w.mean, metrics.sigma2}, data);
  return metrics;
}

std::vector<double> linear_vae_collapse_percent(const LinearVaeWeights& w, const Tensor& x,
                                                const std::vector<double>& epsilons, double delta) {
  const int64_t n = x.size(0), k = w.encoder.size(0);
  std::vector<std::vector<int64_t>> below(epsilons.size(), std::vector<int64_t>(static_cast<size_t>(k), 0));
  constexpr int64_t kRows = 4096;
  for (int64_t begin = 0; begin < n; begin += kRows) {
    const Tensor rows = x.slice(begin, std::min(begin + kRows, n)).to(DType::f64);
    const Tensor means =
        matmul((Variable(rows) - Variable(w.mean)).value(), Transpose::no, w.encoder, Transpose::yes);
    const Tensor kl = gaussian_kl(means, w.log_variance).value();
    const double* value = kl.data<double>();
    for (int64_t r = 0; r < rows.size(0); ++r)
      for (int64_t i = 0; i < k; ++i, ++value)
        for (size_t e = 0; e < epsilons.size(); ++e)
          if (*value < epsilons[e]) ++below[e][static_cast<size_t>(i)];
  }
  std::vector<double> percent;
  for (const std::vector<int64_t>& counts : below) {
    const auto collapsed = std::count_if(counts.begin(), counts.end(), [&](int64_t count) {
      return static_cast<double>(count) >= (1 - delta) * static_cast<double>(n);
    });
    percent.push_back(100.0 * static_cast<double>(collapsed) / static_cast<double>(k));
  }
  return percent;
}

}  // namespace elbo
