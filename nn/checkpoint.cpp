#include "nn/checkpoint.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "tensor/file.h"

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

bool all_finite(const Tensor& flat, int64_t begin, int64_t end) {
  bool finite = true;
  visit_floating(flat.dtype(), "checkpoint", [&](auto zero) {
    const auto values =
        flat.span<decltype(zero)>().subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
    finite = std::all_of(values.begin(), values.end(), [](auto value) { return std::isfinite(value); });
  });
  return finite;
}

/// The same for tensors on the CPU.
std::vector<std::string> first_not_finite(const ParameterStore& store,
                                          const std::vector<NamedTensor>& parameters, const Tensor& first,
                                          const Tensor& second) {
  const int64_t members = std::max<int64_t>(store.members(), 1);
  std::vector<std::string> broken(static_cast<size_t>(members));
  const auto check = [&](const std::string& name, int64_t member, const Tensor& flat, int64_t begin,
                         int64_t end) {
    std::string& of = broken[static_cast<size_t>(member)];
    if (of.empty() && !all_finite(flat, begin, end)) of = name;
  };
  for (const NamedTensor& parameter : parameters) {
    const int64_t all = parameter.value.elements(), each = all / members;
    const Tensor flat = parameter.value.reshape({all});
    for (int64_t m = 0; m < members; ++m) check(parameter.name, m, flat, m * each, (m + 1) * each);
  }
  for (const ParameterStore::Span& span : store.spans()) {
    check(kFirst, span.member, first, span.begin, span.end);
    check(kSecond, span.member, second, span.begin, span.end);
  }
  return broken;
}

}  // namespace

std::vector<std::string> first_not_finite(const ParameterStore& store, const Adam& adam) {
  return first_not_finite(store, model_tensors(store), adam.first_moment().to(Device::cpu),
                          adam.second_moment().to(Device::cpu));
}

bool has_finite_member(const ParameterStore& store, const Adam& adam) {
  const std::vector<std::string> broken = first_not_finite(store, adam);
  return std::any_of(broken.begin(), broken.end(), [](const std::string& name) { return name.empty(); });
}

std::vector<NamedTensor> model_tensors(const ParameterStore& store) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : store.all())
    tensors.push_back({parameter.name, parameter.value.to(Device::cpu)});
  return tensors;
}

void save_checkpoint(const std::string& path, const ParameterStore& store, const Adam& adam,
                     const std::map<std::string, std::string>& extra, const std::vector<NamedTensor>& more) {
  std::vector<NamedTensor> tensors = model_tensors(store);
  const Tensor first = adam.first_moment().to(Device::cpu), second = adam.second_moment().to(Device::cpu);
  const std::vector<std::string> broken = first_not_finite(store, tensors, first, second);
  if (std::none_of(broken.begin(), broken.end(), [](const std::string& name) { return name.empty(); }))
    fail("[checkpoint] after {} steps {} is not finite, so {} stays as it was; try a smaller learning rate",
         adam.steps(), broken[0], quote(path));
  tensors.push_back({kFirst, first});
  tensors.push_back({kSecond, second});
  tensors.insert(tensors.end(), more.begin(), more.end());
  std::map<std::string, std::string> metadata = extra;
  metadata[kSteps] = std::to_string(adam.steps());
  write_safetensors(path, tensors, metadata);
}

std::map<std::string, std::string> load_checkpoint(const std::string& path, ParameterStore& store,
                                                   Adam& adam) {
  return load_checkpoint(read_safetensors(path), store, adam);
}

std::map<std::string, std::string> load_checkpoint(SafetensorsFile file, ParameterStore& store, Adam& adam) {
  int64_t steps = -1;
  const std::string& text = file.metadata[kSteps];
  std::from_chars(text.data(), text.data() + text.size(), steps);
  if (steps < 0)
    fail("[checkpoint] {} is not a checkpoint: it does not say how many steps were done", file.path);
  for (const Parameter& parameter : store.all()) matching(file, parameter.name, parameter.value);
  const Tensor first = matching(file, kFirst, adam.first_moment());
  const Tensor second = matching(file, kSecond, adam.second_moment());
  for (const Parameter& parameter : store.all()) parameter.value.copy_from(file.at(parameter.name));
  adam.restore(steps, first, second);
  file.metadata.erase(kSteps);
  return file.metadata;
}

}  // namespace elbo
