#include "nn/checkpoint.h"

#include <charconv>

namespace elbo {
namespace {

constexpr const char* kFirst = "adam.first_moment";
constexpr const char* kSecond = "adam.second_moment";
constexpr const char* kSteps = "adam.steps";

const Tensor& matching(const SafetensorsFile& file, const std::string& name, const Tensor& like) {
  const Tensor& found = file.at(name);
  if (!(found.shape() == like.shape()) || found.dtype() != like.dtype())
    fail("[checkpoint] {}: {} is {} {}, this model needs {} {}; resume with the options of the run",
         file.path, name, elbo::name(found.dtype()), found.shape().str(), elbo::name(like.dtype()),
         like.shape().str());
  return found;
}

}  // namespace

std::vector<NamedTensor> model_tensors(const ParameterStore& store) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : store.all())
    tensors.push_back({parameter.name, parameter.value.to(Device::cpu)});
  return tensors;
}

void save_checkpoint(const std::string& path, const ParameterStore& store, const Adam& adam,
                     const std::map<std::string, std::string>& extra) {
  std::vector<NamedTensor> tensors = model_tensors(store);
  tensors.push_back({kFirst, adam.first_moment().to(Device::cpu)});
  tensors.push_back({kSecond, adam.second_moment().to(Device::cpu)});
  std::map<std::string, std::string> metadata = extra;
  metadata[kSteps] = std::to_string(adam.steps());
  write_safetensors(path, tensors, metadata);
}

std::map<std::string, std::string> load_checkpoint(const std::string& path, ParameterStore& store,
                                                   Adam& adam) {
  SafetensorsFile file = read_safetensors(path);
  int64_t steps = -1;
  const std::string& text = file.metadata[kSteps];
  std::from_chars(text.data(), text.data() + text.size(), steps);
  if (steps < 0) fail("[checkpoint] {} is not a checkpoint: it does not say how many steps were done", path);
  for (const Parameter& parameter : store.all()) matching(file, parameter.name, parameter.value);
  const Tensor first = matching(file, kFirst, adam.first_moment());
  const Tensor second = matching(file, kSecond, adam.second_moment());
  for (const Parameter& parameter : store.all()) parameter.value.copy_from(file.at(parameter.name));
  adam.restore(steps, first, second);
  file.metadata.erase(kSteps);
  return file.metadata;
}

}  // namespace elbo
