// Mean and standard error over points of a value that each member of an ensemble has, gathered part by part
// in double.
#pragma once

#include <cmath>
#include <vector>

#include "tensor/tensor.h"

namespace elbo {

/// A mean over points, and its standard error: NaN for one point.
struct MeanOfPoints {
  double mean = 0, standard_error = 0;
  friend bool operator==(const MeanOfPoints&, const MeanOfPoints&) = default;
};

/// By Welford's recurrence, which does not cancel.
class PointSpread {
 public:
  explicit PointSpread(int64_t members) : of_(static_cast<size_t>(members)) {}
  /// values (M, n), in any shape of as many elements.
  void add(const Tensor& values) {
    const std::vector<double> all = values.to(DType::f64).to(Device::cpu).to_vector();
    const size_t points = all.size() / of_.size();
    for (size_t i = 0; i < all.size(); ++i) {
      Moments& m = of_[i / points];
      const double off = all[i] - m.mean;
      m.count += 1;
      m.mean += off / m.count;
      m.squares += off * (all[i] - m.mean);
    }
  }
  MeanOfPoints at(int64_t member) const {
    const Moments& m = of_[static_cast<size_t>(member)];
    return {m.mean, m.count > 1 ? std::sqrt(m.squares / (m.count - 1) / m.count) : std::nan("")};
  }

 private:
  struct Moments {
    double count = 0, mean = 0, squares = 0;
  };
  std::vector<Moments> of_;
};

}  // namespace elbo
