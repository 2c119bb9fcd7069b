// What commands share that go on with an interrupted run (--resume): the run is the one that was begun, on
// the same data, or there is an error.
//
//   const Options asked = o;
//   const Json config = begin_resume(o.run, o.resume, "train");
//   restore_from(config, arguments, to_json(asked), o.resume, [&] { restore(o, config); });
//   keep_changeable(o.run, o.training, asked.run, asked.training, arguments, config);
//   check_given(o.data, arguments, to_json(asked), to_json(o), o.resume);
//   ...
//   check_same_data(data, o.resume);                               // once they are loaded
#pragma once

#include "apps/training/training_options.h"
#include "tensor/function_ref.h"

namespace elbo {

/// Sets the run directory to `directory`, and returns the config of the run of `command` that is in it.
/// Throws for an --out that names another.
Json begin_resume(RunOptions& run, const std::string& directory, const std::string& command);

/// Calls restore(), which takes options from the config of the run in `directory`. Throws Error where an
/// option there is of another kind than elbo writes, has a value that the command line would refuse, or is a
/// list of nothing, and is not the default that `asked` has.
void restore_from(const Json& config, const Arguments& arguments, const Json& asked,
                  const std::string& directory, FunctionRef<void()> restore);

/// Takes from the options as given what a resumed run may have anew: --device, which is the run's where it
/// was not given, and --checkpoint-seconds. (--threads and --json need no help.)
void keep_changeable(RunOptions& run, const RunOptions& asked, const Arguments& arguments,
                     const Json& config);
void keep_changeable(RunOptions& run, TrainingOptions& training, const RunOptions& asked_run,
                     const TrainingOptions& asked_training, const Arguments& arguments, const Json& config);

/// Throws Error that names every other option that was given, on the command line or in a file, with another
/// value than the run's; `asked` and `run` are the options as given and as restored. --data alone may name
/// another place, where check_same_data must find the same data.
void check_given(DataOptions& data, const Arguments& arguments, const Json& asked, const Json& run,
                 const std::string& directory);

/// What config.json says of the data, so that they can be known again: fingerprint, N and D; and likewise of
/// the validation split, where there is one.
Json data_record(const LoadedData& data, const std::optional<LoadedData>& validation = {});
/// Throws Error when these are not the data that the run in `directory` began with.
void check_same_data(const LoadedData& data, const std::string& directory,
                     const std::optional<LoadedData>& validation = {});

}  // namespace elbo
