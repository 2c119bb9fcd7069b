// What of a linear last layer's squared error does not depend on z, as an op with its twin. The rule spares
// the gradient by r, which is as large as a batch's output: it goes on into W and b alone, as
//
//   dW = r^T (dt - 2/N dS a) + W (dG + dG^T - dt^T a),   db = -2/N dS sum r - W sum dt.
#include "autograd/tape.h"
#include "tensor/map.h"
#include "vae/linear_squared_error.h"
#include "vae/member_mean.h"

namespace elbo {
namespace {

void differentiate(Backward& pass, const Variable& near, const Variable& rest, const Variable& weight) {
  const Variable d_gram = pass.dy(0), d_target = pass.dy(1);
  const Tensor d_square =  // of a point
      map(Scaled{2.0 / static_cast<double>(rest.size(-2))}, pass.dy(2));
  if (pass.wants(0)) {
    const Variable by_rest = d_target - near * for_terms(d_square, near.shape());
    pass.add(0, (matmul_tn(rest, by_rest) + matmul(weight, d_gram - matmul_tn(d_target, near)) +
                 matmul_nt(weight, d_gram))
                    .value());
  }
  if (pass.wants(1)) {
    const Variable sum_target = sum(d_target, {-2}, true), sum_rest = sum(rest, {-2});
    const Variable through = reshape(matmul_nt(sum_target, weight), sum_rest.shape());
    pass.add(1, (-(sum_rest * for_terms(d_square, sum_rest.shape())) - through).value());
  }
}

}  // namespace

LinearTarget linear_target(const Tensor& x, const Tensor& near, const Variable& weight,
                           const Variable& bias) {
  const Variable w = weight.value();
  const Tensor rest = linear(near, w, bias.value()).value();
  const Shape points = rest.shape().drop_back(1);
  const Variable squares = map_reduce<Sum>(points.concatenated({1}), SquareOfDifference{}, x, rest);
  map_into(rest, Difference{}, x, rest);
  return linear_target_again(
      {near, rest, matmul_tn(w, w), matmul(Variable(rest), w), mean(squares, {-2, -1})}, weight, bias);
}

LinearTarget linear_target_again(const LinearTarget& made, const Variable& weight, const Variable& bias) {
  LinearTarget target{made.near, made.rest, made.gram.value(), made.target.value(), made.square.value()};
  Tape::record_outputs("linear_target", {&weight, &bias}, {&target.gram, &target.target, &target.square},
                       [near = made.near, rest = made.rest, w = weight.value()](Backward& pass) {
                         differentiate(pass, near, rest, w);
                       });
  return target;
}

LinearTarget linear_target_twin(const Tensor& x, const Tensor& near, const Variable& weight,
                                const Variable& bias) {
  const Variable rest = x - linear(near, weight, bias);
  return {near, rest.value(), matmul_tn(weight, weight), matmul(rest, weight),
          mean(sum(square(rest), {-1}), {-1})};
}

}  // namespace elbo
