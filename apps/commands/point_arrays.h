// Point arrays: what `encode` says of every point of the data, made a part of the points at a time.
#pragma once

#include <string>
#include <vector>

#include "apps/training/saved_model.h"
#include "datasets/array_output.h"

namespace elbo {

/// One array, a row for each point.
struct PointArray {
  const char* name;
  const char* meaning;  ///< with its unit
};
/// Those there can be, in the order in which they are written.
const std::vector<PointArray>& point_arrays();

class PointEncoder {
 public:
  /// `only` names arrays; empty: all that the data have. Throws Error for a name that is none, and for labels
  /// of data without. The model must outlive this.
  PointEncoder(const SavedModel& model, const std::vector<std::string>& only, int64_t samples);

  /// The arrays chosen, with the shapes that they have for all points.
  std::vector<ArrayPlan> plans() const;
  /// Rows begin .. end - 1 of each; `begin` is a multiple of kPointsOfPart, of which there are at most so
  /// many.
  std::vector<Tensor> rows(int64_t begin, int64_t end) const;

 private:
  bool wants(std::string_view array) const;
  Tensor reconstructions(const Tensor& mean) const;
  Tensor log_likelihood(const Tensor& x, const Posterior& q, int64_t begin) const;
  Shape shape_of(std::string_view array, int64_t points) const;
  DType dtype_of(std::string_view array) const;

  const SavedModel& model_;
  std::vector<std::string> arrays_;
  int64_t samples_;
};

}  // namespace elbo
