// cifar10: CIFAR-10 (Krizhevsky 2009) in its own binary files, data_batch_1.bin to data_batch_5.bin and
// test_batch.bin, plain or gzipped. Uses byte_reader.h.
#pragma once

#include <optional>
#include <string>

#include "datasets/dataset.h"

namespace elbo {

/// The directory that holds a CIFAR-10 training batch, or nothing: the first of data_directories(), each with
/// its folders cifar10/ and cifar-10-batches-bin/ (the archive's own) before itself.
std::optional<std::string> find_cifar10();

/// Images u8 (N, 3072), the colours of a pixel side by side, and labels 0..9. The training split is as many
/// of the five batches as are there, in their order; where images are missing, `note` is told. `directory`
/// may be empty: then it is searched for. Throws Error when nothing is found, a file is not whole records of
/// a label and an image, or a label is above 9.
Dataset load_cifar10(const std::string& directory, const LoadOptions& options);

/// Whether there is a file of that split.
bool has_cifar10(const std::string& directory, Split split);

/// How many images a folder's files for that split hold, which are read for it; 0 where there are none.
/// Throws Error as loading does.
int64_t count_cifar10(const std::string& folder, Split split);

}  // namespace elbo
