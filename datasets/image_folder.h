// image_folder: which image files a folder holds, in a fixed order, and which split each belongs to.
//
// CelebA's list_eval_partition.txt is honoured where it lies in the folder or in the one above. Opens no
// image.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset.h"

namespace elbo {

struct ImageFolder {
  std::string root;  ///< without links and dots
  std::vector<std::string>
      images;                ///< from root on; training images first, each split in the order of its bytes
  int64_t training = 0;      ///< how many of them are for training; the others are the test split
  bool partitioned = false;  ///< whether there is a partition file
  uint64_t fingerprint = 0;  ///< of names, sizes, times of change, and the partition
};

/// The files named .png, .jpg or .jpeg (in any case) in `directory` and all folders below it. Where there is
/// a partition file, with lines "000001.jpg 0", it names the files by their last part: 0 is training, 2 test,
/// and 1, CelebA's validation images for the choice between models, is neither, like a file that it does not
/// name. Throws Error when there is no such directory, one cannot be read, or a line of the partition makes
/// no sense.
ImageFolder list_images(const std::string& directory);

}  // namespace elbo
