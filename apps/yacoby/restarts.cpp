#include "apps/yacoby/restarts.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "apps/support/best.h"

namespace elbo::yacoby {
namespace {

/// (S, N, D) -> (M, N, D): of S sets, each so many times, those of some members.
Tensor repeated(const Tensor& sets, int64_t restarts, const MemberRange& some) {
  const Tensor all = Tensor::empty({some.count, sets.size(1), sets.size(2)}, sets.dtype());
  for (int64_t m = 0; m < some.count; ++m) all.slice(m).copy_from(sets.slice((some.first + m) / restarts));
  return all;
}

}  // namespace

const std::vector<DataKind>& data_kinds() {
  static const std::vector<DataKind> kinds{
      {YacobyModel::linear_jtex, "linear-jtex", "LinearJTEx", linear_jtex_toys(), 1},
      {YacobyModel::cubic_jtex, "cubic-jtex", "CubicJTEx", cubic_jtex_toys(), 4},
      {YacobyModel::gaussian, "gaussian", "Gaussian", gaussian_toys(), 1.5},
      {YacobyModel::mobius, "mobius", "Mobius", mobius_toys(), 4}};
  return kinds;
}

const DataKind& data_kind(std::string_view key) {
  std::vector<std::string> keys;
  for (const DataKind& kind : data_kinds()) {
    if (key == kind.key) return kind;
    keys.emplace_back(kind.key);
  }
  fail("[yacoby] there are no data {}; there are {}", key, fmt::join(keys, ", "));
}

void add_restart_options(Arguments& arguments, RestartOptions& o) {
  const auto number = [&](const char* name, auto& value, const Bounds& bounds, const char* help) {
    arguments.add_number(name, value, help, bounds).show_default();
  };
  number("--sets", o.sets, kCount, "Data sets of each kind");
  number("--restarts", o.restarts, kCount, "Restarts on each data set");
  number("--points", o.points, {3, 1e9L}, "Points of a data set, for training, validation and testing each");
  number("--epochs", o.epochs, kCount, "Steps on all points, of a whole training");
  number("--lr", o.rate, kPositive, "Adam's learning rate");
}

Restarts::Restarts(const DataKind& kind, const RestartOptions& o)
    : Restarts(kind, o, {0, o.sets * o.restarts}) {}

Restarts::Restarts(const DataKind& kind, const RestartOptions& o, const MemberRange& some)
    : kind_(kind.model),
      restarts_(o.restarts),
      seed_(o.run.seed),
      sets_(draw_sets(kind.toys, {.sets = o.sets,
                                  .train = o.points,
                                  .validation = o.points,
                                  .test = o.points,
                                  .seed = o.run.seed,
                                  .dtype = DType::f64})),
      train_(repeated(sets_.train, restarts_, some)),
      validation_(repeated(sets_.validation, restarts_, some)) {}

std::unique_ptr<Vae> Restarts::model(Device device, int64_t members, int64_t first_member) const {
  return yacoby_vae(kind_, sets_.toys[0].truth,
                    {.device = device, .members = members, .first_member = first_member}, seed_);
}

std::vector<int64_t> Restarts::best_of_each(const std::vector<double>& scores) const {
  std::vector<int64_t> best(static_cast<size_t>(sets_.train.size(0)), -1);
  for (int64_t m = 0; m < members(); ++m) {
    int64_t& own = best[static_cast<size_t>(set_of(m))];
    const double score = scores.at(static_cast<size_t>(m));
    if (own < 0 ? std::isfinite(score) : beats(score, scores[static_cast<size_t>(own)])) own = m;
  }
  return best;
}

}  // namespace elbo::yacoby
