#include "datasets/dataset.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "datasets/generators.h"
#include "datasets/mnist.h"
#include "datasets/npy.h"
#include "tensor/copy.h"
#include "tensor/file.h"
#include "tensor/random.h"

namespace elbo {
namespace {

/// The first axis numbers the points, the others become one: (N, ...) -> (N, D).
Dataset load_npy(const std::string& file, const LoadOptions& options) {
  if (options.split == Split::test)
    fail("[data] {} has no test split; name the file of test points itself", quote("npy:" + file));
  Dataset data;
  data.x = read_npy(file);
  const Shape shape = data.x.shape();
  if (shape.rank() < 1 || shape.rank() > 4 || shape.elements() == 0)
    fail("[data] {} holds an array of shape {}; points (N, ...) on one to four axes are needed", quote(file),
         shape.str());
  if (data.x.dtype() == DType::i64) data.x = data.x.to(DType::f64);
  data.x = data.x.reshape({shape[0], shape.elements() / shape[0]});
  const bool image = shape.rank() == 3 || (shape.rank() == 4 && (shape[3] == 1 || shape[3] == 3));
  if (image) {
    data.height = shape[1];
    data.width = shape[2];
    data.channels = shape.rank() == 4 ? shape[3] : 1;
  }
  return data;
}

Dataset load_ppca(const std::string&, const LoadOptions& options) {
  return make_ppca_data(options.limit > 0 ? options.limit : kGeneratedPoints, options.seed, options.split);
}

Dataset load_digits(const std::string&, const LoadOptions& options) {
  return make_digits(options.limit > 0 ? options.limit : kGeneratedPoints, options.seed, options.split);
}

std::string known_kinds() {
  std::string names;
  for (const DatasetKind& kind : dataset_kinds())
    names += (names.empty() ? "" : ", ") + kind.name + kind.argument;
  return names;
}

void check_finite(const Dataset& data) {
  if (data.has_pixels()) return;
  visit_floating(data.x.dtype(), "data", [&](auto zero) {
    const auto values = data.x.span<decltype(zero)>();
    const auto bad =
        std::find_if(values.begin(), values.end(), [](auto value) { return !std::isfinite(value); });
    if (bad == values.end()) return;
    const int64_t flat = bad - values.begin();
    fail("[data] {} holds {} at row {}, column {} (counted from 0); remove or replace such values",
         quote(data.name), *bad, flat / data.dimensions(), flat % data.dimensions());
  });
}

/// Keeps the points that `rows` numbers.
void keep(Dataset& data, const Tensor& rows) {
  data.x = gather_rows(data.x, rows);
  if (data.labels.defined()) data.labels = gather_rows(data.labels, rows);
}

}  // namespace

std::span<const DatasetKind> dataset_kinds() {
  static const std::array<DatasetKind, 4> kinds{{
      {"mnist", "[:DIR]", "handwritten digits 28x28, from IDX files", &load_mnist},
      {"npy", ":FILE", "the points (N, ...) in a NumPy file", &load_npy},
      {"ppca", "", "generated: 10 dimensions from 2 latent ones and noise", &load_ppca},
      {"digits", "", "generated: digits 28x28 drawn by strokes", &load_digits},
  }};
  return kinds;
}

Dataset load_dataset(const std::string& spec, const LoadOptions& options) {
  const size_t colon = spec.find(':');
  const std::string name = spec.substr(0, colon);
  const std::string argument = colon == std::string::npos ? "" : spec.substr(colon + 1);
  const auto kinds = dataset_kinds();
  const auto kind =
      std::find_if(kinds.begin(), kinds.end(), [&](const DatasetKind& k) { return k.name == name; });
  if (kind == kinds.end()) fail("[data] unknown data set {}; there are {}", quote(spec), known_kinds());
  if (kind->argument.empty() && colon != std::string::npos)
    fail("[data] {} takes nothing after its name, got {}", name, quote(spec));
  if (argument.empty() && (kind->argument.starts_with(':') || colon != std::string::npos))
    fail("[data] {} lacks what follows the colon; give {}{}", quote(spec), name, kind->argument);
  if (options.limit < 0 || options.subset < 0)
    fail("[data] limit and subset cannot be negative, got {} and {}", options.limit, options.subset);

  Dataset data = kind->load(argument, options);
  data.name = spec;
  check_finite(data);
  if (options.limit > 0 && options.limit < data.points()) {
    // Copies, so that the rest can be freed.
    data.x = data.x.slice(0, options.limit).clone();
    if (data.labels.defined()) data.labels = data.labels.slice(0, options.limit).clone();
  }
  if (options.subset > data.points())
    fail("[data] a random subset of {} points cannot be drawn from the {} of {}", options.subset,
         data.points(), quote(spec));
  if (options.subset > 0) {
    const Tensor order = permutation(data.points(), {.seed = options.seed, .stream = kSubset});
    keep(data, order.slice(0, options.subset));
  }
  data.fingerprint = fingerprint(data.x);
  return data;
}

std::string fingerprint(const Tensor& x) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&hash](const void* bytes, int64_t count) {
    const auto* byte = static_cast<const unsigned char*>(bytes);
    for (int64_t i = 0; i < count; ++i) hash = (hash ^ byte[i]) * 0x100000001b3u;
  };
  const std::string kind = fmt::format("{} {};", name(x.dtype()), x.shape().str());
  add(kind.data(), static_cast<int64_t>(kind.size()));
  add(x.bytes(), x.byte_count());
  return fmt::format("{:016x}", hash);
}

std::vector<std::string> data_directories() {
  std::vector<std::string> directories{"data", "../shared/data"};
  const char* own = std::getenv("ELBO_DATA");
  if (own && *own) directories.insert(directories.begin(), own);
  return directories;
}

}  // namespace elbo
