// The fused cost of a batch, with its twin.
#include <algorithm>
#include <initializer_list>

#include "autograd/contribute.h"
#include "vae/batch_cost_kernel.h"
#include "vae/fused.h"
#include "vae/member_mean.h"

namespace elbo {
namespace {

/// weight kl - log_likelihood.
struct CostOfMeans {
  template <class T>
  ELBO_HD T operator()(T kl, T weight, T log_likelihood) const {
    return kl * weight - log_likelihood;
  }
};

/// d / d kl of one of `1 / share` points.
struct KlGradient {
  double share;
  template <class T>
  ELBO_HD T operator()(T weight, T dy) const {
    return T(share) * (dy * weight);
  }
};

int64_t members_of(const Tensor& weight) { return weight.rank() == 0 ? 0 : weight.size(0); }

/// Whether all are on a GPU, in one precision.
[[maybe_unused]] bool are_on_gpu(const Tensor& weight, std::initializer_list<const Variable*> others) {
  return weight.device() == Device::cuda &&
         std::all_of(others.begin(), others.end(), [&](const Variable* other) {
           return other->value().device() == Device::cuda && other->dtype() == weight.dtype();
         });
}

}  // namespace

BatchCost batch_cost(const Variable& log_likelihood, const Variable& kl, const Tensor& weight) {
  const Shape& shape = weight.shape();  // () or (M)
  const auto check = [&](const Variable& x, const char* name) {
    if (x.rank() <= shape.rank() || (shape.rank() == 1 && x.size(0) != shape[0]))
      fail("[batch_cost] {} {} has no points of the members of weight {}", name, x.shape().str(),
           shape.str());
  };
  if (shape.rank() > 1) fail("[batch_cost] weight must be () or (M), got {}", shape.str());
  check(log_likelihood, "log_likelihood");
  check(kl, "kl");

  BatchCost result;
  Tensor cost;
  bool done = false;
  if constexpr (kHasGpuCode)
    if (are_on_gpu(weight, {&log_likelihood, &kl}) &&
        cuda::suits_batch_cost(log_likelihood.value(), kl.value(), weight.elements())) {
      const auto empty = [&] { return Tensor::empty(shape, weight.dtype(), Device::cuda); };
      cost = empty(), result.log_likelihood = empty(), result.kl = empty();
      cuda::batch_cost(log_likelihood.value(), kl.value(), weight, cost, result.log_likelihood, result.kl);
      done = true;
    }
  if (!done) {
    const int64_t members = members_of(weight);
    result.log_likelihood = member_mean(log_likelihood.value(), members).value();
    result.kl = member_mean(kl.value(), members).value();
    cost = map(CostOfMeans{}, result.kl, weight, result.log_likelihood);
  }
  const auto share_of = [&](const Variable& x) {
    return static_cast<double>(weight.elements()) / static_cast<double>(x.value().elements());
  };
  result.cost = Tape::record(
      "batch_cost", {&log_likelihood, &kl}, cost,
      [weight, of_likelihood = share_of(log_likelihood), of_kl = share_of(kl)](Backward& pass) {
        const Tensor dy = pass.dy();
        pass.contribute(0, Scaled{-of_likelihood}, for_terms(dy, pass.input_shape(0)));
        const Shape& points = pass.input_shape(1);
        pass.contribute_unsummed(1, KlGradient{of_kl}, for_terms(weight, points), for_terms(dy, points));
      });
  return result;
}

BatchCost batch_cost_twin(const Variable& log_likelihood, const Variable& kl, const Tensor& weight) {
  const int64_t members = members_of(weight);
  const Variable mean_log_likelihood = member_mean(log_likelihood, members),
                 mean_kl = member_mean(kl, members);
  return {mean_kl * weight - mean_log_likelihood, mean_log_likelihood.value(), mean_kl.value()};
}

}  // namespace elbo
