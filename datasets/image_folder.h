// image_folder: which image files a folder holds, in a fixed order, and which split each belongs to.
//
// CelebA's partition of its files is honoured (image_partition.h). Opens no image.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "datasets/splits.h"

namespace elbo {

struct ImageFolder {
  std::string root;  ///< without links and dots
  std::vector<std::string>
      images;  ///< from root on: training, validation, test; each split in the order of its bytes
  std::array<int64_t, 3> counts{};  ///< how many of each
  std::string partition = {};       ///< the partition file; empty where there is none
  uint64_t fingerprint = 0;         ///< of names, the partition, and what tells a file from its successor
  std::vector<std::string> notes;   ///< what was left out, and what is missing: a line each

  /// Which split the image of that number belongs to.
  Split split_of(int64_t image) const {
    return image < counts[0] ? Split::train : image < counts[0] + counts[1] ? Split::validation : Split::test;
  }
};

/// The files named .png, .jpg or .jpeg (in any case) in `directory` and all folders below it, except hidden
/// ones, whose names begin with a dot, and what systems put beside pictures: the folders __MACOSX and @eaDir.
///
/// Links are followed. A folder or file that several paths lead to counts once, by the path without links
/// where there is one, or else by the first in the order of bytes; a link to a folder that it lies in is a
/// loop and leads nowhere new. (Names that share a file without links, hard links, are files of their own.)
///
/// Where there is a partition, it names the files by their last part; a file that it does not name is left
/// out. The fingerprint takes each file's size, inode and times of change
/// of contents and of inode (ctime, in ns), so that a file that was replaced is noticed even where its
/// successor has the same size and time.
///
/// Throws Error when there is no such directory, one cannot be read, or the partition makes no sense.
ImageFolder list_images(const std::string& directory);

}  // namespace elbo
