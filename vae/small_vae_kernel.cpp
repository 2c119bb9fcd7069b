#include "vae/small_vae_kernel.h"

#if defined(ELBO_HAS_CUDA)

#  include <algorithm>

#  include "autograd/dense_layers_device.h"
#  include "tensor/map.h"
#  include "tensor/tensor.h"
#  include "vae/entropies.h"
#  include "vae/formulas.h"
#  include "vae/latent_noise_device.h"

namespace elbo::cuda {
namespace {

using formulas::UnitKl;

constexpr int kMostBranches = 2;
constexpr int kTerms = 4;              // of a part: log-likelihood, KL, log variances of q, and of p
constexpr int64_t kFewestSamples = 4;  // of a share: the encoder runs once for each
static_assert(kMostParts <= kThreads);

struct Branches {
  int first[kMostBranches], count[kMostBranches], hidden[kMostBranches];  // layers, by their numbers
  int branches;
};

/// A SmallVae as kernels get it. The `kept_at` of a layer is where in a block's scratch its outputs begin, in
/// units; the others, also units, are named below.
struct Plan {
  LayersInParts all;  // the encoder's, the decoder's, and one whose bias is ln sigma^2
  Branches encoder, decoder;
  Likelihood likelihood;
  int dimensions, latent;
  double standard_entropy;       // of one dimension of N(0, I)
  int64_t rows, blocks, shares;  // of a member; of the rows; of the samples
  const float* x;
  bool shared_x;
  const float *log_sigma2, *kl_weight;
  RandomKey key;
  NoiseSizes noise_sizes;
  int q_mean, q_log_variance;  // the posterior
  int z, noise, dz;            // of a sample
  int d_mean, d_log_variance;  // gradients of the posterior
  int p_mean, p_log_variance;  // what the decoder gives; then the gradient of that
  int64_t units;               // of the scratch
};

__device__ Chain chain_of(const Plan& v, const Branches& branches, int b) {
  return {v.all.layer + branches.first[b], branches.count[b], branches.hidden[b]};
}

__device__ void load_x(const Plan& v, const Rows& rows, UnitRows* to) {
  const float* const x = rows_of_x(v.x, v.shared_x, v.rows, v.dimensions, rows);
  load_rows(to, v.dimensions, rows.count, [&](int i) { return x[i]; });
}

__device__ void load_units(const UnitRows* from, int count, UnitRows* to) {
  for (int i = static_cast<int>(threadIdx.x); i < count * kDown; i += kTileThreads)
    to[i / kDown][i % kDown] = from[i / kDown][i % kDown];
}

/// Calls f(row, unit) for this thread's share of so many units' rows. A thread has the same rows and units in
/// every call with as many units, and of as many or fewer always some of those.
template <class F>
__device__ void for_each_of(int units, const F& f) {
  for (int i = static_cast<int>(threadIdx.x); i < units * kRows; i += kTileThreads) f(i % kRows, i / kRows);
}

/// z of a sample and its noise; 0 where there is no row.
__device__ void draw(const Plan& v, const Rows& rows, int64_t sample, UnitRows* scratch) {
  for_each_of((v.latent + kNoiseGroup - 1) / kNoiseGroup, [&](int row, int group) {
    const int unit = group * kNoiseGroup;
    float noise[kNoiseGroup] = {};
    const bool is_there = row < rows.count;
    if (is_there) draw_noise(v.noise_sizes, v.key, rows.member, sample, rows.first + row, unit, noise);
    for (int i = 0; i < kNoiseGroup && unit + i < v.latent; ++i) {
      const float mean = at(scratch[v.q_mean + unit + i], row),
                  sigma = math::exp(0.5f * at(scratch[v.q_log_variance + unit + i], row));
      at(scratch[v.noise + unit + i], row) = noise[i];
      at(scratch[v.z + unit + i], row) = is_there ? mean + sigma * noise[i] : 0.0f;
    }
  });
}

/// What a thread has added up.
struct Totals {
  double of[kTerms] = {};  // of the Gaussian likelihood, squared errors in place of log-likelihoods
};

/// Puts the gradient of the cost in place of what the decoder gave: times `share`, minus that of the log
/// density; 0 where there is no row.
__device__ void score(const Plan& v, const Rows& rows, float share, UnitRows* scratch, Totals& totals) {
  const float* const x = rows_of_x(v.x, v.shared_x, v.rows, v.dimensions, rows);
  const float log_sigma2 = v.likelihood == Likelihood::gaussian ? v.log_sigma2[rows.member] : 0.0f;
  for_each_of(v.dimensions, [&](int row, int dimension) {
    float& mean = at(scratch[v.p_mean + dimension], row);
    const bool is_there = row < rows.count;
    const float own = is_there ? x[row * v.dimensions + dimension] : 0.0f;
    float d_mean = 0;
    switch (v.likelihood) {
      case Likelihood::gaussian:
        if (!is_there) break;
        totals.of[0] += static_cast<double>(formulas::SquaredError{}(own, mean));
        d_mean = formulas::MeanOfDensityGradient{}(own, mean, log_sigma2, -share);
        break;
      case Likelihood::bernoulli:
        if (!is_there) break;
        totals.of[0] += static_cast<double>(formulas::BernoulliLogDensity{}(own, mean));
        d_mean = formulas::LogitGradient{}(own, mean, -share);
        break;
      case Likelihood::diagonal_gaussian: {
        float& log_variance = at(scratch[v.p_log_variance + dimension], row);
        float d_log_variance = 0;
        if (is_there) {
          totals.of[0] += static_cast<double>(formulas::UnitLogDensity{}(own, mean, log_variance));
          totals.of[3] += static_cast<double>(log_variance);
          d_mean = formulas::UnitMeanGradient{}(own, mean, log_variance, -share);
          d_log_variance = formulas::UnitLogVarianceGradient{}(own, mean, log_variance, -share);
        }
        log_variance = d_log_variance;
      }
    }
    mean = d_mean;
  });
}

/// Adds a sample's gradients to those of the posterior, or begins them.
__device__ void add_sample(const Plan& v, const Rows& rows, bool first, UnitRows* scratch) {
  for_each_of(v.latent, [&](int row, int unit) {
    if (row >= rows.count) {  // whose sigma may be infinite
      at(scratch[v.d_mean + unit], row) = at(scratch[v.d_log_variance + unit], row) = 0;
      return;
    }
    const float dz = at(scratch[v.dz + unit], row),
                sigma = math::exp(0.5f * at(scratch[v.q_log_variance + unit], row));
    float &d_mean = at(scratch[v.d_mean + unit], row),
          &d_log_variance = at(scratch[v.d_log_variance + unit], row);
    d_mean = (first ? 0.0f : d_mean) + dz;
    d_log_variance = (first ? 0.0f : d_log_variance) + 0.5f * dz * at(scratch[v.noise + unit], row) * sigma;
  });
}

/// The KL of the rows; its gradients, times `share`, go to the posterior's if they are wanted.
__device__ void add_kl(const Plan& v, const Rows& rows, float share, bool differentiates, UnitRows* scratch,
                       Totals& totals) {
  for_each_of(v.latent, [&](int row, int unit) {
    if (row >= rows.count) return;
    const float mean = at(scratch[v.q_mean + unit], row),
                log_variance = at(scratch[v.q_log_variance + unit], row);
    totals.of[1] += static_cast<double>(UnitKl{}(mean, log_variance));
    totals.of[2] += static_cast<double>(log_variance);
    if (!differentiates) return;
    const auto [d_mean, d_log_variance] = UnitKl{}.backward(mean, log_variance, share);
    at(scratch[v.d_mean + unit], row) += d_mean;
    at(scratch[v.d_log_variance + unit], row) += d_log_variance;
  });
}

/// All branches of a part, from what load_input puts to `in`.
template <class LoadInput>
__device__ void run_part(const Plan& v, const Branches& part, int64_t member, UnitRows* in, WeightRow* weight,
                         UnitRows* scratch, const LoadInput& load_input) {
  for (int b = 0; b < part.branches; ++b) {
    load_input();
    const Chain chain = chain_of(v, part, b);
    go_forward(chain, member, in, weight, [&](int l, const Sums& sums) {
      store(sums, scratch + chain.layers[l].kept_at, chain.layers[l].out);
    });
  }
  __syncthreads();
}

/// The block's totals as terms of its part, over `points` rows and samples; and the part of the gradient of
/// ln sigma^2.
__device__ void finish_part(const Plan& v, int64_t member, int64_t points, float share, const Totals& totals,
                            double* shared, double* terms, float* part) {
  double of[kTerms];
  for (int i = 0; i < kTerms; ++i) of[i] = fold_lanes<Sum>(totals.of[i], kTileThreads, shared);
  if (threadIdx.x > 0) return;
  if (v.likelihood == Likelihood::gaussian) {
    const auto log_sigma2 = static_cast<double>(v.log_sigma2[member]);
    const auto numbers = static_cast<double>(points) * static_cast<double>(v.dimensions);
    if (part)
      part[v.all.layer[v.all.count - 1].sum_at] = static_cast<float>(
          formulas::LogSigma2Gradient{numbers}(of[0], log_sigma2, -static_cast<double>(share)));
    of[0] = formulas::LogDensity{numbers}(of[0], log_sigma2);
  }
  for (int i = 0; i < kTerms; ++i) terms[i] = of[i];
}

/// A part of a member has blocks of its rows with a share of the samples each. `sums` (members, parts, sums)
/// is null where no gradient is wanted; terms (members, parts, kTerms).
__global__ void __launch_bounds__(kTileThreads)
    small_vae_kernel(const __grid_constant__ Plan v, UnitRows* scratches, float* sums, double* terms) {
  await_turn();
  __shared__ UnitRows in[kWidest];
  __shared__ UnitRows d[kWidest];
  __shared__ WeightRow weight[kWidest];
  __shared__ double shared[kTileThreads / kWarp];
  UnitRows* const scratch = scratches + static_cast<int64_t>(blockIdx.x) * v.units;
  const auto points = static_cast<float>(v.rows);
  const float of_sample = 1.0f / (points * static_cast<float>(v.noise_sizes.samples));
  const int64_t works = v.blocks * v.shares;
  for (int64_t item = blockIdx.x; item < v.all.members * v.all.parts; item += gridDim.x) {
    int64_t member = item;
    const int64_t own = take(member, v.all.parts);
    float* const part = sums ? sums + item * v.all.sums : nullptr;
    Totals totals;
    int64_t scored = 0;  // points and samples
    bool decoder_first = true, encoder_first = true;
    for (int64_t work = works * own / v.all.parts; work < works * (own + 1) / v.all.parts; ++work) {
      int64_t block = work;
      const int64_t share = take(block, v.shares);
      const Rows rows = rows_of(v.rows, member, block);
      const int64_t begin = v.noise_sizes.samples * share / v.shares,
                    end = v.noise_sizes.samples * (share + 1) / v.shares;
      scored += rows.count * (end - begin);
      run_part(v, v.encoder, member, in, weight, scratch, [&] { load_x(v, rows, in); });
      for (int64_t sample = begin; sample < end; ++sample) {
        draw(v, rows, sample, scratch);
        __syncthreads();
        run_part(v, v.decoder, member, in, weight, scratch, [&] { load_units(scratch + v.z, v.latent, in); });
        score(v, rows, of_sample, scratch, totals);
        __syncthreads();
        if (!part) continue;
        for (int b = 0; b < v.decoder.branches; ++b) {
          const Chain chain = chain_of(v, v.decoder, b);
          Sums dz = go_backward(
              chain, member, in, d, weight, part, decoder_first, true,
              [&](int l) {
                if (l == 0)
                  load_units(scratch + v.z, v.latent, in);
                else
                  load_units(scratch + chain.layers[l - 1].kept_at, chain.layers[l].in, in);
              },
              [&](int l) { load_units(scratch + chain.layers[l].kept_at, chain.layers[l].out, d); });
          if (b > 0) {
            const int down = tile_down(), across = tile_across();
            for (int c = 0; c < kSide && across * kSide + c < v.latent; ++c)
              for (int r = 0; r < kSide; ++r)
                dz.of[r][c] += scratch[v.dz + across * kSide + c][down].value[r];
          }
          store(dz, scratch + v.dz, v.latent);
        }
        decoder_first = false;
        __syncthreads();
        add_sample(v, rows, sample == begin, scratch);
        __syncthreads();
      }
      // The KL is the first share's.
      if (share == 0) add_kl(v, rows, v.kl_weight[member] / points, part != nullptr, scratch, totals);
      __syncthreads();
      if (!part) continue;
      for (int b = 0; b < v.encoder.branches; ++b) {
        const Chain chain = chain_of(v, v.encoder, b);
        go_backward(
            chain, member, in, d, weight, part, encoder_first, false,
            [&](int l) {
              if (l == 0)
                load_x(v, rows, in);
              else
                load_units(scratch + chain.layers[l - 1].kept_at, chain.layers[l].in, in);
            },
            [&](int l) {
              // The heads are the mean, then the log variance, in one branch or in two.
              const bool is_mean = chain.layers[l].kept_at == v.q_mean;
              load_units(scratch + (is_mean ? v.d_mean : v.d_log_variance), v.latent, d);
            });
      }
      encoder_first = false;
    }
    finish_part(v, member, scored, of_sample, totals, shared, terms + item * kTerms, part);
  }
}

/// A block has a member at a time, a thread one of its parts.
__global__ void __launch_bounds__(kThreads)
    small_vae_terms_kernel(const __grid_constant__ Plan v, const double* terms, SmallVaeTerms<float> to) {
  await_turn();
  __shared__ double shared[kWarps];
  const int part = static_cast<int>(threadIdx.x);
  for (int64_t m = blockIdx.x; m < v.all.members; m += gridDim.x) {
    double of[kTerms];
    for (int i = 0; i < kTerms; ++i)
      of[i] = fold_lanes<Sum>(part < v.all.parts ? terms[(m * v.all.parts + part) * kTerms + i] : 0.0,
                              kThreads, shared);
    if (part > 0) continue;
    const auto points = static_cast<double>(v.rows);
    const double of_sample = 1 / (points * static_cast<double>(v.noise_sizes.samples));
    const double log_likelihood = of[0] * of_sample, kl = of[1] / points;
    to.log_likelihood[m] = static_cast<float>(log_likelihood);
    to.kl[m] = static_cast<float>(kl);
    to.cost[m] = static_cast<float>(static_cast<double>(v.kl_weight[m]) * kl - log_likelihood);
    if (!to.prior_entropy) continue;
    to.prior_entropy[m] = static_cast<float>(v.latent * v.standard_entropy);
    to.encoder_entropy[m] = static_cast<float>(v.latent * v.standard_entropy + 0.5 * of[2] / points);
    const double log_variances =
        v.log_sigma2 ? v.dimensions * static_cast<double>(v.log_sigma2[m]) : of[3] * of_sample;
    to.decoder_entropy[m] = static_cast<float>(v.dimensions * v.standard_entropy + 0.5 * log_variances);
  }
}

Branches add_part(Plan& v, const SmallPart<float>& part, KeptVector<int>& heads) {
  Branches branches{};
  for (const SmallPart<float>::Branch& branch : part.branches) {
    const int b = branches.branches++, count = static_cast<int>(branch.layers.size());
    branches.first[b] = v.all.count;
    branches.count[b] = count;
    branches.hidden[b] = count - static_cast<int>(branch.heads);
    for (int l = 0; l < count; ++l) {
      const SmallLayer<float>& layer = branch.layers[static_cast<size_t>(l)];
      if (l >= branches.hidden[b]) heads.push_back(static_cast<int>(v.units));
      add_layer(v.all, {.in = static_cast<int>(layer.in),
                        .out = static_cast<int>(layer.out),
                        .activation = branch.activations[static_cast<size_t>(l)],
                        .weight = layer.weight,
                        .bias = layer.bias,
                        .kept_at = v.units,
                        .sum_at = 0});
      v.units += layer.out;
    }
  }
  return branches;
}

Plan plan_of(const SmallVae<float>& s) {
  Plan v{};
  KeptVector<int> of_q, of_p;
  v.encoder = add_part(v, s.encoder, of_q);
  v.decoder = add_part(v, s.decoder, of_p);
  if (s.log_sigma2)
    add_layer(v.all, {.in = 0,
                      .out = 1,
                      .activation = Activation::none,
                      .weight = nullptr,
                      .bias = nullptr,
                      .kept_at = 0,
                      .sum_at = 0});
  v.q_mean = of_q[0], v.q_log_variance = of_q[1];
  v.p_mean = of_p[0], v.p_log_variance = of_p.back();
  v.likelihood = s.likelihood;
  v.dimensions = static_cast<int>(s.dimensions);
  v.latent = static_cast<int>(s.latent);
  for (int* const at : {&v.z, &v.noise, &v.dz, &v.d_mean, &v.d_log_variance}) {
    *at = static_cast<int>(v.units);
    v.units += s.latent;
  }
  v.standard_entropy = standard_normal_entropy(1);
  v.rows = s.rows;
  v.blocks = (s.rows + kRows - 1) / kRows;
  v.shares = std::clamp<int64_t>(kMostParts / v.blocks, 1, std::max<int64_t>(s.samples / kFewestSamples, 1));
  v.all.members = s.members;
  v.all.parts = std::min(v.blocks * v.shares, kMostParts);
  v.x = s.x, v.shared_x = s.shared_x;
  v.log_sigma2 = s.log_sigma2, v.kl_weight = s.kl_weight;
  v.key = s.key;
  v.noise_sizes = {s.samples, s.samples_of_part, s.latent, s.batch_rows.first, s.batch_rows.all_of(s.rows)};
  return v;
}

}  // namespace

bool suits_small_vae(const SmallVae<float>& vae) {
  size_t layers = vae.log_sigma2 ? 1 : 0;
  for (const SmallPart<float>* part : {&vae.encoder, &vae.decoder}) {
    if (part->branches.empty() || part->branches.size() > kMostBranches) return false;
    for (const SmallPart<float>::Branch& branch : part->branches) {
      layers += branch.layers.size();
      for (const SmallLayer<float>& layer : branch.layers)
        if (layer.in > kWidestLayer || layer.out > kWidestLayer) return false;
    }
  }
  return layers <= kMostLayers;
}

int64_t small_vae_sums(const SmallVae<float>& vae) {
  const Plan v = plan_of(vae);
  return v.all.members * v.all.parts * v.all.sums;
}

void run_small_vae(const SmallVae<float>& vae, const SmallVaeTerms<float>& terms, float* sums) {
  const Plan v = plan_of(vae);
  const int64_t parts = v.all.members * v.all.parts;
  // A few blocks for each multiprocessor: each has scratch of its own, which is to stay in the cache.
  const unsigned blocks = static_cast<unsigned>(std::min<int64_t>(parts, int64_t{multiprocessors()} * 4));
  constexpr int64_t kUnitNumbers = (kDown + 1) * kSide;
  static_assert(sizeof(UnitRows) == kUnitNumbers * sizeof(float));
  const Tensor scratch = Tensor::empty({blocks * v.units * kUnitNumbers}, DType::f32, Device::cuda);
  const Tensor of_parts = Tensor::empty({parts * kTerms}, DType::f64, Device::cuda);
  launch("small_vae_cost", small_vae_kernel, blocks, kTileThreads, v,
         reinterpret_cast<UnitRows*>(scratch.data<float>()), sums, of_parts.data<double>());
  launch("small_vae_cost", small_vae_terms_kernel, blocks_for(v.all.members, 1), kThreads, v,
         static_cast<const double*>(of_parts.data<double>()), terms);
}

void join_small_vae(const SmallVae<float>& vae, const float* sums, const float* d_cost,
                    const SmallLayerGradients<float>* gradients) {
  join_parts(plan_of(vae).all, gradients, sums, d_cost);
}

}  // namespace elbo::cuda

#endif
