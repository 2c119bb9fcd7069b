// Table 1 of Yacoby et al.: what is trained for it, and what is said of the results.
#pragma once

#include "apps/yacoby/findings.h"

namespace elbo::yacoby {

struct Table1Options : RestartOptions {
  std::vector<std::string> kinds, methods, settings;
  int64_t importance_samples = 5000;
  /// The paper has 20 000, of the same expectation: only the error of the mean is smaller.
  int64_t knn_repetitions = 2000;
  template <class F>
  void each(F f) {
    each_common(f);
    f("data_sets", kinds);
    f("methods", methods);
    f("settings", settings);
    f("importance_samples", importance_samples);
    f("knn_repetitions", knn_repetitions);
  }
};

/// What is trained on one kind of data.
struct Cell {
  const DataKind* kind;
  Setting setting;
  std::string key() const { return fmt::format("{}-{}", kind->key, key_of(setting)); }
};

/// Those that the options leave. Throws for names that are none.
std::vector<const DataKind*> kinds_of(const Table1Options& options);
std::vector<Cell> cells_of(const Table1Options& options);

/// Of the unit that measures the model a kind of data comes from.
inline std::string truth_key(const DataKind& kind) { return fmt::format("{}-truth", kind.key); }

void present_table1(const Table1Options& options, const Outcomes& outcomes, Presentation& presentation);

}  // namespace elbo::yacoby
