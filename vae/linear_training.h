// Training linear VAEs on all data at once, as the experiments on pPCA do, with their exact ELBO along the
// way.
//
// Members train side by side, each with its own learning rate. The recorded ELBO is always the exact one, in
// f64, whatever gradient drove the training. (Minibatch training is in apps/commands/train_linear.cpp.)
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "nn/optimizer.h"
#include "vae/linear_vae.h"

namespace elbo {

enum class ElboGradient {
  analytic,    ///< of the ELBO in closed form
  stochastic,  ///< of the one-sample reparameterised estimate
};
const char* name(ElboGradient gradient);
ElboGradient parse_elbo_gradient(std::string_view text);

/// The ELBO whose gradient that is, of a centred batch x (N, D), in nats per data point; `key` is of the
/// noise.
Variable elbo_of_batch(const LinearVae& vae, ElboGradient gradient, const Tensor& x, const RandomKey& key);

struct FullBatchOptions {
  ElboGradient gradient = ElboGradient::analytic;
  int64_t steps = 12000;
  Schedule schedule{.base = 1};     ///< multiplies each member's rate: keep its base at 1
  std::vector<double> rates{1e-3};  ///< one for each member, or one for all
  AdamOptions adam{};
  uint64_t seed = 0;             ///< of the noise of the stochastic gradient
  int64_t evaluate_every = 100;  ///< steps
  /// A file that is written now and then, and where `after` ends the training. Where it is there already, the
  /// training goes on from it, with its trace, and ends with the same bits. Empty: none.
  std::string checkpoint{};
};

/// The exact ELBO of each member, in nats per data point, after `step` steps.
struct ElboTrace {
  std::vector<int64_t> step;
  std::vector<std::vector<double>> elbo;  ///< [point][member]
};

/// Runs the steps and returns the trace, evaluated at 0, every evaluate_every steps and at the end. `centred`
/// (N, D) is the data minus their mean, of the model's dtype; `data` their moments, whose mean the model
/// gets. `after` is called with the number of steps done and the latest exact ELBOs; returning false ends the
/// training there. Throws when a loss is not finite, naming the step, the member and the first parameter that
/// is not.
ElboTrace train_full_batch(LinearVae& vae, const Tensor& centred, const DataMoments& data,
                           const FullBatchOptions& options,
                           const std::function<bool(int64_t, const std::vector<double>&)>& after);

/// x (N, D) minus mean (D), taken in f64 and then rounded to `dtype`.
Tensor centred(const Tensor& x, const Tensor& mean, DType dtype);

/// Throws when a parameter of a member is not finite, or its sigma^2 is 0 or infinite, after so many steps.
void require_in_range(LinearVae& vae, int64_t member, int64_t step);

/// Throws when a value of `objective` is not finite: says where (free text), which member, and which
/// parameter went bad first.
void require_finite(const Tensor& objective, ParameterStore& store, const std::string& where);

}  // namespace elbo
