// The deep VAE: a Vae (vae.h) whose encoder and decoder are multilayer perceptrons (Kingma & Welling 2014;
// Lucas et al. 2019, section 5) or convolutional networks (conv_network.h), and whose prior is N(0, I). Its
// options say all that it is made of, so that a file can (deep_vae_file.h). Members can have a sigma^2 each,
// learned or held.
//
//   DeepVae vae({.dimensions = 784, .latent = 200}, seed);           // 784-1024-512-200-512-1024-784
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "vae/conv_network.h"
#include "vae/vae.h"

namespace elbo {

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

class DeepVae : public Vae {
 public:
  /// Throws for options that `check` refuses.
  DeepVae(const DeepVaeOptions& options, uint64_t seed);

  /// Sets the bias of the encoder's first layer so that it gives zero for the mean (D) of the data. Data far
  /// from zero, such as pixels in logit space, would otherwise begin with posterior variances so large that
  /// Adam remembers the first gradients for thousands of steps. Of images each channel's mean is taken, as a
  /// convolution has one bias for all pixels. (The decoder's output is left to learn the
  /// mean: starting it there makes z useless at first, and the whole model collapses before z can become
  /// useful.)
  void centre_encoder(const Tensor& mean);

  const DeepVaeOptions& options() const { return options_; }
  double sigma2(int64_t member = 0) const;

 private:
  DeepVaeOptions options_;
  const Parameter* log_sigma2_ = nullptr;  // the Gaussian likelihood's
};

/// One member of an ensemble as a model of its own, on the CPU.
std::unique_ptr<DeepVae> member_alone(const DeepVae& vae, int64_t member);

}  // namespace elbo
