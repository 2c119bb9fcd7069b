// What the trainings of Yacoby et al. have in common: data sets of one kind drawn anew, each with several
// restarts, as one ensemble in f64 on whole sets; and which restart of a data set is kept.
#pragma once

#include <string_view>

#include "apps/experiment/experiment.h"
#include "datasets/yacoby_toys.h"
#include "vae/yacoby_models.h"

namespace elbo::yacoby {

struct DataKind {
  YacobyModel model;
  const char *key, *title;  ///< "linear-jtex", "LinearJTEx"
  MakeToy toys;
  double cost;  ///< of a step, relative to LinearJTEx's
};
/// nats: a restart that is so close to an optimum is at it.
inline constexpr double kNear = 0.02;

/// The four of the paper.
const std::vector<DataKind>& data_kinds();
/// The one with that key; anything else is an Error that lists them.
const DataKind& data_kind(std::string_view key);

/// The options of experiments that train.
struct RestartOptions : ExperimentOptions {
  int64_t sets = 5, restarts = 10, points = 500, epochs = 30000;
  double rate = 0.01;
  RestartOptions() { has_data = false; }
  template <class F>
  void each_common(F f) {
    f("sets", sets);
    f("restarts", restarts);
    f("points", points);
    f("epochs", epochs);
    f("lr", rate);
  }
};
void add_restart_options(Arguments& arguments, RestartOptions& options);

/// Restart r of set s is member s * restarts + r.
class Restarts {
 public:
  Restarts(const DataKind& kind, const RestartOptions& options);
  /// Some of the members, which are counted from 0 here.
  Restarts(const DataKind& kind, const RestartOptions& options, const MemberRange& some);

  const ToySets& sets() const { return sets_; }
  int64_t members() const { return train_.size(0); }
  int64_t set_of(int64_t member) const { return member / restarts_; }
  /// Each member's own: (M, N, D) f64.
  const Tensor& train() const { return train_; }
  const Tensor& validation() const { return validation_; }
  /// So many members at their start.
  std::unique_ptr<Vae> model(Device device, int64_t members, int64_t first_member = 0) const;
  /// Of each set, the member with the highest score that is a number; -1 where there is none.
  std::vector<int64_t> best_of_each(const std::vector<double>& scores) const;

 private:
  YacobyModel kind_;
  int64_t restarts_;
  uint64_t seed_;
  ToySets sets_;
  Tensor train_, validation_;
};

}  // namespace elbo::yacoby
