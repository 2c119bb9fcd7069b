#include "apps/luecke/recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/experiment/parts.h"
#include "apps/experiment/training_unit.h"
#include "apps/support/interrupt.h"
#include "apps/training/model_folder.h"
#include "tensor/error.h"
#include "tensor/file.h"
#include "vae/elbo_loss.h"
#include "vae/luecke_file.h"
#include "vae/set_batches.h"
#include "vae/training.h"

namespace elbo {
namespace {

constexpr const char* kRecord = "record";  // in a checkpoint

[[noreturn]] void fail_as_all_broke(const UnitPlace& place) {
  const std::string unit = std::filesystem::path(place.folder).parent_path().stem();  // of "running/ring.1/"
  fail("[train] no bound of the runs of {} is finite; try a smaller learning rate", quote(unit));
}

Training training_of(Vae& vae, const Tensor& x, const RecordedTraining& how) {
  const BatchSource batches = shuffled_batches(x, how.batch, how.seed);
  return Training(vae.parameters(),
                  {{.loss = elbo_loss(vae, {}, how.samples),
                    .steps = how.epochs * batches.per_epoch,
                    .rates = {how.rate}}},
                  batches, {.seed = how.seed});
}

int64_t steps_of_epoch(const Tensor& x, const RecordedTraining& how) {
  return shuffled_batches(x, how.batch, how.seed).per_epoch;
}

/// Of the probes of elbo_loss: the bound, and the sum of the entropies.
double bound_in(const LossTerms& terms, int64_t member) { return elbo_in(terms, member); }
double entropies_in(const LossTerms& terms, int64_t member) {
  const auto probe = [&](size_t index) { return terms.probes.at(index).at(member); };
  return probe(4) - probe(2) - probe(3);  // encoder, prior, decoder
}

/// Whether no bound of the last epoch is finite.
bool all_broke(const Recorded& record) {
  return std::ranges::none_of(record.bound, [](const auto& row) { return std::isfinite(row.back()); });
}

}  // namespace

Json train_recorded(Vae& vae, const Tensor& x, const RecordedTraining& how, const UnitPlace& place,
                    const Look& look) {
  Training training = training_of(vae, x, how);
  const auto members = static_cast<size_t>(vae.models());
  const int64_t per_epoch = steps_of_epoch(x, how);
  UnitCheckpoint checkpoint(place);
  Recorded record;
  record.bound.resize(members);
  record.entropies.resize(members);
  const auto keep = [&](int64_t epoch) {
    if (!look) return;
    if (Json found = look(epoch); !found.is_null()) record.looks.push_back(std::move(found));
  };
  if (checkpoint.there())
    record = recorded_from(Json::parse(checkpoint.take_up(training).at(kRecord)));
  else
    keep(0);
  while (record.epochs() < how.epochs) {
    std::vector<double> bound(members), entropies(members);
    double points = 0;
    for (int64_t step = 0; step < per_epoch; ++step) {
      if (interrupted()) return {};
      if (!training.step()) {
        if (!how.may_break) fail_as_all_broke(place);
        break;
      }
      const auto n = static_cast<double>(training.x().size(-2));
      points += n;
      for (size_t m = 0; m < members; ++m) {
        bound[m] += n * bound_in(training.terms(), static_cast<int64_t>(m));
        entropies[m] += n * entropies_in(training.terms(), static_cast<int64_t>(m));
      }
    }
    for (size_t m = 0; m < members; ++m) {
      if (training.stopped(static_cast<int64_t>(m)) >= 0) bound[m] = entropies[m] = std::nan("");
      record.bound[m].push_back(bound[m] / points);
      record.entropies[m].push_back(entropies[m] / points);
    }
    const int64_t done = record.epochs();
    keep(done);
    place.progress(static_cast<double>(done) / static_cast<double>(how.epochs), [&] {
      return fmt::format("epoch {}, bound {:.3f}, entropies {:.3f} nats", done, record.bound[0].back(),
                         record.entropies[0].back());
    });
    checkpoint.save_when_due(training, [&] {
      return std::map<std::string, std::string>{{kRecord, to_json(record).dump()}};
    });
  }
  if (!how.may_break && all_broke(record)) fail_as_all_broke(place);
  return to_json(record);
}

Json join_recorded(const UnitPlace& place, const std::vector<PartOutcome>& parts) {
  Recorded all;
  for (const PartOutcome& part : parts) {
    Recorded own = recorded_from(part.result);
    if (all.bound.empty()) all.looks = std::move(own.looks);  // of the first run
    append(all, own);
  }
  if (all_broke(all)) fail_as_all_broke(place);
  join_models(place, parts);
  return to_json(all);
}

double seconds_of_training(Vae& vae, const Tensor& x, const RecordedTraining& how) {
  RecordedTraining longer = how;
  ++longer.epochs;  // seconds_for_steps takes a step more, to warm up
  Training training = training_of(vae, x, longer);
  return seconds_of(training, how.epochs * steps_of_epoch(x, how));
}

double cost_of_training(const Vae& vae, int64_t points, const RecordedTraining& how) {
  const auto parameters = static_cast<double>(vae.parameters().count());  // of all members
  const double draws =
      static_cast<double>(how.epochs) * static_cast<double>(points) * static_cast<double>(how.samples);
  return draws * (parameters + static_cast<double>(vae.models() * vae.dimensions()) * 20);
}

void save_members(LueckeModel model, const LueckeOptions& options, const Vae& vae, const Recorded& recorded,
                  const UnitPlace& place, const std::function<ModelCard(int64_t run)>& card) {
  std::vector<SavedMember> list;
  for (int64_t m = 0; m < vae.models(); ++m) {
    const int64_t run = options.first_member + m;
    ModelCard own = card(run);
    own.member = run;
    own.entropies_obstacle = "";  // of its training; the model itself knows whether sigma is fixed
    save_luecke_vae(place.directory.file(place.folder + model_name(!vae.has_members(), run)), model, options,
                    vae, m, metadata_of(own));
    list.push_back({run, fmt::format("run {}", run), recorded.bound.at(static_cast<size_t>(m)).back()});
  }
  if (vae.has_members()) write_member_list(place.directory, place.folder, list);
}

}  // namespace elbo
