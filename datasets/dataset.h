// Dataset: the data points of an experiment in memory, and how they are found from what a user types.
//
// A specification such as "mnist", "npy:faces.npy" or "digits" names a row of one table (dataset_kinds);
// adding a kind of data means one loader function and one row. Pixels stay u8 until preprocessing.h turns
// them into numbers. Uses tensor/ only.
//
//   Dataset train = load_dataset("mnist", {.subset = 1000, .seed = 7});
//   train.x;                                           // u8 (1000, 784)
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "datasets/splits.h"
#include "tensor/tensor.h"

namespace elbo {

/// What each point was made from, where a generator knows it: the truth that measures of disentanglement
/// compare a model's latent dimensions with.
struct Factors {
  std::vector<std::string> names;  ///< of F factors; empty where there are none
  std::vector<int64_t> levels;     ///< (F): how many values a factor has, or bins it was sorted into
  Tensor indices;                  ///< (N, F) i64: which of them a point has, 0..levels[f]-1
  Tensor values;                   ///< (N, F) f64: the same in the factor's own unit, without bins
};

struct Dataset {
  std::string name;                             ///< as asked for: "mnist", "npy:faces.npy"
  Tensor x;                                     ///< (N, D): u8 pixels 0..255, or f32 / f64 values
  Tensor labels;                                ///< (N) u8 classes; undefined where there are none
  int64_t height = 0, width = 0, channels = 0;  ///< a row is an image (H, W, C); 0 where it is none
  std::string no_images = {};                   ///< why x holds none, though its array has four axes
  std::string fingerprint;                      ///< of x, see `fingerprint`
  std::map<std::string, Tensor> truth;          ///< a generator's own parameters by name
  Factors factors = {};                         ///< of each point, where they are known
  bool binary = false;                          ///< the pixels are 0 and 1 only, and taken as these numbers

  /// (N) i64: which row of its file each point was before it was cut off or drawn; undefined: 0..N-1.
  Tensor rows = {};
  Split split = Split::train;  ///< which part of the source x is
  std::string divided = {};    ///< fingerprint of what x was cut from; empty where nothing was divided

  int64_t points() const { return x.size(0); }
  int64_t dimensions() const { return x.size(1); }
  bool has_pixels() const { return x.dtype() == DType::u8; }
};

struct LoadOptions {
  /// The first `limit` points of each file, as if it had no others; 0 means all. A generator makes exactly as
  /// many.
  int64_t limit = 0;
  Division division = {};      ///< then what is cut from the training file
  Split split = Split::train;  ///< which part is wanted
  int64_t subset = 0;          ///< then so many of its points at random, drawn by `seed`; 0 means all
  uint64_t seed = 0;           ///< of `subset` and of generators
  /// Called on the calling thread while a long load is under way (images are decoded); returning false gives
  /// up, which is an Error.
  std::function<bool(int64_t done, int64_t total)> progress = {};
  /// Told, in one line, what the user should know of a load that went well: files that were skipped.
  std::function<void(const std::string& line)> note = {};
};

/// The split of the data set that `spec` names; `all` is the training file and then those that the source has
/// for validation and test. Bytes none of which is above 1 are `binary`. Throws Error when the kind is
/// unknown, nothing is found (and where it was looked for), a file is damaged, a value is NaN or infinite,
/// the source has no such split and none is cut, or one is to be cut that it has.
/// What `images` decoded is mapped from its cache and takes no memory of its own, with `limit` too; a part
/// that is cut, `all` of several files, and `subset` are copies.
Dataset load_dataset(const std::string& spec, const LoadOptions& options = {});

/// How many points load_dataset would give of pictures that a generator draws, which it takes seconds to do
/// and an instant to count; nothing for other data. `split` is train or test. Throws as load_dataset does for
/// a name, a division and a subset that cannot be.
std::optional<int64_t> points_to_draw(const std::string& spec, const LoadOptions& options = {});

/// One kind of data that a specification can name.
struct DatasetKind {
  std::string name;
  std::string argument;  ///< "" none, "[:DIR]" optional, ":FILE" required, "[:RUN]" the number of a toy
  std::string summary;   ///< for --help
  Dataset (*load)(const std::string& argument, const LoadOptions&);  ///< the file of a split that it has
  /// Whether the source has points of its own for validation, for test.
  bool (*has)(const std::string& argument, Split split);
  bool has_path = true;  ///< whether the argument is one

  bool generates() const { return argument.empty() || !has_path; }  ///< the points, from a seed
};
std::span<const DatasetKind> dataset_kinds();

/// The same specification as it is written shortest, so that texts can be compared: "ppca" for "ppca:0".
/// Others, and what is none, stay as they are.
std::string plain_specification(const std::string& spec);

/// Which data a specification names, wherever their files lie: "mnist" of "mnist" and of "mnist:DIR".
std::string kind_of(const std::string& spec);

/// The row of the table that a specification names; null where there is none.
const DatasetKind* find_kind(const std::string& spec);

/// Whether two specifications may name the same points: the same file or folder, however it is written, or,
/// where one of them does not say which, any. Of generated data the seeds must be the same, too.
bool are_same_source(const std::string& one, const std::string& other);

/// Whether the source has, or could have where its files are, points of its own for that split. Throws as
/// load_dataset does for a name.
bool may_have_split(const std::string& spec, Split split);

/// 16 hexadecimal digits that tell element type, shape and elements of x (FNV-1a, 64 bits).
std::string fingerprint(const Tensor& x);

/// Where data sets are looked for, in this order: $ELBO_DATA, data, ../shared/data.
std::vector<std::string> data_directories();

/// Where the files of a data set lie: the first folder that `has` them of `directory`, or else of all
/// data_directories(), in each the folders called `names`, of which "" is itself.
struct FoundData {
  std::optional<std::string> folder;  ///< nothing when there is none
  std::string looked;                 ///< where it was looked for, for messages
};
FoundData find_data(const std::string& directory, std::initializer_list<const char*> names,
                    const std::function<bool(const std::string& folder)>& has);

}  // namespace elbo
