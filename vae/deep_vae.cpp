#include "vae/deep_vae.h"

#include <array>
#include <cmath>

#include "tensor/file.h"
#include "tensor/gemm.h"
#include "tensor/map.h"

namespace elbo {
namespace {

constexpr std::array kLikelihoods{Likelihood::gaussian, Likelihood::diagonal_gaussian, Likelihood::bernoulli};

/// The mean head's start; the log-variance head starts at zero. So q(z|x) begins next to the prior: heads as
/// large as other layers make posteriors whose KL of hundreds of nats takes thousands of steps to unlearn.
constexpr Initializer kSmall{Initializer::Kind::normal, 0.001};

template <class T>
T entry(const std::vector<T>& of_each, int64_t member) {
  return of_each[of_each.size() == 1 ? 0 : static_cast<size_t>(member)];
}

const DeepVaeOptions& checked(const DeepVaeOptions& options) {
  check(options);
  return options;
}

std::vector<int64_t> widths(int64_t first, const std::vector<int64_t>& hidden) {
  std::vector<int64_t> all{first};
  all.insert(all.end(), hidden.begin(), hidden.end());
  return all;
}

int64_t last_or(const std::vector<int64_t>& hidden, int64_t none) {
  return hidden.empty() ? none : hidden.back();
}

}  // namespace

void check(const DeepVaeOptions& o) {
  if (o.dimensions < 1 || o.latent < 1)
    fail("[deep vae] dimensions and latent dimension must be positive, got {} and {}", o.dimensions,
         o.latent);
  for (const std::vector<int64_t>* widths : {&o.encoder_hidden, &o.decoder_hidden})
    for (int64_t width : *widths)
      if (width < 1) fail("[deep vae] a hidden layer cannot have {} units", width);
  for (double sigma2 : o.sigma2)
    if (!(sigma2 > 0) || !std::isfinite(sigma2))
      fail("[deep vae] sigma^2 must be positive and finite, got {}", sigma2);
  const auto count = static_cast<size_t>(std::max<int64_t>(o.members, 1));
  for (size_t given : {o.sigma2.size(), o.learn_sigma2.size()})
    if (given != 1 && given != count)
      fail(
          "[deep vae] {} values of sigma^2 or of whether to learn it for {} members; give one or one for "
          "each",
          given, count);
}

const char* name(Likelihood likelihood) {
  switch (likelihood) {
    case Likelihood::gaussian:
      return "gaussian";
    case Likelihood::diagonal_gaussian:
      return "diagonal";
    case Likelihood::bernoulli:
      break;
  }
  return "bernoulli";
}

Likelihood parse_likelihood(std::string_view text) {
  std::string known;
  for (Likelihood likelihood : kLikelihoods) {
    if (text == name(likelihood)) return likelihood;
    known += (known.empty() ? "" : ", ") + std::string(name(likelihood));
  }
  fail("[likelihood] unknown likelihood {}; there are {}", quote(text), known);
}

DeepVae::DeepVae(const DeepVaeOptions& options, uint64_t seed)
    : options_(checked(options)),
      store_(options.dtype, options.members, options.device),
      encoder_(store_, "encoder", widths(options.dimensions, options.encoder_hidden),
               options.encoder_activation, options.weights, true),
      mean_head_(store_, "encoder.mean", last_or(options.encoder_hidden, options.dimensions), options.latent,
                 kSmall),
      log_variance_head_(store_, "encoder.log_variance", last_or(options.encoder_hidden, options.dimensions),
                         options.latent, {}),
      decoder_(store_, "decoder", widths(options.latent, options.decoder_hidden), options.decoder_activation,
               options.weights, true),
      output_(store_, "decoder." + std::to_string(options.decoder_hidden.size()),
              last_or(options.decoder_hidden, options.latent), options.dimensions, options.weights) {
  if (options.likelihood == Likelihood::diagonal_gaussian)
    output_log_variance_.emplace_back(store_, "decoder.log_variance",
                                      last_or(options.decoder_hidden, options.latent), options.dimensions,
                                      options.weights);
  if (has_scalar_sigma2()) log_sigma2_ = &store_.add("log_sigma2", {1}, {});
  store_.initialise(seed, options.first_member);
  if (!has_scalar_sigma2()) return;
  learned_ = Tensor::empty(log_sigma2_->value.shape(), options.dtype, options.device);
  held_ = Tensor::empty(log_sigma2_->value.shape(), options.dtype, options.device);
  all_learned_ = true;
  for (int64_t m = 0; m < models(); ++m) {
    all_learned_ = all_learned_ && learns_sigma2(m);
    const double log_sigma2 = std::log(entry(options.sigma2, m));
    const bool learned = learns_sigma2(m);
    learned_.slice(m, m + 1).fill(learned ? 1 : 0);
    held_.slice(m, m + 1).fill(learned ? 0 : log_sigma2);
    log_sigma2_->value.slice(m, m + 1).fill(log_sigma2);
  }
}

Posterior DeepVae::encode(const Tensor& x) const {
  const Variable hidden = encoder_(x);
  return {mean_head_(hidden), log_variance_head_(hidden)};
}

Observation DeepVae::decode(const Variable& z) const {
  const Variable hidden = decoder_(z);
  Observation observation{output_(hidden), {}};
  if (options_.likelihood == Likelihood::diagonal_gaussian)
    observation.log_variance = output_log_variance_[0](hidden);
  // A sigma^2 that is not learned gets a gradient of exactly zero, and Adam leaves it where it is.
  if (has_scalar_sigma2())
    observation.log_variance =
        all_learned_ ? Variable(*log_sigma2_) : Variable(*log_sigma2_) * learned_ + held_;
  return observation;
}

Variable DeepVae::log_likelihood(const Tensor& x, const Observation& observation) const {
  switch (options_.likelihood) {
    case Likelihood::diagonal_gaussian:
      return diagonal_gaussian_log_likelihood(x, observation.mean, observation.log_variance);
    case Likelihood::bernoulli:
      return bernoulli_log_likelihood(x, observation.mean);
    case Likelihood::gaussian:
      break;
  }
  const bool has_samples = observation.mean.rank() == (options_.members > 0 ? 4 : 3);
  const Variable log_sigma2 = options_.members > 0 && has_samples
                                  ? reshape(observation.log_variance, {options_.members, 1, 1})
                                  : observation.log_variance;
  return gaussian_log_likelihood(x, observation.mean, log_sigma2);
}

void DeepVae::centre_encoder(const Tensor& mean) {
  if (!(mean.shape() == Shape{options_.dimensions}))
    fail("[deep vae] the mean must be ({}), got {}", options_.dimensions, mean.shape().str());
  const Tensor column = mean.to(options_.dtype).to(options_.device).reshape({options_.dimensions, 1});
  const auto centre = [&](const std::string& layer) {  // W x + b = W (x - mean)
    const Tensor weight = store_.at(layer + ".weight").value, bias = store_.at(layer + ".bias").value;
    gemm(bias.reshape(bias.shape().concatenated({1})), weight, Op::none, column, Op::none, false, -1);
  };
  if (!options_.encoder_hidden.empty()) return centre("encoder.0");
  centre("encoder.mean");
  centre("encoder.log_variance");
}

int64_t DeepVae::models() const { return std::max<int64_t>(options_.members, 1); }

double DeepVae::sigma2(int64_t member) const {
  if (!has_scalar_sigma2()) return std::nan("");
  return std::exp(log_sigma2_->value.at(member));
}

bool DeepVae::learns_sigma2(int64_t member) const { return entry(options_.learn_sigma2, member); }

std::unique_ptr<DeepVae> member_alone(const DeepVae& vae, int64_t member) {
  DeepVaeOptions options = vae.options();
  if (member < 0 || member >= vae.models())
    fail("[deep vae] there is no member {}; the ensemble has {}", member, vae.models());
  options.sigma2 = {entry(options.sigma2, member)};
  options.learn_sigma2 = {vae.learns_sigma2(member)};
  options.members = 0;
  options.device = Device::cpu;
  options.first_member += member;
  auto alone = std::make_unique<DeepVae>(options, 0);
  auto from = vae.parameters().all().begin();
  for (Parameter& to : alone->parameters().all()) {
    to.value.copy_from(vae.options().members > 0 ? from->value.slice(member) : from->value);
    ++from;
  }
  return alone;
}

RandomKey for_members_of(const DeepVae& vae, RandomKey key) {
  key.member += static_cast<uint32_t>(vae.options().first_member);
  return key;
}

ElboTerms elbo_terms(const DeepVae& vae, const Tensor& x, const RandomKey& key, int64_t samples) {
  const Posterior q = vae.encode(x);
  const PosteriorTerms drawn =
      reparameterize_kl(q.mean, q.log_variance, for_members_of(vae, key), vae.models(), samples);
  const Variable log_likelihood = vae.log_likelihood(x, vae.decode(drawn.z));
  return {samples > 1 ? mean(log_likelihood, {-2}) : log_likelihood, drawn.kl};
}

}  // namespace elbo
