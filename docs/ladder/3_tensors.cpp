// The third rung: the same formula in tensors and elbo's ops.
#include "autograd/ops.h"
#include "autograd/tape.h"
#include "docs/ladder/problem.h"
#include "tensor/math.h"

namespace ladder {

Answer by_tensors(const Problem& p) {
  using namespace elbo;
  const auto N = static_cast<int64_t>(p.N), D = static_cast<int64_t>(p.D), k = static_cast<int64_t>(p.k);
  const auto parameter = [](const char* name, const Shape& shape, const std::vector<double>& values) {
    return Parameter{name, Tensor::from<double>(shape, values), Tensor::zeros(shape, DType::f64), false};
  };
  Parameter W = parameter("W", {D, k}, p.at.W), V = parameter("V", {k, D}, p.at.V),
            log_d = parameter("log_d", {k}, p.at.log_d),
            log_sigma2 = parameter("log_sigma2", {}, {p.at.log_sigma2});
  const Variable x = Tensor::from<double>({N, D}, p.x);

  Tape tape;
  const Variable code = matmul_nt(x, V);             // (N, k)
  const Variable residual = x - matmul_nt(code, W);  // (N, D)
  const Variable d = exp(log_d);                     // (k)
  const Variable kl2 = sum(d - log_d - 1.0) + mean(sum(square(code), {-1}));
  const Variable distortion = mean(sum(square(residual), {-1})) + sum(square(Variable(W)) * d);
  const Variable elbo = -0.5 * (kl2 + distortion * exp(-Variable(log_sigma2)) +
                                static_cast<double>(D) * (log_sigma2 + math::kLogTwoPi));
  tape.backward(elbo);
  return {elbo.item(),
          {W.gradient.to_vector(), V.gradient.to_vector(), log_d.gradient.to_vector(),
           log_sigma2.gradient.item()}};
}

}  // namespace ladder

#ifdef LADDER_ALONE
int main() { ladder::print(ladder::by_tensors(ladder::example())); }
#endif
