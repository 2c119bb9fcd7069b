// A model that nobody foresaw: a prior, a decoder and a loss of its own, trained in two phases over different
// parameters, with a data set for each member. In so many lines, without touching the library.
#pragma once

#include <algorithm>
#include <vector>

#include "nn/layers.h"
#include "tensor/cuda/device.h"
#include "vae/fused.h"
#include "vae/training.h"

namespace elbo::toy {

/// z ~ N(0, diag exp p), p learned; x ~ N(L z, 0.01 I), L lower triangular with a positive diagonal; the
/// encoder is linear. Each of the members sees its own data.
class Toy {
 public:
  Toy(int64_t members, int64_t first_member, Device device)
      : store_(DType::f64, members, device),
        members_(std::max<int64_t>(members, 1)),
        mean_(store_, "encoder.mean", 2, 2, {Initializer::Kind::normal, 0.3}),
        log_variance_(store_, "encoder.log_variance", 2, 2, {}),
        log_prior_(store_.add("prior.log_variance", {1, 2}, {})),
        triangle_(store_.add("decoder.triangle", {2, 2}, {Initializer::Kind::normal, 0.3})),
        first_member_(static_cast<uint32_t>(first_member)) {
    store_.initialise(3, first_member);
    below_ = Tensor::from<double>({2, 2}, {0, 0, 1, 0}).to(device);
    on_ = Tensor::from<double>({2, 2}, {1, 0, 0, 1}).to(device);
  }

  Loss loss() const {
    return {.probes = {"error", "kl"},
            .numbers =
                [](const TrainingTime& t) {
                  return Tensor::full({1}, std::min(1.0, t.epochs() / 20), DType::f64);
                },
            .value =
                [this](const LossInput& in) {
                  RandomKey key = in.key;
                  key.member += first_member_;
                  const Variable m = mean_(in.x), v = log_variance_(in.x);
                  const Variable z = reparameterize_kl(m, v, key, members_).z;
                  const Variable p = log_prior_, triangle = triangle_;
                  const Variable l = triangle * below_ + exp(triangle) * on_;
                  const Variable error = mean(sum(square(in.x - matmul_nt(z, l)), {-1}), {-1});
                  const Variable kl =
                      mean(sum(affine(p - v + (exp(v) + square(m)) / exp(p), 0.5, -0.5), {-1}), {-1});
                  return LossValue{affine(error, 50, 0) + kl * in.numbers.reshape({}), {error, kl}};
                }};
  }
  ParameterStore& parameters() { return store_; }

 private:
  ParameterStore store_;
  int64_t members_;
  Linear mean_, log_variance_;
  Parameter &log_prior_, &triangle_;
  uint32_t first_member_;
  Tensor below_, on_;
};

inline constexpr int64_t kMembers = 20, kPoints = 30, kFirst = 40, kSecond = 25;

inline Tensor data_sets() {
  return normal({kMembers, kPoints, 2}, DType::f64, {.seed = 9, .stream = kTestInput});
}

/// The encoder alone, then the rest, with rates of their own.
inline std::vector<Phase> phases(const Toy& toy, std::vector<double> rates) {
  return {{.name = "encoder", .loss = toy.loss(), .steps = kFirst, .rates = rates, .moves = {"encoder."}},
          {.name = "generator",
           .loss = toy.loss(),
           .steps = kSecond,
           .rates = {0.02},
           .schedule = {.kind = Schedule::Kind::cosine, .base = 1, .total_steps = kSecond},
           .moves = {"prior.", "decoder."},
           .clip = 5}};
}
inline std::vector<double> rates() {
  std::vector<double> all;
  for (int64_t m = 0; m < kMembers; ++m) all.push_back(0.01 + 0.001 * static_cast<double>(m));
  return all;
}

using Numbers = std::vector<double>;

/// A parameter's values, of all members or of one.
inline Numbers values(Toy& toy, const std::string& name, int64_t member = -1) {
  const Tensor all = toy.parameters().at(name).value.to(Device::cpu);
  return (member < 0 ? all : all.slice(member)).to_vector();
}

inline constexpr const char* kNames[] = {"encoder.mean.weight", "encoder.log_variance.bias",
                                         "prior.log_variance", "decoder.triangle"};

inline void run(Training& training) {
  while (training.step()) {
  }
}

}  // namespace elbo::toy
