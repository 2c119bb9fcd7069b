#include "vae/vae.h"

#include <array>

#include "tensor/file.h"

namespace elbo {
namespace {

constexpr std::array kLikelihoods{Likelihood::gaussian, Likelihood::diagonal_gaussian, Likelihood::bernoulli};

const VaeOptions& checked(const VaeOptions& o) {
  if (o.dimensions < 1 || o.latent < 1)
    fail("[vae] dimensions and latent dimension must be positive, got {} and {}", o.dimensions, o.latent);
  return o;
}

}  // namespace

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

Vae::Vae(const VaeOptions& options, const std::function<Parts(ParameterStore&)>& make, uint64_t seed)
    : options_(checked(options)),
      store_(options.dtype, options.members, options.device),
      parts_(make(store_)) {
  if (!parts_.encoder || !parts_.decoder) fail("[vae] there must be an encoder and a decoder");
  if (parts_.widest < 1) parts_.widest = std::max(options.latent, options.dimensions);
  store_.initialise(seed, options.first_member);
}

bool Vae::learns_sigma2(int64_t member) const {
  const std::vector<bool>& each = parts_.learns_sigma2;
  if (!has_scalar_sigma2() || each.empty()) return true;
  return each[each.size() == 1 ? 0 : static_cast<size_t>(member)];
}

Posterior Vae::encode(const Variable& x, Mode mode) const {
  const Shape &own = x.shape(), each{dimensions()};
  const bool shared = own.rank() == 2, apart = has_members() && own.rank() == 3 && own[0] == models();
  if (!(shared || apart) || !(own.back(1) == each))
    fail("[vae] x must be (N, {0}){1}, got {2}", dimensions(),
         has_members() ? fmt::format(" or ({}, N, {})", models(), dimensions()) : "", own.str());
  return parts_.encoder(x, mode);
}

Observation Vae::decode(const Variable& z, Mode mode) const { return parts_.decoder(z, mode); }

Variable Vae::log_likelihood(const Variable& x, const Observation& observation) const {
  const int64_t m = models();
  const bool has_samples = observation.mean.rank() == (has_members() ? 4 : 3);
  const bool apart = has_samples && x.rank() == 3;
  const Variable of_samples = apart ? reshape(x, {m, 1, x.size(1), x.size(2)}) : x;
  switch (likelihood()) {
    case Likelihood::diagonal_gaussian:
      return diagonal_gaussian_log_likelihood(
          of_samples, observation.mean,
          observation.log_variance.shape() == observation.mean.shape()
              ? observation.log_variance
              : broadcast_to(observation.log_variance, observation.mean.shape()));
    case Likelihood::bernoulli:
      return bernoulli_log_likelihood(of_samples, observation.mean);
    case Likelihood::gaussian:
      break;
  }
  const Variable log_sigma2 =
      has_members() && has_samples ? reshape(observation.log_variance, {m, 1, 1}) : observation.log_variance;
  return gaussian_log_likelihood(of_samples, observation.mean, log_sigma2);
}

Variable Vae::prior_log_variance() const {
  if (!parts_.prior.log_variance) return {};
  const Variable own = parts_.prior.log_variance();
  return has_members() ? reshape(own, {models(), 1, own.size(-1)}) : own;
}

Posterior Vae::in_prior_units(const Posterior& q) const {
  const Variable prior = prior_log_variance();
  if (!prior.value().defined()) return q;
  return {q.mean * exp(-0.5 * prior), q.log_variance - prior};
}

PosteriorTerms Vae::draw(const Posterior& q, const RandomKey& key, int64_t samples, int64_t parts,
                         const BatchRows& rows) const {
  PosteriorTerms drawn = reparameterize_kl(q.mean, q.log_variance, key, models(), samples, parts, rows);
  if (!parts_.prior.log_variance) return drawn;
  const Posterior in_units = in_prior_units(q);
  drawn.kl = sum(gaussian_kl(in_units.mean, in_units.log_variance), {-1});
  return drawn;
}

Posterior of_each_point(const Posterior& q) {
  return {q.mean, q.log_variance.shape() == q.mean.shape() ? q.log_variance
                                                           : broadcast_to(q.log_variance, q.mean.shape())};
}

ElboTerms elbo_terms(const Vae& vae, const Variable& x, const RandomKey& key, int64_t samples) {
  const PosteriorTerms drawn = vae.draw(vae.encode(x), for_members_of(vae, key), samples);
  const Variable log_likelihood = vae.log_likelihood(x, vae.decode(drawn.z));
  return {samples > 1 ? mean(log_likelihood, {-2}) : log_likelihood, drawn.kl};
}

RandomKey for_members_of(const Vae& vae, RandomKey key) {
  key.member += static_cast<uint32_t>(vae.first_member());
  return key;
}

}  // namespace elbo
