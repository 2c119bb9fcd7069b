// mnist: MNIST, and Fashion-MNIST and KMNIST, which came after it in files of the same four names.
#pragma once

#include <optional>
#include <string>

#include "datasets/dataset.h"

namespace elbo {

/// The directory that holds the training images, or nothing: the first of data_directories() whose folder
/// mnist/, fashion-mnist/ or kmnist/ does. MNIST's may lie in a data directory itself, too; others' may not,
/// as nothing in the files says whose they are.
std::optional<std::string> find_mnist();
std::optional<std::string> find_fashion_mnist();
std::optional<std::string> find_kmnist();

/// Images u8 (N, 784) and, where their file is there, labels. `directory` may be empty: then it is searched
/// for; else it or its folder of that name holds the files. Throws Error when nothing is found, saying where
/// it looked and how to get it.
Dataset load_mnist(const std::string& directory, const LoadOptions& options);
Dataset load_fashion_mnist(const std::string& directory, const LoadOptions& options);
Dataset load_kmnist(const std::string& directory, const LoadOptions& options);

/// Whether the files of that split are there.
bool has_mnist(const std::string& directory, Split split);
bool has_fashion_mnist(const std::string& directory, Split split);
bool has_kmnist(const std::string& directory, Split split);

/// How many images a folder's file for that split has by its header; 0 where there is none. Throws Error when
/// it is no IDX file of images.
int64_t count_mnist(const std::string& folder, Split split);

}  // namespace elbo
