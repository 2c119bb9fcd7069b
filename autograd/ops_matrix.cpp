// Matrix products and the fused linear layer. Gradients are gemms too, written straight into their
// destination.
#include "autograd/activation.h"
#include "autograd/tape.h"
#include "tensor/cuda/gemm.h"
#include "tensor/gemm.h"

namespace elbo {
namespace {

/// Adds op(a) op(b) to input i's gradient; when the input was broadcast over a batch, through a full-size
/// product.
void contribute_gemm(Backward& pass, int input, const Tensor& a, Transpose op_a, const Tensor& b,
                     Transpose op_b) {
  if (!pass.wants(input)) return;
  if (!(gemm_shape(a, op_a, b, op_b) == pass.input_shape(input))) {
    pass.add(input, matmul(a, op_a, b, op_b));
    return;
  }
  const Backward::Target to = pass.target(input);
  gemm(to.tensor, a, op_a, b, op_b, to.accumulate);
}

Transpose flip(Transpose op) { return op == Transpose::no ? Transpose::yes : Transpose::no; }

Variable product(const char* name, const Variable& va, Transpose op_a, const Variable& vb, Transpose op_b) {
  Tensor c = matmul(va.value(), op_a, vb.value(), op_b);
  return Tape::record(name, {&va, &vb}, c, [a = va.value(), b = vb.value(), op_a, op_b](Backward& pass) {
    const Tensor dc = pass.dy();
    // c = A B with A = op(a), B = op(b):  dA = dc B^T, dB = A^T dc, each transposed back where op was a
    // transpose.
    if (op_a == Transpose::no)
      contribute_gemm(pass, 0, dc, Transpose::no, b, flip(op_b));
    else
      contribute_gemm(pass, 0, b, op_b, dc, Transpose::yes);
    if (op_b == Transpose::no)
      contribute_gemm(pass, 1, a, flip(op_a), dc, Transpose::no);
    else
      contribute_gemm(pass, 1, dc, Transpose::yes, a, op_a);
  });
}

/// y = activation(x W^T + bias) for x (M?, N, in), weight (M?, out, in), bias (M?, out): each block of the
/// product gets its bias and activation while it is in the cache.
template <class T, class Formula>
void linear_into(const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias,
                 Formula formula) {
  const T* const all_biases = bias.data<T>();
  const int64_t out = y.size(-1);
  const auto finish = [&](const Block& block) {
    const T* const biases = all_biases + block.batch * out + block.column;
    for (int64_t i = 0; i < block.rows; ++i) {
      T* const row = block.row_data<T>(i);
#pragma omp simd
      for (int64_t j = 0; j < block.columns; ++j) row[j] = formula(row[j] + biases[j]);
    }
  };
  const BlockFunction function(finish);
  gemm(y, x, Transpose::no, weight, Transpose::yes, false, 1, &function);
}

/// The same on a GPU. Bias and relu are the product's epilogue, if the library has it.
void linear_into_on_gpu(const Tensor& y, const Tensor& x, const Tensor& weight, const Tensor& bias,
                        Activation activation) {
  if constexpr (kHasGpuCode)
    if ((activation == Activation::none || activation == Activation::relu) &&
        cuda::gemm_bias(y, x, weight, bias, activation == Activation::relu))
      return;
  gemm(y, x, Transpose::no, weight, Transpose::yes);
  add_bias_and_activate(y, bias.reshape(bias.shape().drop_back(1).concatenated({1, bias.size(-1)})),
                        activation);
}

/// For up to so many rows the library's epilogue is a fast way to sum the bias's gradient.
constexpr int64_t kRowsForLibrary = 4096;

/// The gradients of weight and bias, inputs 1 and 2 of `linear`, from d, the gradient of the product.
void contribute_weights(Backward& pass, const Tensor& d, const Tensor& x, const Shape& row_bias) {
  const bool wants_weight = pass.wants(1);
  const Backward::Target weight = wants_weight ? pass.target(1) : Backward::Target{};
  if (pass.wants(2)) {
    const Backward::Target bias = pass.target(2);
    if constexpr (kHasGpuCode)
      if (wants_weight && d.device() == Device::cuda && !bias.accumulate && d.size(-2) <= kRowsForLibrary &&
          cuda::gemm_bias_gradient(weight.tensor, bias.tensor, d, x, weight.accumulate))
        return;
    map_reduce_into<Sum>(bias.tensor.reshape(row_bias), bias.accumulate, Identity{}, d);
  }
  if (wants_weight) gemm(weight.tensor, d, Transpose::yes, x, Transpose::no, weight.accumulate);
}

}  // namespace

Variable matmul(const Variable& a, const Variable& b) {
  return product("matmul", a, Transpose::no, b, Transpose::no);
}
Variable matmul_nt(const Variable& a, const Variable& b) {
  return product("matmul_nt", a, Transpose::no, b, Transpose::yes);
}
Variable matmul_tn(const Variable& a, const Variable& b) {
  return product("matmul_tn", a, Transpose::yes, b, Transpose::no);
}
Variable matmul_tt(const Variable& a, const Variable& b) {
  return product("matmul_tt", a, Transpose::yes, b, Transpose::yes);
}

Variable linear(const Variable& x, const Variable& weight, const Variable& bias, Activation activation) {
  const int members_axes = weight.rank() - 2;
  if (members_axes < 0 || members_axes > 1)
    fail("[linear] weight must be (out, in) or (M, out, in), got {}", weight.shape().str());
  const int64_t out = weight.size(-2), in = weight.size(-1);
  if (x.rank() < 1 || x.size(-1) != in)
    fail("[linear] x {} does not end in the weight's input size {}", x.shape().str(), in);
  if (!(bias.shape() == weight.shape().drop_back(1)))
    fail("[linear] bias must be {}, got {}", weight.shape().drop_back(1).str(), bias.shape().str());
  // The GPU's library would read other numbers, or memory that is not there.
  for (const Variable* other : {&weight, &bias})
    if (other->dtype() != x.dtype() || other->value().device() != x.value().device())
      fail("[linear] x is {} on {}, {} {} on {}; make them the same", name(x.dtype()),
           name(x.value().device()), other == &weight ? "weight" : "bias", name(other->dtype()),
           name(other->value().device()));
  const bool ensemble = members_axes == 1;
  const bool shared_x = ensemble && x.rank() == 2;  // (N, in), read by every member
  if (ensemble && !shared_x && x.size(0) != weight.size(0))
    fail("[linear] x {} has no axis for the {} members of weight {}", x.shape().str(), weight.size(0),
         weight.shape().str());

  // Everything between the members and the features is rows.
  const int64_t members = ensemble ? weight.size(0) : 1;
  int64_t rows = 1;
  for (int axis = ensemble && !shared_x ? 1 : 0; axis < x.rank() - 1; ++axis) rows *= x.size(axis);
  const Shape flat_x = ensemble && !shared_x ? Shape{members, rows, in} : Shape{rows, in};
  const Shape flat_y = ensemble ? Shape{members, rows, out} : Shape{rows, out};
  Shape shape_y = x.shape().drop_back(1).concatenated({out});
  if (shared_x) shape_y = flat_y;
  const Shape row_bias = ensemble ? Shape{members, 1, out} : Shape{1, out};

  const Tensor input = x.value().reshape(flat_x);
  Tensor y = Tensor::empty(flat_y, x.dtype(), x.value().device());
  visit_floating(y.dtype(), "linear", [&](auto zero) {
    if (y.device() == Device::cuda)
      return linear_into_on_gpu(y, input, weight.value(), bias.value(), activation);
    visit_activation(activation, [&](auto formula) {
      linear_into<decltype(zero)>(y, input, weight.value(), bias.value(), formula);
    });
  });
  y = y.reshape(shape_y);
  return Tape::record("linear", {&x, &weight, &bias}, y, [=, w = weight.value()](Backward& pass) {
    const Tensor d = before_activation(activation, y.reshape(flat_y), pass.dy().reshape(flat_y));
    pass.beside({1, 2}, {d, input}, [&] { contribute_weights(pass, d, input, row_bias); });
    if (!pass.wants(0)) return;
    if (shared_x) return pass.add(0, matmul(d, Transpose::no, w, Transpose::no));
    const Backward::Target dx = pass.target(0);
    gemm(dx.tensor.reshape(flat_x), d, Transpose::no, w, Transpose::no, dx.accumulate);
  });
}

}  // namespace elbo
