#include "datasets/dataset.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <limits>

#include "datasets/cifar10.h"
#include "datasets/draws.h"
#include "datasets/generators.h"
#include "datasets/hash.h"
#include "datasets/images.h"
#include "datasets/mnist.h"
#include "datasets/npy.h"
#include "datasets/toys.h"
#include "datasets/yacoby_toys.h"
#include "tensor/copy.h"
#include "tensor/file.h"
#include "tensor/random.h"

namespace elbo {
namespace {

/// Integers (N, D) as doubles that are the same numbers.
Tensor in_f64(const Tensor& x, const std::string& file) {
  const auto values = x.span<int64_t>();
  const auto is_too_long = [](int64_t value) {
    const uint64_t size = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    return size > 0 &&
           64 - std::countl_zero(size) - std::countr_zero(size) > std::numeric_limits<double>::digits;
  };
  const auto bad = std::find_if(values.begin(), values.end(), is_too_long);
  if (bad == values.end()) return x.to(DType::f64);
  const int64_t flat = bad - values.begin();
  fail(
      "[data] {} holds {} at row {}, column {} (counted from 0), an integer of more than the 53 bits of a "
      "double; subtract from each column its first number",
      quote(file), *bad, flat / x.size(1), flat % x.size(1));
}

/// The first axis numbers the points, the others become one: (N, ...) -> (N, D).
Dataset load_npy(const std::string& file, const LoadOptions& options) {
  Dataset data;
  // Bytes are read whole, as what they are (`binary`) must not depend on how many are used.
  data.x = read_npy(file, npy_type(file) == DType::u8 ? 0 : options.limit);
  const Shape shape = data.x.shape();
  if (shape.rank() < 1 || shape.rank() > 4 || shape.elements() == 0)
    fail("[data] {} holds an array of shape {}; points (N, ...) on one to four axes are needed", quote(file),
         shape.str());
  data.x = data.x.reshape({shape[0], shape.elements() / shape[0]});
  if (data.x.dtype() == DType::i64) data.x = in_f64(data.x, file);
  const auto colours = [](int64_t channels) { return channels == 1 || channels == 3; };
  if (shape.rank() == 3 || (shape.rank() == 4 && colours(shape[3]))) {
    data.height = shape[1];
    data.width = shape[2];
    data.channels = shape.rank() == 4 ? shape[3] : 1;
  } else if (shape.rank() == 4) {
    data.no_images =
        fmt::format("its shape is {}, images are (N, H, W) or (N, H, W, C) with C = 1 or 3{}", shape.str(),
                    colours(shape[1]) ? "; if these are (N, C, H, W), save array.transpose(0, 2, 3, 1)" : "");
  }
  return data;
}

constexpr int64_t kLastToy = 1000000000;
constexpr const char* kFolder = "[:DIR]";
constexpr const char* kToyNumber = "[:RUN]";  // what a toy's name may be followed by

/// Which of a seed's toys "3" is; the first where nothing is said.
int64_t toy_number(const std::string& argument) {
  int64_t number = 0;
  const char* const end = argument.data() + argument.size();
  const auto [rest, error] = std::from_chars(argument.data(), end, number);
  if (!argument.empty() && (error != std::errc{} || rest != end || number < 0 || number > kLastToy ||
                            (argument[0] == '0' && argument.size() > 1)))
    fail("[data] {} is no number of a toy; toys of a seed are numbered 0, 1, 2, ...", quote(argument));
  return number;
}

/// `make` is given the seed and the number.
template <class Make>
Dataset load_toy(const Make& make, const std::string& run, const LoadOptions& options) {
  return make_toy_data(make(options.seed, toy_number(run)),
                       options.limit > 0 ? options.limit : kGeneratedPoints, options.split);
}

Dataset load_ppca(const std::string& run, const LoadOptions& options) {
  return load_toy(pca_toys(), run, options);
}
Dataset load_ring(const std::string& run, const LoadOptions& options) {
  return load_toy(ring_toys(), run, options);
}
Dataset load_linear_jtex(const std::string& run, const LoadOptions& options) {
  return load_toy(linear_jtex_toys(), run, options);
}
Dataset load_cubic_jtex(const std::string& run, const LoadOptions& options) {
  return load_toy(cubic_jtex_toys(), run, options);
}
Dataset load_gaussian(const std::string& run, const LoadOptions& options) {
  return load_toy(gaussian_toys(), run, options);
}
Dataset load_mobius(const std::string& run, const LoadOptions& options) {
  return load_toy(mobius_toys(), run, options);
}

Dataset load_digits(const std::string&, const LoadOptions& options) {
  return make_digits(options.limit > 0 ? options.limit : kGeneratedPoints, options.seed, options.split);
}

Dataset load_sprites(const std::string&, const LoadOptions& options) {
  return make_sprites(options.limit > 0 ? options.limit : kGeneratedPoints, options.seed, options.split);
}

Dataset load_faces(const std::string&, const LoadOptions& options) {
  return make_faces(options.limit > 0 ? options.limit : kGeneratedPoints, options.seed, options.split);
}

std::string known_kinds() {
  std::string names;
  for (const DatasetKind& kind : dataset_kinds())
    names += (names.empty() ? "" : ", ") + kind.name + kind.argument;
  return names;
}

/// Moments of the data are sums of squares, which must be neither more nor less than a double holds.
constexpr double kLargest = 1e150, kSmallest = 1e-150;

void check_finite(const Dataset& data) {
  if (data.has_pixels()) return;
  visit_floating(data.x.dtype(), "data", [&](auto zero) {
    const auto values = data.x.span<decltype(zero)>();
    double largest = 0;
    const auto bad = std::find_if(values.begin(), values.end(), [&](auto value) {
      const double size = std::abs(static_cast<double>(value));
      largest = std::max(largest, size);
      return !(size <= kLargest);  // nor is NaN
    });
    if (bad == values.end() && largest > 0 && largest < kSmallest)
      fail(
          "[data] {} holds no number above {:g}, whose squares are less than a double holds: multiply the "
          "data by a power of ten",
          quote(data.name), largest);
    if (bad == values.end()) return;
    const int64_t flat = bad - values.begin();
    fail("[data] {} holds {} at row {}, column {} (counted from 0); {}", quote(data.name), *bad,
         flat / data.dimensions(), flat % data.dimensions(),
         std::isfinite(*bad) ? "its square is more than a double holds: divide the data by a power of ten"
                             : "remove or replace such values");
  });
}

/// Whether no byte is above 1: an image that was binarised. (Of others, the first bright pixel says that it
/// is not.)
bool holds_only_0_and_1(const Dataset& data) {
  if (!data.has_pixels()) return false;
  const auto pixels = data.x.span<uint8_t>();
  return std::none_of(pixels.begin(), pixels.end(), [](uint8_t pixel) { return pixel > 1; });
}

/// Replaces every tensor that has a row for each point by what `choose` makes of it.
template <class F>
void choose_points(Dataset& data, const F& choose) {
  for (Tensor* rows : {&data.x, &data.labels, &data.factors.indices, &data.factors.values})
    if (rows->defined()) *rows = choose(*rows);
  data.fingerprint.clear();
}

/// Generators have points for test.
bool has_test(const std::string&, Split split) { return split == Split::test; }
bool has_training_points_only(const std::string&, Split) { return false; }

/// What a data set is asked for, with its kind.
struct Source {
  const DatasetKind& kind;
  std::string spec, argument;
  const LoadOptions& options;

  bool has(Split split) const { return split == Split::train || kind.has(argument, split); }
  /// Whether it would have a file of that split if it were there.
  bool may_have(Split split) const { return kind.argument == kFolder && split == Split::test; }
};

/// The file of a split that the source has, or the training points of one without files.
Dataset load_file(const Source& source, Split split) {
  LoadOptions options = source.options;
  options.split = split;
  Dataset data = source.kind.load(source.argument, options);
  data.name = source.spec;
  check_finite(data);
  data.binary = holds_only_0_and_1(data);
  if (options.limit > 0 && options.limit < data.points())
    // Copies, so that the rest can be freed. (Images limit themselves: theirs is mapped.)
    choose_points(data, [&](const Tensor& rows) { return rows.slice(0, options.limit).clone(); });
  return data;
}

void append(Dataset& data, const Dataset& more) {
  const auto both = [](Tensor& rows, const Tensor& further) {
    if (!rows.defined() || !further.defined()) {
      rows = Tensor();
      return;
    }
    Shape shape = rows.shape();
    shape[0] += further.size(0);
    const Tensor joined = Tensor::empty(shape, rows.dtype());
    copy_range(joined, 0, rows, 0, 0, rows.size(0));
    copy_range(joined, rows.size(0), further, 0, 0, further.size(0));
    rows = joined;
  };
  if (more.dimensions() != data.dimensions())
    fail("[data] the files of {} do not belong together: points of {} and of {} dimensions", quote(data.name),
         data.dimensions(), more.dimensions());
  both(data.x, more.x);
  both(data.labels, more.labels);
  both(data.factors.indices, more.factors.indices);
  both(data.factors.values, more.factors.values);
  data.binary = data.binary && more.binary;
  data.fingerprint.clear();
}

void check_division(const Source& source) {
  const Division& division = source.options.division;
  for (const auto& [split, amount] :
       {std::pair{Split::validation, division.validation}, {Split::test, division.test}})
    if (amount > 0 && source.has(split))
      fail(
          "[--{}] {} has {} points of its own, so none are cut; leave --{} away, or, for a run that was "
          "divided without them, take their files away",
          name(split), quote(source.spec), name(split), name(split));
}

Dataset load_split(const Source& source) {
  const auto& [split, division] = std::pair{source.options.split, source.options.division};
  check_division(source);
  if (split == Split::all) {
    Dataset data = load_file(source, Split::train);
    for (const Split other : {Split::validation, Split::test})
      if (source.has(other)) append(data, load_file(source, other));
    return data;
  }
  const bool cut = division.any() && (split == Split::train || !source.has(split));
  // Where files are missing, loading says which.
  if (!cut && (source.has(split) || source.may_have(split))) return load_file(source, split);
  if ((split == Split::validation ? division.validation : division.test) == 0 && split != Split::train)
    fail(
        "[data] {} has no {} split of its own; have one cut from its training points with --{} 0.1 (a share "
        "below 1, or how many){}",
        quote(source.spec), name(split), name(split),
        source.kind.load == &load_images ? ", or put a list_eval_partition.txt or .csv beside its images"
                                         : "");
  Dataset data = load_file(source, Split::train);
  const std::string whole = data.fingerprint.empty() ? fingerprint(data.x) : data.fingerprint;
  const Tensor rows = rows_of_split(data.points(), division, split);
  choose_points(data, [&](const Tensor& all) { return gather_rows(all, rows); });
  data.rows = rows;
  data.divided = whole;
  return data;
}

}  // namespace

std::span<const DatasetKind> dataset_kinds() {
  static const std::array<DatasetKind, 15> kinds{{
      {"mnist", kFolder, "handwritten digits 28x28, from IDX files", &load_mnist, &has_mnist},
      {"fashion-mnist", kFolder, "photographs of clothes 28x28, from files called as MNIST's",
       &load_fashion_mnist, &has_fashion_mnist},
      {"kmnist", kFolder, "handwritten hiragana 28x28, from files called as MNIST's", &load_kmnist,
       &has_kmnist},
      {"cifar10", kFolder, "colour photographs 32x32 of ten classes, from CIFAR-10's binary files",
       &load_cifar10, &has_cifar10},
      {"images", ":DIR[,OPTION...]",
       "the PNG and JPEG files in a folder; crop=N, WxH or WxH+X+Y, size=N or WxH (64), rgb or grey, strict",
       &load_images, &has_images_for},
      {"npy", ":FILE", "the points (N, ...) in a NumPy file", &load_npy, &has_training_points_only},
      {"ppca", kToyNumber, "generated: 10 dimensions from 2 latent ones and noise", &load_ppca, &has_test,
       false},
      {"ppca-ring", kToyNumber, "generated: the same, bent to a ring", &load_ring, &has_test, false},
      {"linear-jtex", kToyNumber, "generated: two dimensions from two, whose posteriors no mean field has",
       &load_linear_jtex, &has_test, false},
      {"cubic-jtex", kToyNumber, "generated: the cubes of such points", &load_cubic_jtex, &has_test, false},
      {"gaussian", kToyNumber, "generated: four dimensions from two, with hardly any noise", &load_gaussian,
       &has_test, false},
      {"mobius", kToyNumber, "generated: a Möbius transform of a Gaussian, with hardly any noise",
       &load_mobius, &has_test, false},
      {"digits", "", "generated: digits 28x28 drawn by strokes", &load_digits, &has_test},
      {"sprites", "", "generated: a square, ellipse or heart 64x64, with the factors it was made from",
       &load_sprites, &has_test},
      {"faces", "", "generated: faces 64x64 in colour, with the factors they were made from", &load_faces,
       &has_test},
  }};
  return kinds;
}

std::string plain_specification(const std::string& spec) {
  for (const DatasetKind& kind : dataset_kinds())
    if (kind.argument == kToyNumber && spec == kind.name + ":0") return kind.name;
  return spec;
}

std::string kind_of(const std::string& spec) { return spec.substr(0, spec.find(':')); }

const DatasetKind* find_kind(const std::string& spec) {
  const auto kinds = dataset_kinds();
  const auto kind = std::find_if(kinds.begin(), kinds.end(),
                                 [&](const DatasetKind& each) { return each.name == kind_of(spec); });
  return kind == kinds.end() ? nullptr : &*kind;
}

bool are_same_source(const std::string& one, const std::string& other) {
  const DatasetKind* const kind = find_kind(one);
  if (!kind || kind != find_kind(other)) return one == other;
  if (kind->generates()) return plain_specification(one) == plain_specification(other);
  const auto place = [&](const std::string& spec) {
    const std::string argument = spec.size() > kind->name.size() ? spec.substr(kind->name.size() + 1) : "";
    const std::string path = kind->load == &load_images ? split_image_argument(argument).directory : argument;
    std::error_code ignored;
    const auto whole = std::filesystem::weakly_canonical(path, ignored);
    return whole.has_filename() ? whole : whole.parent_path();
  };
  const std::filesystem::path first = place(one), second = place(other);
  return first.empty() || second.empty() || first == second;
}

namespace {

/// Throws for what no data set is, whatever files there are.
Source source_of(const std::string& given, const LoadOptions& options) {
  const std::string spec = plain_specification(given);
  const size_t colon = spec.find(':');
  const std::string name = kind_of(spec);
  const std::string argument = colon == std::string::npos ? "" : spec.substr(colon + 1);
  const DatasetKind* const kind = find_kind(spec);
  if (!kind) fail("[data] unknown data set {}; there are {}", quote(spec), known_kinds());
  if (kind->argument.empty() && colon != std::string::npos)
    fail("[data] {} takes nothing after its name, got {}", name, quote(spec));
  if (argument.empty() && (kind->argument.starts_with(':') || colon != std::string::npos))
    fail("[data] {} lacks what follows the colon; give {}{}", quote(spec), name, kind->argument);
  if (options.limit < 0 || options.subset < 0)
    fail("[data] limit and subset cannot be negative, got {} and {}", options.limit, options.subset);
  return {*kind, spec, argument, options};
}

void check_subset(const Source& source, int64_t points) {
  if (source.options.subset > points)
    fail("[data] a random subset of {} points cannot be drawn from the {} of {}", source.options.subset,
         points, quote(source.spec));
}

}  // namespace

bool may_have_split(const std::string& spec, Split split) {
  const LoadOptions none;
  const Source source = source_of(spec, none);
  return source.has(split) || source.may_have(split) || source.kind.load == &load_images;
}

std::optional<int64_t> points_to_draw(const std::string& spec, const LoadOptions& options) {
  const Source source = source_of(spec, options);
  if (!source.kind.argument.empty()) return std::nullopt;  // files, and toys, whose points are small
  check_division(source);
  int64_t points = options.limit > 0 ? options.limit : kGeneratedPoints;
  check_points_to_draw(source.kind.name, points);
  if (options.division.any() && (options.split == Split::train || !source.has(options.split)))
    points = rows_of_split(points, options.division, options.split).size(0);
  check_subset(source, points);
  return options.subset > 0 ? options.subset : points;
}

Dataset load_dataset(const std::string& given, const LoadOptions& options) {
  const Source source = source_of(given, options);
  Dataset data = load_split(source);
  data.split = options.split;
  check_subset(source, data.points());
  if (options.subset > 0) {
    const Tensor order = permutation(data.points(), {.seed = options.seed, .stream = kSubset});
    const Tensor chosen = order.slice(0, options.subset);
    choose_points(data, [&](const Tensor& rows) { return gather_rows(rows, chosen); });
    data.rows = data.rows.defined() ? gather_rows(data.rows, chosen) : chosen.clone();
  }
  if (data.fingerprint.empty()) data.fingerprint = fingerprint(data.x);
  return data;
}

std::string fingerprint(const Tensor& x) {
  Hash hash = tensor_hash(x.dtype(), x.shape());
  hash.add({static_cast<const char*>(x.bytes()), static_cast<size_t>(x.byte_count())});
  return hash.str();
}

std::vector<std::string> data_directories() {
  std::vector<std::string> directories{"data", "../shared/data"};
  const char* own = std::getenv("ELBO_DATA");
  if (own && *own) directories.insert(directories.begin(), own);
  return directories;
}

FoundData find_data(const std::string& directory, std::initializer_list<const char*> names,
                    const std::function<bool(const std::string&)>& has) {
  FoundData found;
  const auto look_in = [&](const std::string& folder) {
    found.looked += (found.looked.empty() ? "" : ", ") + quote(folder);
    if (!found.folder && has(folder)) found.folder = folder;
  };
  for (const std::string& root : directory.empty() ? data_directories() : std::vector{directory}) {
    for (const char* name : names) look_in(*name ? (std::filesystem::path(root) / name).string() : root);
  }
  return found;
}

}  // namespace elbo
