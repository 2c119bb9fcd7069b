#include "nn/parameter_file.h"

namespace elbo {
namespace {

/// x (A, M, N) as (A, N, M), in a tensor of the shape given.
Tensor with_last_axes_swapped(const Tensor& x, int64_t m, int64_t n, const Shape& shape) {
  const Tensor swapped = Tensor::empty(shape, x.dtype());
  visit_floating(x.dtype(), "load", [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.data<T>();
    T* to = swapped.data<T>();
    for (int64_t a = 0; a < shape[0]; ++a, from += m * n, to += m * n)
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) to[j * m + i] = from[i * n + j];
  });
  return swapped;
}

/// A weight (A, KH, KW, B) as PyTorch has it, (A, B, KH, KW); other tensors as they are.
Tensor channels_second(const Tensor& x) {
  if (x.rank() != 4) return x;
  return with_last_axes_swapped(x, x.size(1) * x.size(2), x.size(3),
                                {x.size(0), x.size(3), x.size(1), x.size(2)});
}

/// The way back.
Tensor channels_last(const Tensor& x) {
  if (x.rank() != 4) return x;
  return with_last_axes_swapped(x, x.size(1), x.size(2) * x.size(3),
                                {x.size(0), x.size(2), x.size(3), x.size(1)});
}

/// A member's own numbers of a parameter, where the store has them.
Tensor own(const ParameterStore& store, const Parameter& parameter, int64_t member) {
  const int64_t models = std::max<int64_t>(store.members(), 1);
  if (member < 0 || member >= models) fail("[parameters] there is no member {} among {}", member, models);
  return store.members() > 0 ? parameter.value.slice(member) : parameter.value;
}

}  // namespace

void save_parameters(const std::string& path, const ParameterStore& store, int64_t member,
                     const std::map<std::string, std::string>& metadata) {
  std::vector<NamedTensor> tensors;
  for (const Parameter& parameter : store.all())
    tensors.push_back({parameter.name, channels_second(own(store, parameter, member).to(Device::cpu))});
  write_safetensors(path, tensors, metadata);
}

void load_parameters(const SafetensorsFile& file, ParameterStore& store, int64_t member) {
  std::vector<Tensor> found;
  for (const Parameter& parameter : store.all()) {
    const Tensor to = own(store, parameter, member),
                 &value = found.emplace_back(channels_last(file.at(parameter.name)));
    if (!(value.shape() == to.shape()) || value.dtype() != to.dtype())
      fail("[load] {}: {} is {} {}, the model needs {} {}", file.path, parameter.name, name(value.dtype()),
           value.shape().str(), name(to.dtype()), to.shape().str());
  }
  if (file.tensors.size() > found.size())
    fail("[load] {}: a model of these parts has {} tensors, the file has {}", file.path, found.size(),
         file.tensors.size());
  auto value = found.begin();
  for (const Parameter& parameter : store.all()) own(store, parameter, member).copy_from(*value++);
}

}  // namespace elbo
