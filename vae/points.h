// Points: data points as metrics take them, a part at a time, so that the whole need never be in memory.
#pragma once

#include <functional>
#include <utility>

#include "tensor/tensor.h"

namespace elbo {

class Points {
 public:
  /// x (N, D).
  Points(const Tensor& x) : count_(x.size(0)), rows_([x](int64_t b, int64_t e) { return x.slice(b, e); }) {}
  /// `rows` makes (end - begin, D), the same points whenever it is asked.
  Points(int64_t count, std::function<Tensor(int64_t begin, int64_t end)> rows)
      : count_(count), rows_(std::move(rows)) {}

  int64_t count() const { return count_; }
  Tensor rows(int64_t begin, int64_t end) const { return rows_(begin, end); }

 private:
  int64_t count_;
  std::function<Tensor(int64_t, int64_t)> rows_;
};

}  // namespace elbo
