// splits: the parts of a data set: the points that models are trained on, those that choices between models
// are made by, and those that say what a chosen one is worth.
//
// A source that has files of its own for a part, as MNIST has for its test, keeps them. Other parts are cut
// from the training file, by a permutation that depends on a seed of its own: trainings with other seeds hold
// the same points out, and their numbers can be compared. Uses tensor/ only.
//
//   const Division tenth{.validation = 0.1};
//   Tensor rows = rows_of_split(60000, tenth, Split::train);  // (54000) i64
//   Dataset data = load_dataset("mnist", {.division = tenth, .split = Split::validation});
#pragma once

#include <cstdint>
#include <string>

#include "tensor/tensor.h"

namespace elbo {

enum class Split { train, validation, test, all };

/// "train", "validation", "test" or "all".
const char* name(Split split);
/// "training split", "validation split", "test split" or "whole": before "of mnist".
const char* words(Split split);
/// The one of that name; anything else is an Error.
Split parse_split(const std::string& text);

/// What is cut from a training file. Below 1 a share of its points, rounded to whole points; from 1 on how
/// many; 0: nothing.
struct Division {
  double validation = 0, test = 0;
  uint64_t seed = 0;  ///< of which points; nothing else depends on it

  bool any() const { return validation > 0 || test > 0; }
  bool operator==(const Division&) const = default;
};

/// Which of so many points belong to a split, (n) i64 in rising order: train is what the others leave, all is
/// every point. The test split does not depend on how large the validation split is. Throws Error where a
/// share comes to no point, nothing is left to train on, or a number from 1 on is not whole.
Tensor rows_of_split(int64_t points, const Division& division, Split split);

}  // namespace elbo
