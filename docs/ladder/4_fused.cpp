// The fourth rung: the whole formula as one op, whose rule is the first rung's backward pass in matrices
// (vae/fused_linear_vae.cpp).
#include "autograd/tape.h"
#include "docs/ladder/problem.h"
#include "vae/fused.h"

namespace ladder {

Answer by_fused_op(const Problem& p) {
  using namespace elbo;
  const auto N = static_cast<int64_t>(p.N), D = static_cast<int64_t>(p.D), k = static_cast<int64_t>(p.k);
  const auto parameter = [](const char* name, const Shape& shape, const std::vector<double>& values) {
    return Parameter{name, Tensor::from<double>(shape, values), Tensor::zeros(shape, DType::f64), false};
  };
  Parameter W = parameter("W", {D, k}, p.at.W), V = parameter("V", {k, D}, p.at.V),
            log_d = parameter("log_d", {k}, p.at.log_d),
            log_sigma2 = parameter("log_sigma2", {1}, {p.at.log_sigma2});

  Tape tape;
  const Variable elbo = linear_vae_elbo(Tensor::from<double>({N, D}, p.x), W, V, log_d, log_sigma2);
  tape.backward(elbo);
  return {elbo.item(),
          {W.gradient.to_vector(), V.gradient.to_vector(), log_d.gradient.to_vector(),
           log_sigma2.gradient.item()}};
}

}  // namespace ladder

#ifdef LADDER_ALONE
int main() { ladder::print(ladder::by_fused_op(ladder::example())); }
#endif
