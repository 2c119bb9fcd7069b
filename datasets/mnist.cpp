#include "datasets/mnist.h"

#include <filesystem>

#include "datasets/idx.h"
#include "tensor/file.h"

namespace elbo {
namespace {

/// One of the data sets in files of these names.
struct Family {
  const char* name;   // of its folder, and in a specification
  const char* title;  // in messages
};
constexpr Family kMnist{"mnist", "MNIST"}, kFashionMnist{"fashion-mnist", "Fashion-MNIST"},
    kKmnist{"kmnist", "KMNIST"};

/// The file of that part of MNIST in `directory`, under any of the names it goes by; or nothing.
/// `part` is e.g. "train-images" with "idx3-ubyte".
std::optional<std::string> find_file(const std::string& directory, const std::string& part,
                                     const std::string& kind) {
  for (const char* joint : {"-", "."})
    for (const char* ending : {".gz", ""}) {
      const auto path = std::filesystem::path(directory) / (part + joint + kind + ending);
      std::error_code ignored;
      if (std::filesystem::is_regular_file(path, ignored)) return path.string();
    }
  return std::nullopt;
}

const char* prefix(Split split) { return split == Split::train ? "train" : "t10k"; }

std::optional<std::string> find_images(const std::string& directory, Split split) {
  return find_file(directory, std::string(prefix(split)) + "-images", "idx3-ubyte");
}

FoundData find_folder(const Family& family, const std::string& directory, Split split) {
  const auto has = [&](const std::string& folder) { return find_images(folder, split).has_value(); };
  const bool itself = !directory.empty() || std::string_view(family.name) == kMnist.name;
  return itself ? find_data(directory, {family.name, ""}, has) : find_data(directory, {family.name}, has);
}

bool has_files(const Family& family, const std::string& directory, Split split) {
  return split != Split::validation && find_folder(family, directory, split).folder;
}

void check_are_images(const std::string& file, const Shape& shape) {
  if (shape.rank() != 3)
    fail("[data] {} holds an array of shape {}; images (N, height, width) are needed", quote(file),
         shape.str());
}

Dataset load(const Family& family, const std::string& directory, const LoadOptions& options) {
  const FoundData found = find_folder(family, directory, options.split);
  if (!found.folder)
    fail(
        "[data] no {} {} images found in {}; get them with elbo data fetch {}, or put "
        "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte "
        "(plain or .gz) in data/{}, or use --data digits",
        family.title, options.split == Split::train ? "training" : "test", found.looked, family.name,
        family.name);
  const std::string images_file = *find_images(*found.folder, options.split);
  const Tensor images = read_idx(images_file);
  check_are_images(images_file, images.shape());
  Dataset data;
  data.height = images.size(1);
  data.width = images.size(2);
  data.channels = 1;
  data.x = images.reshape({images.size(0), -1});
  const auto labels_file =
      find_file(*found.folder, std::string(prefix(options.split)) + "-labels", "idx1-ubyte");
  if (labels_file) {
    data.labels = read_idx(*labels_file);
    if (data.labels.rank() != 1 || data.labels.size(0) != images.size(0))
      fail("[data] {} holds labels of shape {} for {} images; the two files do not belong together",
           quote(*labels_file), data.labels.shape().str(), images.size(0));
  }
  return data;
}

}  // namespace

std::optional<std::string> find_mnist() { return find_folder(kMnist, "", Split::train).folder; }
std::optional<std::string> find_fashion_mnist() {
  return find_folder(kFashionMnist, "", Split::train).folder;
}
std::optional<std::string> find_kmnist() { return find_folder(kKmnist, "", Split::train).folder; }

Dataset load_mnist(const std::string& directory, const LoadOptions& options) {
  return load(kMnist, directory, options);
}
Dataset load_fashion_mnist(const std::string& directory, const LoadOptions& options) {
  return load(kFashionMnist, directory, options);
}
Dataset load_kmnist(const std::string& directory, const LoadOptions& options) {
  return load(kKmnist, directory, options);
}

bool has_mnist(const std::string& directory, Split split) { return has_files(kMnist, directory, split); }
bool has_fashion_mnist(const std::string& directory, Split split) {
  return has_files(kFashionMnist, directory, split);
}
bool has_kmnist(const std::string& directory, Split split) { return has_files(kKmnist, directory, split); }

int64_t count_mnist(const std::string& folder, Split split) {
  const std::optional<std::string> file = find_images(folder, split);
  if (!file) return 0;
  const Shape shape = read_idx_shape(*file);
  check_are_images(*file, shape);
  return shape[0];
}

}  // namespace elbo
