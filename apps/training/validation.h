// Validation: what models are worth on points that their training does not see, every few epochs; the
// parameters of each at its best; and when a member has had enough of it.
//
// What it finds goes to validation.csv, a file of its own beside metrics.csv: its rows are fewer, and of
// other points. The best parameters lie beside the checkpoint, in a file that the checkpoint names, so that a
// run that is broken off between the two finds those that belong to it. Does not know how models are
// evaluated.
#pragma once

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "apps/support/run_directory.h"
#include "apps/training/options.h"
#include "nn/parameters.h"
#include "nn/safetensors.h"

namespace elbo {

struct ValidationOptions {
  int64_t every = 0;     ///< epochs; 0: never
  int64_t patience = 0;  ///< so many evaluations in a row that were not better end a member; 0: none do
};
/// --validate-every and --patience.
void add_validation_options(Arguments& arguments, ValidationOptions& options);
/// Throws for a patience that nothing would count, and for evaluations that no epoch has.
void check(const ValidationOptions& options, int64_t epochs);

/// Another split of the data that are trained on, preprocessed as these. Throws where there is none.
LoadedData load_held_out(const DataOptions& options, const LoadedData& training, Split split);

/// One evaluation of one member, in nats per data point.
struct HeldOut {
  double elbo = 0, standard_error = 0;  ///< the latter over the points
  double expected_log_likelihood = 0, kl = 0;
};

/// What is known of one member.
struct MemberValidation {
  std::vector<double> epoch, elbo, standard_error;  ///< of each evaluation
  int64_t best_epoch = 0;                           ///< 0: there was none yet
  double best_elbo = std::nan(""), best_standard_error = std::nan("");
  int64_t since_best = 0;  ///< evaluations
  int64_t ended = 0;       ///< the epoch at which patience ended it; 0: it did not

  /// Takes in an evaluation, and says whether it is the best so far. One that is no number never is.
  bool take_in(int64_t at_epoch, const HeldOut& found, int64_t patience);
};

class Validation {
 public:
  /// Of the models whose parameters are in the store, which must outlive this; files go to a folder of the
  /// run ("linear/", or "").
  Validation(const ValidationOptions& options, const ParameterStore& parameters, const RunDirectory& run,
             const std::string& folder = "");

  /// Begins, or goes on from the state that a checkpoint holds. Throws Error for one that is not of this run.
  void begin();
  void resume(const std::string& state);

  /// Whether the models, as they are after this epoch, are to be evaluated and have not been.
  bool due(int64_t epoch) const;
  /// Takes in an evaluation of all members, nothing for those that broke; members that have ended are passed
  /// over. Says in a line which end here.
  void take_in(int64_t epoch, const std::vector<std::optional<HeldOut>>& found, double seconds);

  bool ended(int64_t member) const { return members_.at(static_cast<size_t>(member)).ended > 0; }
  const std::vector<MemberValidation>& members() const { return members_; }
  /// For the progress line: ", validation -120.3 (best at epoch 40)".
  std::string text() const;

  /// Writes what a checkpoint after so many steps needs of it and returns the state to put there; `saved`,
  /// once that lies on the disk, removes what the one before needed.
  std::string save(int64_t step);
  void saved() const;

  /// Puts each member's best parameters into a store of the same model.
  void copy_best(ParameterStore& parameters) const;

 private:
  void keep(size_t member);
  std::string path(const std::string& file) const { return run_.file(folder_ + "checkpoint/" + file); }

  const ValidationOptions options_;
  const ParameterStore& parameters_;
  const RunDirectory& run_;
  const std::string folder_;
  std::vector<MemberValidation> members_;
  std::vector<NamedTensor> best_;  // on the CPU, laid out as the store's
  std::optional<CsvFile> csv_;
  int64_t last_epoch_ = 0;  // evaluated
  std::string file_;        // that holds best_ as it is; empty: none does
  bool changed_ = false;
};

}  // namespace elbo
