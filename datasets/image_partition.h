// image_partition: CelebA's list of which image is for training, validation and test, as the University of
// Hong Kong wrote it (list_eval_partition.txt) and as Kaggle has it (list_eval_partition.csv).
#pragma once

#include <optional>
#include <string>
#include <unordered_map>

#include "datasets/splits.h"

namespace elbo {

struct ImagePartition {
  std::string path, text;
  std::unordered_map<std::string, Split> splits;  ///< by the last part of a file's name
};

/// Whether a file of this name is one.
bool is_partition_name(const std::string& name);

/// The partition of the images in a folder: a file in it, in its folder Eval, beside it, or in Eval beside
/// it. Archives nest their images one deeper, as Img/img_align_celeba and img_align_celeba/img_align_celeba;
/// from there it is looked for beside the outer folder too. In one place the .txt comes first.
///
/// Lines are "000001.jpg 0" in .txt, "000001.jpg,0" in .csv below the header image_id,partition: 0 is
/// training, 1 validation, 2 test. Throws Error when a line is none of these, or a file has two splits.
std::optional<ImagePartition> find_partition(const std::string& directory);

}  // namespace elbo
