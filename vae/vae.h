// A VAE is three parts, each a function with parameters of its own in one store:
//
//   encoder   q(z|x) = N(mean(x), diag exp log_variance(x))
//   prior     p(z)   = N(0, diag exp log_variance), or N(0, I)
//   decoder   p(x|z), one of three likelihoods
//
// Parts are what a caller makes them (parts.h has some to begin with); deep_vae.h makes those of the papers'
// networks. With members > 0 every parameter has a leading member axis and M models train at once. What is
// optimised is in objective.h, one step of it in elbo_loss.h, what is known of a trained model in
// deep_metrics.h.
//
//   Vae vae({.dimensions = 10, .latent = 2}, [](ParameterStore& store) {
//     return Parts{.encoder = encoder_of(network(Linear(store, "encoder.mean", 10, 2, {...})),
//                                        same_for_all(store, "encoder.log_variance", 2)),
//                  .prior = learned_prior(store, 2),
//                  .decoder = decoder_of(network(Sequential(store, "decoder", {2, 50, 10}, ...)),
//                                        one_number(store, "log_sigma2"))};
//   }, seed);
//   ElboTerms terms = elbo_terms(vae, x, key);                       // each (N), nats
#pragma once

#include <functional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "nn/image_layers.h"
#include "nn/parameters.h"
#include "vae/fused.h"

namespace elbo {

enum class Likelihood {
  gaussian,           ///< N(x | mean(z), sigma^2 I), sigma^2 one number (Lucas et al. 2019, Eq. 10)
  diagonal_gaussian,  ///< N(x | mean(z), diag exp log_variance(z))
  bernoulli,          ///< x in [0, 1] as probabilities; the decoder gives logits
};
/// "gaussian", "diagonal", "bernoulli"; anything else is an Error.
Likelihood parse_likelihood(std::string_view text);
const char* name(Likelihood likelihood);

/// q(z|x).
struct Posterior {
  Variable mean;          ///< (M?, N, k)
  Variable log_variance;  ///< of that shape, or (k) or (M, 1, k) where it is the same for all points
};

/// With a log variance for every point, also where all share one.
Posterior of_each_point(const Posterior& q);

/// p(x|z).
struct Observation {
  Variable mean;          ///< (M?, S?, N, D); logits for the Bernoulli likelihood
  Variable log_variance;  ///< ln sigma^2 (1) or (M, 1); for the diagonal likelihood of the mean's shape, or
                          ///< broadcasting to it; not used by Bernoulli
};

/// Dense layers one after another, each made anew for every call.
using MakeLayers = std::vector<std::function<DenseLayer()>>;
/// Dense layers, the last of which are heads that all read what the layer before gives.
struct DenseBranch {
  MakeLayers layers;
  int64_t heads = 1;
};
/// Of a part that is made of dense layers alone: branches, all of which read its input. Their heads give its
/// outputs, in order, but for the last one where that does not depend on the input.
struct DenseForm {
  std::vector<DenseBranch> branches{};
  std::function<Variable()> constant{};
};

/// An encoder or a decoder: a function, which may say that it is made of dense layers.
template <class Output>
class Part {
 public:
  using Function = std::function<Output(const Variable& input, Mode mode)>;
  Part() = default;
  template <class F>
  requires std::is_convertible_v<F, Function> Part(F function) : function_(std::move(function)) {}
  Part(Function function, DenseForm dense) : function_(std::move(function)), dense_(std::move(dense)) {}

  Output operator()(const Variable& input, Mode mode) const { return function_(input, mode); }
  explicit operator bool() const { return static_cast<bool>(function_); }
  /// No branches where it does not say.
  const DenseForm& dense() const { return dense_; }

 private:
  Function function_;
  DenseForm dense_;
};

/// x (N, D), seen by every member, or (M, N, D), each member's own. Mode::train is for batch normalisation,
/// which then takes this batch's statistics and keeps an average of them.
using Encoder = Part<Posterior>;
/// z (M?, S?, N, k). With several samples for each point, several threads may call it at once, each with a
/// tape of its own, unless Parts::mixes_points.
using Decoder = Part<Observation>;
/// N(0, diag exp log_variance).
struct Prior {
  std::function<Variable()> log_variance{};  ///< (k), or (M, k) with members; without it the prior is N(0, I)
};

struct Parts {
  Encoder encoder;
  Prior prior{};
  Decoder decoder;
  Likelihood likelihood = Likelihood::gaussian;
  /// Whether what the encoder or decoder makes of one point depends on the others, as with batch
  /// normalisation: the samples of a batch are then never decoded apart.
  bool mixes_points = false;
  int64_t widest = 0;  ///< numbers in the decoder's largest activation for one z; 0: those of z or x
  /// Whether the Gaussian likelihood's sigma^2 is learned: one for all members or one for each; none: it is.
  std::vector<bool> learns_sigma2{};
};

struct VaeOptions {
  int64_t dimensions = 0;  ///< D
  int64_t latent = 0;      ///< k
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int64_t members = 0;
  int64_t first_member =
      0;  ///< member m starts from the numbers, and draws the noise, of member first_member + m
};

class Vae {
 public:
  /// `make` declares the parameters in the store and gives the parts that use them. Then all values are drawn
  /// by the seed; those of parameters that are given and not trained are the caller's to set. Throws for
  /// sizes that are not positive, and where there is no encoder or decoder.
  Vae(const VaeOptions& options, const std::function<Parts(ParameterStore&)>& make, uint64_t seed);
  virtual ~Vae() = default;

  /// x (N, D), seen by every member, or (M, N, D), in the model's type on its device.
  Posterior encode(const Variable& x, Mode mode = Mode::evaluate) const;
  /// z (M?, S?, N, k).
  Observation decode(const Variable& z, Mode mode = Mode::evaluate) const;
  /// ln p(x|z) of each point and sample: (M?, S?, N), nats. x as in `encode`.
  Variable log_likelihood(const Variable& x, const Observation& observation) const;

  /// q in the units in which the prior is N(0, I): the KL of that to N(0, I) is q's to the prior.
  Posterior in_prior_units(const Posterior& q) const;
  /// The prior's ln alpha^2, to broadcast to z: (k) or (M, 1, k); undefined where the prior is N(0, I).
  Variable prior_log_variance() const;
  /// z ~ q, and q's KL to the prior. `key` is that of `for_members_of`; samples, parts and rows are those of
  /// reparameterize_kl.
  PosteriorTerms draw(const Posterior& q, const RandomKey& key, int64_t samples = 1, int64_t parts = 1,
                      const BatchRows& rows = {}) const;

  const Parts& parts() const { return parts_; }
  ParameterStore& parameters() { return store_; }
  const ParameterStore& parameters() const { return store_; }
  int64_t dimensions() const { return options_.dimensions; }
  int64_t latent() const { return options_.latent; }
  Likelihood likelihood() const { return parts_.likelihood; }
  /// Whether sigma^2 is one number.
  bool has_scalar_sigma2() const { return likelihood() == Likelihood::gaussian; }
  /// False where sigma^2 is one number that was given.
  bool learns_sigma2(int64_t member = 0) const;
  DType dtype() const { return options_.dtype; }
  Device device() const { return options_.device; }
  bool has_members() const { return options_.members > 0; }
  /// M, or 1 for a single model.
  int64_t models() const { return has_members() ? options_.members : 1; }
  int64_t first_member() const { return options_.first_member; }

 private:
  VaeOptions options_;
  ParameterStore store_;
  Parts parts_;
};

/// The two parts of the ELBO, each (M?, N), nats per data point. The likelihood is averaged over `samples` z
/// for each point.
struct ElboTerms {
  Variable log_likelihood, kl;
};
ElboTerms elbo_terms(const Vae& vae, const Variable& x, const RandomKey& key, int64_t samples = 1);

/// The key with the member that the ensemble's first one is.
RandomKey for_members_of(const Vae& vae, RandomKey key);

}  // namespace elbo
