// mnist: MNIST, and any data set in its four files (Fashion-MNIST, KMNIST).
#pragma once

#include <optional>
#include <string>

#include "datasets/dataset.h"

namespace elbo {

/// The directory that holds MNIST's training images, or nothing: the first of data_directories(), each with
/// its folder mnist/ before itself.
std::optional<std::string> find_mnist();

/// Images u8 (N, 784) and, where their file is there, labels. `directory` may be empty: then it is searched
/// for. Throws Error when nothing is found, saying where it looked and how to get it.
Dataset load_mnist(const std::string& directory, const LoadOptions& options);

}  // namespace elbo
