#include "apps/training/validation.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "apps/support/best.h"
#include "apps/support/log.h"
#include "nn/checkpoint.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr const char* kCsv = "validation.csv";
constexpr const char* kPrefix = "best-";
const std::vector<std::string> kColumns{
    "epoch", "member", "elbo", "elbo_standard_error", "expected_log_likelihood", "kl", "best", "seconds"};

}  // namespace

void add_validation_options(Arguments& arguments, ValidationOptions& o) {
  arguments.begin_group("Run");
  arguments.add_number(
      "--validate-every", o.every,
      "Epochs after which the ELBO of the validation split is taken, and the best models kept", kCount);
  arguments.add_number("--patience", o.patience,
                       "So many of these in a row that are not better end the training of a model", kCount);
}

void check(const ValidationOptions& o, int64_t epochs) {
  if (o.patience > 0 && o.every == 0)
    fail(
        "[--patience] counts evaluations on the validation split, of which there are none; give "
        "--validate-every too");
  if (o.every > epochs) fail("[--validate-every] there is no epoch {}; training has {}", o.every, epochs);
}

LoadedData load_held_out(const DataOptions& options, const LoadedData& training, Split split) {
  DataOptions wanted = options;
  wanted.split = split;
  wanted.subset = 0;  // of the training points
  LoadedData data{load_points(wanted, training.seed), training.preprocessing, training.seed};
  if (data.dataset.dimensions() != training.dataset.dimensions())
    fail("[data] the {} of {} has {} dimensions, the training split {}", words(split),
         quote(data.dataset.name), data.dataset.dimensions(), training.dataset.dimensions());
  check_preprocessing(data.dataset, data.preprocessing);
  return data;
}

bool MemberValidation::take_in(int64_t at_epoch, const HeldOut& found, int64_t patience) {
  epoch.push_back(static_cast<double>(at_epoch));
  elbo.push_back(found.elbo);
  standard_error.push_back(found.standard_error);
  if (beats(found.elbo, best_elbo)) {
    best_epoch = at_epoch;
    best_elbo = found.elbo;
    best_standard_error = found.standard_error;
    since_best = 0;
    return true;
  }
  if (++since_best == patience) ended = at_epoch;
  return false;
}

Validation::Validation(const ValidationOptions& options, const ParameterStore& parameters,
                       const RunDirectory& run, const std::string& folder)
    : options_(options),
      parameters_(parameters),
      run_(run),
      folder_(folder),
      members_(static_cast<size_t>(std::max<int64_t>(parameters.members(), 1))) {
  for (const Parameter& parameter : parameters.all())
    best_.push_back({parameter.name, parameter.value.to(Device::cpu).clone()});
}

void Validation::begin() { csv_.emplace(run_.file(folder_ + kCsv), kColumns); }

void Validation::resume(const std::string& state) {
  const std::string csv = run_.file(folder_ + kCsv);
  std::vector<std::optional<size_t>> rows(members_.size());  // of each
  try {
    const Json json = Json::parse(state);
    json.at("last_epoch").get_to(last_epoch_);
    json.at("file").get_to(file_);
    if (json.at("members").size() != members_.size()) fail("it is of {} members", json.at("members").size());
    for (size_t m = 0; m < members_.size(); ++m) {
      const Json& from = json["members"][m];
      MemberValidation& to = members_[m];
      from.at("best_epoch").get_to(to.best_epoch);
      to.best_elbo = number_or_nan(from.at("best_elbo"));
      to.best_standard_error = number_or_nan(from.at("best_standard_error"));
      from.at("since_best").get_to(to.since_best);
      from.at("ended").get_to(to.ended);
      if (from.contains("rows")) rows[m] = from["rows"].get<size_t>();
    }
  } catch (const std::exception& error) {  // of the JSON library, or our own
    fail("[resume] the checkpoint in {} does not go on with this validation: {}", quote(run_.path()),
         error.what());
  }
  csv_.emplace(csv, kColumns, static_cast<double>(last_epoch_));
  const auto columns = read_columns(csv, 4, static_cast<double>(last_epoch_));
  for (size_t row = 0; row < columns[0].size(); ++row) {
    const double member = columns[1][row];
    if (!(member >= 0 && member < static_cast<double>(members_.size())))
      fail("[resume] {} has a row of member {}, of {}; was it edited by hand?", quote(csv), member,
           members_.size());
    MemberValidation& of = members_[static_cast<size_t>(member)];
    of.epoch.push_back(columns[0][row]);
    of.elbo.push_back(columns[2][row]);
    of.standard_error.push_back(columns[3][row]);
  }
  for (size_t m = 0; m < members_.size(); ++m) {
    const size_t there = members_[m].epoch.size();
    // Checkpoints of earlier versions do not say how many there are.
    if (rows[m] ? there != *rows[m] : there == 0 && members_[m].best_epoch > 0)
      fail("[resume] {} lacks rows that the checkpoint speaks of; was it edited by hand?", quote(csv));
  }
  if (file_.empty()) return;
  const SafetensorsFile saved = read_safetensors(path(file_));
  for (const NamedTensor& best : best_) {
    const Tensor& value = saved.at(best.name);
    if (!(value.shape() == best.value.shape()) || value.dtype() != best.value.dtype())
      fail("[resume] {}: {} is of another model", quote(saved.path), best.name);
    best.value.copy_from(value);
  }
}

bool Validation::due(int64_t epoch) const { return epoch > last_epoch_ && epoch % options_.every == 0; }

void Validation::keep(size_t member) {
  size_t i = 0;
  for (const Parameter& parameter : parameters_.all()) {
    const Tensor& to = best_[i++].value;
    if (parameters_.members() == 0)
      to.copy_from(parameter.value.to(Device::cpu));
    else
      to.slice(static_cast<int64_t>(member))
          .copy_from(parameter.value.slice(static_cast<int64_t>(member)).to(Device::cpu));
  }
  changed_ = true;
}

void Validation::take_in(int64_t epoch, const std::vector<std::optional<HeldOut>>& found, double seconds) {
  for (size_t m = 0; m < members_.size(); ++m) {
    MemberValidation& member = members_[m];
    if (!found[m] || member.ended > 0) continue;
    const HeldOut& x = *found[m];
    const bool best = member.take_in(epoch, x, options_.patience);
    if (best) keep(m);
    csv_->row({epoch, m, x.elbo, x.standard_error, x.expected_log_likelihood, x.kl, best ? 1 : 0, seconds});
    if (member.ended == epoch)
      log_line(fmt::format("\nmember {} ends at epoch {}: its validation ELBO was best at epoch {}, {:.3f}",
                           m, epoch, member.best_epoch, member.best_elbo));
  }
  last_epoch_ = epoch;
}

std::string Validation::text() const {
  const MemberValidation* best = nullptr;
  for (const MemberValidation& member : members_)
    if (member.best_epoch > 0 && (!best || beats(member.best_elbo, best->best_elbo))) best = &member;
  if (!best) return "";
  const auto ended = std::count_if(members_.begin(), members_.end(), [](auto& m) { return m.ended > 0; });
  return fmt::format(", validation {:.1f} (best {:.1f} at epoch {}){}", best->elbo.back(), best->best_elbo,
                     best->best_epoch, ended > 0 ? fmt::format(", {} ended", ended) : "");
}

std::string Validation::save(int64_t step) {
  csv_->save();
  if (changed_) {
    file_ = fmt::format("{}{}.safetensors", kPrefix, step);
    write_safetensors(path(file_), best_);
    changed_ = false;
  }
  Json members = Json::array();
  for (const MemberValidation& m : members_)
    members.push_back({{"rows", m.epoch.size()},
                       {"best_epoch", m.best_epoch},
                       {"best_elbo", finite_or_null(m.best_elbo)},
                       {"best_standard_error", finite_or_null(m.best_standard_error)},
                       {"since_best", m.since_best},
                       {"ended", m.ended}});
  return Json{{"last_epoch", last_epoch_}, {"file", file_}, {"members", members}}.dump();
}

void Validation::saved() const {
  namespace fs = std::filesystem;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(fs::path(path("x")).parent_path(), ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(kPrefix) && name != file_) fs::remove(entry.path(), ignored);
  }
}

void Validation::copy_best(ParameterStore& parameters) const {
  for (const NamedTensor& best : best_) parameters.at(best.name).value.copy_from(best.value);
}

}  // namespace elbo
