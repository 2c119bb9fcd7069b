// Points: data points as metrics take them, a part at a time, so that the whole need never be in memory.
//
//   evaluate_deep_vae(vae, x);                                // a Tensor x (N, D) is Points
//   evaluate_deep_vae(vae, Points(n, [&](int64_t begin, int64_t end) { return read_rows(begin, end); }));
#pragma once

#include <functional>
#include <utility>

#include "tensor/copy.h"

namespace elbo {

class Points {
 public:
  /// x (N, D), or (M, N, D) where each member has its own.
  Points(const Tensor& x) : count_(x.size(-2)), rows_([x](int64_t b, int64_t e) { return part(x, b, e); }) {}
  /// `rows` makes (end - begin, D) or (M, end - begin, D), the same points whenever it is asked.
  Points(int64_t count, std::function<Tensor(int64_t begin, int64_t end)> rows)
      : count_(count), rows_(std::move(rows)) {}

  int64_t count() const { return count_; }
  Tensor rows(int64_t begin, int64_t end) const { return rows_(begin, end); }

 private:
  static Tensor part(const Tensor& x, int64_t begin, int64_t end) {
    if (x.rank() == 2) return x.slice(begin, end);
    const Tensor rows = Tensor::empty({x.size(0), end - begin, x.size(2)}, x.dtype(), x.device());
    copy_range(rows, 0, x, begin, 1, end - begin);
    return rows;
  }

  int64_t count_;
  std::function<Tensor(int64_t, int64_t)> rows_;
};

}  // namespace elbo
