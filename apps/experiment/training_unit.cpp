#include "apps/experiment/training_unit.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "apps/support/interrupt.h"
#include "nn/checkpoint.h"
#include "tensor/cuda/device.h"
#include "vae/captured_steps.h"

namespace elbo {
namespace {

constexpr double kBetweenCheckpoints = 20;  // seconds

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

UnitCheckpoint::UnitCheckpoint(const UnitPlace& place, const std::string& folder)
    : file_(place.directory.file(place.folder + folder + "checkpoint.safetensors")),
      resuming_(place.resuming),
      saved_at_(now()) {}

bool UnitCheckpoint::there() const { return resuming_ && std::filesystem::exists(file_); }

std::map<std::string, std::string> UnitCheckpoint::take_up(Training& training) const {
  return training.load(file_);
}

void UnitCheckpoint::save(Training& training, const Extra& extra) {
  const auto more = extra ? extra() : std::map<std::string, std::string>{};  // which ends steps that go on
  const ParameterStore& store = training.parameters();
  if (store.members() == 0 || has_finite_member(store, training.adam())) training.save(file_, more);
  saved_at_ = now();
}

void UnitCheckpoint::save_when_due(Training& training, const Extra& extra) {
  if (now() - saved_at_ >= kBetweenCheckpoints) save(training, extra);
}

double seconds_of(Training& training, int64_t steps) {
  CapturedSteps taken(training);
  return seconds_for_steps(steps, [&](int64_t n) {
    for (int64_t i = 0; i < n;) i += std::max<int64_t>(taken.take(n - i), 1);
    taken.receive(true);
    cuda::synchronize();
  });
}

bool run_training(Training& training, int64_t steps, const UnitPlace& place,
                  const std::function<std::string()>& text) {
  UnitCheckpoint checkpoint(place);
  if (checkpoint.there()) checkpoint.take_up(training);
  CapturedSteps taken(training);
  const auto finish = [&] {  // those that a GPU is still at
    taken.receive(true);
    return std::map<std::string, std::string>{};
  };
  while (!interrupted()) {
    if (taken.take() == 0) return true;
    taken.receive(false);
    place.progress(static_cast<double>(training.steps()) / static_cast<double>(steps), text);
    checkpoint.save_when_due(training, finish);
  }
  if (training.steps() > 0) checkpoint.save(training, finish);
  return false;
}

}  // namespace elbo
