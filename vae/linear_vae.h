// The linear VAE: encoder and decoder are single matrices, so that everything about it is known in closed
// form.
//
//   p(x|z) = N(W z + mu, sigma^2 I),  q(z|x) = N(V (x - mu), diag d)   (Lucas et al. 2019, Eq. 9)
// mu is the data mean and is not learned; the model is given x - mu. With members > 0 every parameter has a
// leading member axis and M models train at once. ELBOs are nats per data point, summed over dimensions.
#pragma once

#include <string>
#include <vector>

#include "nn/parameters.h"
#include "vae/entropy_gauge.h"
#include "vae/ppca.h"

namespace elbo {

struct LinearVaeOptions {
  int64_t dimensions = 0;  ///< D
  int64_t latent = 0;      ///< k, at most D
  double sigma2 = 1;       ///< the observation noise to start from, or to keep
  bool learn_sigma2 = true;
  Initializer weights{Initializer::Kind::normal, 0.001};  ///< of W and V
  DType dtype = DType::f32;
  Device device = Device::cpu;
  int64_t members = 0;
};

class LinearVae {
 public:
  /// Throws unless 1 <= k <= D and sigma^2 is positive.
  LinearVae(const LinearVaeOptions& options, uint64_t seed);

  /// The ELBO in closed form: centred x (N, D) -> () or (M). Its gradient has no sampling noise.
  Variable analytic_elbo(const Tensor& x) const;
  /// The same over all data at once, from their covariance S (D, D).
  Variable analytic_elbo_from_covariance(const Tensor& covariance) const;
  /// An unbiased estimate of it with one z per point, by reparameterisation.
  Variable stochastic_elbo(const Tensor& x, const RandomKey& key) const;

  const LinearVaeOptions& options() const { return options_; }
  ParameterStore& parameters() { return store_; }
  const ParameterStore& parameters() const { return store_; }
  /// mu (D), f64: rounded to the type of the weights it would move data far from zero by more than their
  /// spread.
  const Tensor& mean() const { return mean_; }
  void set_mean(const Tensor& mean);

 private:
  LinearVaeOptions options_;
  ParameterStore store_;
  // Names and shapes as in the model file; a member axis in front of each if there are members.
  Parameter& decoder_;       // decoder.weight W (D, k)
  Parameter& encoder_;       // encoder.weight V (k, D)
  Parameter& log_variance_;  // ln d (k)
  Parameter& log_sigma2_;    // (1)
  Tensor mean_;
};

/// Whether the covariance form costs less than a pass over n points: 4 D^2 k + 8 D k^2 against 10 n D k
/// flops.
bool covariance_form_is_cheaper(int64_t n, int64_t dimensions, int64_t latent);

/// One linear VAE's numbers in f64 on the CPU, member axis removed: what is saved, loaded and evaluated.
struct LinearVaeWeights {
  Tensor decoder, encoder, log_variance, mean;
  double log_sigma2 = 0;
};
LinearVaeWeights linear_vae_weights(LinearVae& vae, int64_t member = 0);
/// Into a member's parameters, rounded to their type; the mean is that of all members.
void set_linear_vae_weights(LinearVae& vae, const LinearVaeWeights& weights, int64_t member = 0);

/// Everything there is to say about a linear VAE on some data, exactly, from their moments.
struct LinearVaeMetrics {
  double elbo;            ///< nats per data point
  double log_likelihood;  ///< exact ln p(x), nats per data point; never below the ELBO
  double kl;              ///< nats per data point
  std::vector<double> kl_per_dim;
  double sigma2;
  double mse;              ///< |x - W V x|^2 / D: per dimension, reconstructing from the posterior mean
  double sigma2_tuned;     ///< the sigma^2 that maximises the ELBO, all else fixed: E_q |x - W z|^2 / D
  double elbo_tuned;       ///< the ELBO there
  int64_t active_units;    ///< units with Var_x(E_q z_i) > 0.01 (Burda et al. 2016)
  EntropyGauge entropies;  ///< exact; whether sigma^2 was learned is not known here
};
LinearVaeMetrics evaluate_linear_vae(const LinearVaeWeights& weights, const DataMoments& data);

/// Percentage of units that are (epsilon, delta)-collapsed on x (N, D), not centred: KL(q(z_i|x) || p(z_i)) <
/// epsilon for at least a share 1 - delta of the points (Lucas et al. 2019, section 6.2). One entry per
/// epsilon.
std::vector<double> linear_vae_collapse_percent(const LinearVaeWeights& weights, const Tensor& x,
                                                const std::vector<double>& epsilons, double delta = 0.01);

}  // namespace elbo
