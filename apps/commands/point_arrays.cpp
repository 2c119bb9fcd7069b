#include "apps/commands/point_arrays.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "apps/support/interrupt.h"
#include "autograd/ops.h"
#include "tensor/file.h"
#include "tensor/map.h"
#include "vae/deep_metrics.h"
#include "vae/point_terms.h"

namespace elbo {

const std::vector<PointArray>& point_arrays() {
  static const std::vector<PointArray> all{
      {"means", "of q(z|x), (N, k)"},
      {"variances", "of q(z|x), (N, k)"},
      {"reconstructions",
       "what the decoder expects at the posterior mean, in the data's own units (pixels: 0 to 1): (N, D), or "
       "images (N, H, W, C)"},
      {"expected_log_likelihood", "E_q ln p(x|z), nats"},
      {"kl", "of q(z|x) from the prior, nats"},
      {"elbo", "expected_log_likelihood - kl, nats"},
      {"rows", "which row of the data each point is, from 0"},
      {"labels", "the class of each point, where the data have classes"}};
  return all;
}

PointEncoder::PointEncoder(const SavedModel& model, const std::vector<std::string>& only, int64_t samples)
    : model_(model), samples_(samples) {
  std::string known;
  for (const PointArray& array : point_arrays())
    known += (known.empty() ? "" : ", ") + std::string(array.name);
  for (const std::string& name : only)
    if (std::none_of(point_arrays().begin(), point_arrays().end(), [&](auto& a) { return name == a.name; }))
      fail("[--only] there is no array {}; there are {}", quote(name), known);
  const bool labelled = model.data.dataset.labels.defined();
  const auto named = [&](const char* name) {
    return std::find(only.begin(), only.end(), name) != only.end();
  };
  if (!labelled && named("labels")) fail("[--only] {} has no labels", quote(model.data.dataset.name));
  for (const PointArray& array : point_arrays())
    if (only.empty() ? labelled || array.name != std::string_view("labels") : named(array.name))
      arrays_.emplace_back(array.name);
}

bool PointEncoder::wants(std::string_view array) const {
  return std::find(arrays_.begin(), arrays_.end(), array) != arrays_.end();
}

Shape PointEncoder::shape_of(std::string_view array, int64_t points) const {
  const Dataset& data = model_.data.dataset;
  if (array == "means" || array == "variances") return {points, model_.vae->latent()};
  if (array != "reconstructions") return {points};
  if (data.height > 0) return {points, data.height, data.width, data.channels};
  return {points, data.dimensions()};
}

DType PointEncoder::dtype_of(std::string_view array) const {
  if (array == "means" || array == "variances") return model_.vae->dtype();
  if (array == "reconstructions") return model_.data.dtype();
  if (array == "rows") return DType::i64;
  return array == "labels" ? model_.data.dataset.labels.dtype() : DType::f64;
}

std::vector<ArrayPlan> PointEncoder::plans() const {
  std::vector<ArrayPlan> plans;
  for (const std::string& array : arrays_)
    plans.push_back({array, dtype_of(array), shape_of(array, model_.data.dataset.points())});
  return plans;
}

Tensor PointEncoder::reconstructions(const Tensor& mean) const {
  const Vae& vae = *model_.vae;
  const Variable output = vae.decode(mean).mean;
  const bool logits = vae.likelihood() == Likelihood::bernoulli;
  const Tensor expected = (logits ? sigmoid(output) : output).value().to(Device::cpu);
  // In f64: f32 would lose the spread of data that were standardised because they lie far from 0.
  return to_intensities(model_.data.dataset, model_.data.preprocessing, expected.to(DType::f64))
      .to(model_.data.dtype());
}

Tensor PointEncoder::log_likelihood(const Tensor& x, const Posterior& q, int64_t begin) const {
  const Vae& vae = *model_.vae;
  if (model_.linear) return linear_point_log_likelihood(vae, model_.linear->decoder, x, q);
  const RandomKey key = evaluation_key(vae, model_.seed, begin);
  const Tensor total = Tensor::zeros({x.size(0)}, DType::f64);
  for (int64_t draw = 0; draw < samples_; ++draw) {
    add_into(total, point_log_likelihood(vae, x, q, key, draw));
    if (interrupted()) fail("[encode] stopped at point {}; nothing was kept", begin);
  }
  return (Variable(total) / static_cast<double>(samples_)).value();
}

std::vector<Tensor> PointEncoder::rows(int64_t begin, int64_t end) const {
  const Vae& vae = *model_.vae;
  const Dataset& data = model_.data.dataset;
  const int64_t n = end - begin;
  std::map<std::string, Tensor, std::less<>> found;
  const Tensor x = model_.data.rows(begin, end).to(vae.dtype()).to(vae.device());
  const Posterior q = of_each_point(vae.encode(x));
  const Variable means = q.mean.value().to(Device::cpu);
  found["means"] = means.value();
  found["variances"] = exp(q.log_variance.value().to(Device::cpu)).value();
  if (wants("reconstructions")) found["reconstructions"] = reconstructions(q.mean.value());
  const Tensor kl = point_kl(vae, q);
  found["kl"] = kl;
  if (wants("expected_log_likelihood") || wants("elbo")) {
    const Tensor fit = log_likelihood(x, q, begin);
    found["expected_log_likelihood"] = fit;
    found["elbo"] = (Variable(fit) - kl).value();
  }
  const Tensor counted = Tensor::empty({n}, DType::i64);
  const auto numbers = counted.span<int64_t>();
  std::iota(numbers.begin(), numbers.end(), begin);
  found["rows"] = data.rows.defined() ? data.rows.slice(begin, end) : counted;
  if (data.labels.defined()) found["labels"] = data.labels.slice(begin, end);
  std::vector<Tensor> chosen;
  for (const std::string& array : arrays_) chosen.push_back(found.at(array).reshape(shape_of(array, n)));
  return chosen;
}

}  // namespace elbo
