// What is found of restarts that were trained: of each data set the restart that its method prefers on
// validation data, how likely test data are under it, and how well its samples match the data. As JSON, and
// back.
#pragma once

#include "apps/yacoby/methods.h"

namespace elbo::yacoby {

/// Of one data set.
struct Chosen {
  int64_t member = -1;           ///< -1: no restart's score is a number
  double log_likelihood = 0;     ///< of test points, nats per data point; exact where the decoder is linear
  double exact = 0;              ///< the same by closed form, or by quadrature where that one is sampled
  double effective_samples = 0;  ///< median of the importance samples for each point; NaN where it is exact
  bool unreliable = false;       ///< too few of them for too many points
  double knn = 0, knn_error = 0;
};

/// A restart of LinearJTEx or Gaussian: the two terms of L(theta, phi) at its minimum over phi, against the
/// model that made the data.
struct Optimum {
  double likelihood = 0, posterior = 0;
};

struct Findings {
  std::vector<double> scores;   ///< of all members; NaN where one broke
  std::vector<Chosen> chosen;   ///< of each data set
  std::vector<Optimum> optima;  ///< of all members, or empty
};

Findings find_out(const DataKind& kind, std::vector<double> scores, const Restarts& restarts, const Vae& vae,
                  const RestartOptions& options, int64_t importance_samples, int64_t knn_repetitions);
/// What the statistic is of each data set where the model is the truth: of other points that the toy drew, 0
/// but for chance.
std::vector<double> knn_of_truth(const ToySets& sets, int64_t repetitions, uint64_t seed);

Json to_json(const Findings& findings);
Findings findings_from(const Json& json);

/// The chosen members as an ensemble of their own, one for each data set: a member that is not there is 0's.
std::unique_ptr<Vae> alone(const Restarts& restarts, const Vae& vae, const std::vector<int64_t>& members);

/// ln p(x) of points under a member's decoder, x (N, D) f64 -> (N): the closed form of linear decoders, and
/// of others the integral over both latent dimensions.
Tensor exact_log_density(const DataKind& kind, const Vae& vae, int64_t member, const Tensor& x);

/// x drawn from every member's p(x): (M, points, D).
Tensor samples_of(const Vae& vae, int64_t points, const RandomKey& key);

}  // namespace elbo::yacoby
