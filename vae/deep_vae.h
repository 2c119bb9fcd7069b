// The deep VAE: encoder and decoder are multilayer perceptrons (Kingma & Welling 2014; Lucas et al. 2019,
// section 5) or convolutional networks (conv_network.h).
//
//   q(z|x) = N(mean(x), diag exp log_variance(x)),  p(z) = N(0, I),  p(x|z) one of three likelihoods.
// With members > 0 every parameter has a leading member axis and M models train at once, each with its own
// sigma^2. All members see the same x. What is optimised is in objective.h, one step of it in
// elbo_loss.h, what is known of a trained model in deep_metrics.h.
//
//   DeepVae vae({.dimensions = 784, .latent = 200}, seed);           // 784-1024-512-200-512-1024-784
//   ElboTerms terms = elbo_terms(vae, x, key);                       // each (N), nats
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "nn/layers.h"
#include "vae/conv_network.h"
#include "vae/fused.h"

namespace elbo {

enum class Likelihood {
  gaussian,  ///< N(x | mean(z), sigma^2 I), sigma^2 one number, learned or not (Lucas et al. 2019, Eq. 10)
  diagonal_gaussian,  ///< N(x | mean(z), diag exp log_variance(z)), from a second head
  bernoulli,          ///< x in [0, 1] as probabilities; the decoder gives logits
};
/// "gaussian", "diagonal", "bernoulli"; anything else is an Error.
Likelihood parse_likelihood(std::string_view text);
const char* name(Likelihood likelihood);

struct DeepVaeOptions {
  int64_t dimensions = 0;                          ///< D
  int64_t latent = 0;                              ///< k
  std::vector<int64_t> encoder_hidden{1024, 512};  ///< widths from x on; none makes a linear encoder
  std::vector<int64_t> decoder_hidden{512, 1024};  ///< widths from z on
  Activation encoder_activation = Activation::relu;
  Activation decoder_activation = Activation::relu;
  std::optional<ConvNetwork> conv{};  ///< instead of the hidden layers above; x are its images, flattened
  Likelihood likelihood = Likelihood::gaussian;
  std::vector<double> sigma2{1};         ///< to start from, or to keep: one for all members or one for each
  std::vector<bool> learn_sigma2{true};  ///< likewise
  Initializer weights{
      Initializer::Kind::xavier_uniform};  ///< but for the encoder's heads, which start near the prior
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int64_t members = 0;
  int64_t first_member =
      0;  ///< member m starts from the numbers, and draws the noise, of member first_member + m
};

/// Throws unless all widths and sigma^2 are positive, and there is one sigma^2 for all members or one for
/// each.
void check(const DeepVaeOptions& options);

/// Numbers in the largest activation of the decoder, for one z.
int64_t widest_activation(const DeepVaeOptions& options);
/// Floating-point operations of a training step for one x: those of matrix products and convolutions, forward
/// and backward.
double training_flops(const DeepVaeOptions& options, int64_t samples = 1);

/// q(z|x).
struct Posterior {
  Variable mean, log_variance;  ///< (M?, N, k)
};

/// p(x|z).
struct Observation {
  Variable mean;          ///< (M?, S?, N, D); logits for the Bernoulli likelihood
  Variable log_variance;  ///< ln sigma^2 (1) or (M, 1); of the mean's shape for the diagonal one; not used by
                          ///< Bernoulli
};

class DeepVae {
 public:
  /// Throws for options that `check` refuses.
  DeepVae(const DeepVaeOptions& options, uint64_t seed);

  /// x (N, D) on the model's device, seen by every member. Mode::train is for batch normalisation, which then
  /// takes this batch's statistics and keeps an average of them.
  Posterior encode(const Tensor& x, Mode mode = Mode::evaluate) const;
  /// z (M?, S?, N, k).
  Observation decode(const Variable& z, Mode mode = Mode::evaluate) const;
  /// ln p(x|z) of each point and sample: (M?, S?, N), nats.
  Variable log_likelihood(const Tensor& x, const Observation& observation) const;

  /// Sets the bias of the encoder's first layer so that it gives zero for the mean (D) of the data. Data far
  /// from zero, such as pixels in logit space, would otherwise begin with posterior variances so large that
  /// Adam remembers the first gradients for thousands of steps. Of images each channel's mean is taken, as a
  /// convolution has one bias for all pixels. (The decoder's output is left to learn the
  /// mean: starting it there makes z useless at first, and the whole model collapses before z can become
  /// useful.)
  void centre_encoder(const Tensor& mean);

  const DeepVaeOptions& options() const { return options_; }
  ParameterStore& parameters() { return store_; }
  const ParameterStore& parameters() const { return store_; }
  /// M, or 1 for a single model.
  int64_t models() const;
  bool has_batch_norm() const;
  bool has_scalar_sigma2() const { return options_.likelihood == Likelihood::gaussian; }
  double sigma2(int64_t member = 0) const;
  bool learns_sigma2(int64_t member = 0) const;

 private:
  DeepVaeOptions options_;
  ParameterStore store_;
  using Body = std::variant<Sequential, ImageStack>;
  using Output = std::variant<Linear, ImageStack>;
  std::optional<ConvPlan> plan_;
  Body encoder_;
  Linear mean_head_, log_variance_head_;
  Body decoder_;
  std::vector<Output> outputs_;      // the mean and, for the diagonal likelihood, the log variance
  Parameter* log_sigma2_ = nullptr;  // the Gaussian likelihood's
  bool all_learned_ = false;
  Tensor learned_, held_;  // (M?, 1): 1 where sigma^2 is learned; its logarithm where it is not
};

/// The two parts of the ELBO, each (M?, N), nats per data point. The likelihood is averaged over `samples` z
/// for each point.
struct ElboTerms {
  Variable log_likelihood, kl;
};
ElboTerms elbo_terms(const DeepVae& vae, const Tensor& x, const RandomKey& key, int64_t samples = 1);

/// One member of an ensemble as a model of its own, on the CPU.
std::unique_ptr<DeepVae> member_alone(const DeepVae& vae, int64_t member);

/// The key with the member that the ensemble's first one is.
RandomKey for_members_of(const DeepVae& vae, RandomKey key);

}  // namespace elbo
