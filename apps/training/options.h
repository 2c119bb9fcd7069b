// The options that many commands share, and what they mean: data, preprocessing, device, threads, output.
#pragma once

#include <optional>
#include <string>

#include "apps/support/arguments.h"
#include "apps/support/result.h"
#include "apps/training/loaded_data.h"

namespace elbo {

struct DataOptions {
  std::string data = "mnist";
  std::string preprocess = "scale";
  bool preprocess_is_default =
      false;  ///< set by a command whose default is another, when the user named none
  std::optional<Argument> preprocess_argument{};  ///< says whether the user named one
  double alpha = 0;                               ///< 0: the papers' value for this kind of image
  std::optional<Argument> alpha_argument{};       ///< likewise
  int64_t limit = 0, subset = 0;
  Division division{};         ///< what is held out of the training points
  Split split = Split::train;  ///< which part is wanted
  bool standardize = false;
};

struct RunOptions {
  uint64_t seed = 0;
  std::string device = "auto", precision = "f32";
  int threads = 0;  ///< 0: all cores
  std::string out;
  bool json = false;
};

void add_data_options(Arguments& arguments, DataOptions& options);
/// --seed, --device, --threads, --json; and --out for a command that writes a run directory.
void add_run_options(Arguments& arguments, RunOptions& options, bool writes_run);

/// Checks the device, and sets the number of threads, the precision of products on a GPU and that its
/// convolutions are the same every time.
void apply(const RunOptions& options);
/// For commands that are over in a moment, or need LAPACK's factorisations and nothing else: `auto` means the
/// CPU to them, in what they do and in what they say of it.
void apply_on_cpu(RunOptions& options);
/// Where the models of a command live: `auto` means a GPU if there is one.
Device device_of(const RunOptions& options);

/// The specification with its file or folder as an absolute path, where it names one: what it stands for in
/// this directory, said for any.
std::string absolute_specification(const std::string& spec);
/// The points that the options name, as they are stored; throws where they cannot be found.
Dataset load_points(const DataOptions& options, uint64_t seed);
/// Throws where the user named an alpha that nothing is done with.
void check_alpha(const DataOptions& options, Preprocessing::Kind kind);
/// The data that the options name. Throws where they cannot be found or preprocessed as asked.
LoadedData load_data(const DataOptions& options, uint64_t seed);

/// What the GPU is, which there must be.
Json describe_gpu();

/// Where the data are standardised: what that adds to an ELBO or log-likelihood, and each of `nats`, which
/// are such, in the units from before.
void set_data_units(Result& result, const LoadedData& data,
                    std::initializer_list<std::pair<const char*, double>> nats);

/// Provenance with build, machine, threads and seed; and with these data.
Provenance provenance_of(const RunOptions& run);
Provenance provenance_of(const RunOptions& run, const LoadedData& data);
Json to_json(const RunOptions& run);
Json to_json(const DataOptions& data, const RunOptions& run);
/// The seed and, unless another was asked for, the number of threads of a run that is continued; and its
/// data.
void restore(RunOptions& run, const Json& config);
void restore(DataOptions& data, RunOptions& run, const Json& config);

}  // namespace elbo
