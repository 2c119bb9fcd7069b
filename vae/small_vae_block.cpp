#include "vae/small_vae_block.h"

#include "tensor/parallel.h"
#include "tensor/scratch.h"
#include "tensor/small_chain.h"
#include "vae/entropies.h"
#include "vae/formulas.h"

namespace elbo {
namespace {

using formulas::UnitKl;

constexpr size_t kMostBranches = 2;  // of a part: mean and log variance
constexpr int64_t kMostShares = 32;
constexpr int64_t kFewestSamples = 8;  // of a share: the encoder runs once for each

/// A branch of a part, and where its numbers are, in units of a group and in numbers of the sums of a part.
struct BranchPlan {
  SmallChain chain;
  WantedGradients wanted;
  int64_t at;    // what its stages give
  int64_t d_at;  // the gradient of what its heads give
  int64_t sum_at;
  int64_t stacked_at;  // the weights of its heads, in numbers after the units
};

/// One of what a part gives.
struct HeadPlace {
  int64_t at, d_at;  // units
};

struct Plan {
  KeptVector<BranchPlan> encoder, decoder;
  HeadPlace q[2], p[2];  // mean, log variance
  int64_t x, z, noise, sigma, dz, spare;
  int64_t units = 0, sums = 0, stacked = 0;
  int64_t log_sigma2_at = 0;  // among the sums
  int64_t block_rows = kMostGroups * kGroupRows, blocks, shares, parts;
  double flops = 0;  // of a part
};

template <class T>
KeptVector<BranchPlan> plan_part(const SmallPart<T>& part, bool of_input, Plan& plan, HeadPlace* heads) {
  KeptVector<BranchPlan> branches;
  for (const auto& branch : part.branches) {
    BranchPlan b{.chain = chain_of(branch.layers, branch.heads),
                 .wanted = {},
                 .at = plan.units,
                 .d_at = 0,
                 .sum_at = plan.sums,
                 .stacked_at = plan.stacked};
    b.wanted.of_stage.assign(b.chain.stages.size(), true);
    b.wanted.of_input = of_input;
    b.d_at = b.at + b.chain.units;
    plan.units = b.d_at + b.chain.widest;
    plan.sums += b.chain.sums;
    plan.stacked += b.chain.stacked;
    const Stage& last = b.chain.stages.back();
    int64_t unit = 0;
    for (size_t l = last.first_layer; l < branch.layers.size(); ++l) {
      *heads++ = {b.at + last.at + unit, b.d_at + unit};
      unit += branch.layers[l].out;
    }
    branches.push_back(std::move(b));
  }
  return branches;
}

template <class T>
Plan plan_of(const SmallVae<T>& v) {
  Plan plan;
  plan.encoder = plan_part(v.encoder, false, plan, plan.q);
  plan.decoder = plan_part(v.decoder, true, plan, plan.p);
  int64_t widest = 0;
  double of_row = 0, of_sample = 0;
  const auto look_at = [&](const KeptVector<BranchPlan>& branches, double& flops) {
    for (const BranchPlan& b : branches) {
      widest = std::max(widest, b.chain.widest);
      plan.block_rows = std::min(plan.block_rows, b.chain.groups * kGroupRows);
      flops += b.chain.flops_of_row;
    }
  };
  look_at(plan.encoder, of_row);
  look_at(plan.decoder, of_sample);
  const auto take = [&](int64_t& at, int64_t units) {
    at = plan.units;
    plan.units += stored_units(units);
  };
  take(plan.x, v.dimensions + 1);
  take(plan.z, v.latent + 1);
  take(plan.noise, v.latent);
  take(plan.sigma, v.latent);
  take(plan.dz, v.latent);
  take(plan.spare, widest);
  plan.log_sigma2_at = plan.sums;
  plan.sums += v.log_sigma2 ? kLanesOf<T> : 0;  // so that the next part's begin with a vector
  plan.blocks = (v.rows + plan.block_rows - 1) / plan.block_rows;
  plan.shares =
      std::clamp<int64_t>(kMostShares / plan.blocks, 1, std::max<int64_t>(v.samples / kFewestSamples, 1));
  const double flops = (of_row + of_sample * static_cast<double>(v.samples)) * static_cast<double>(v.rows);
  plan.parts = parts_of_work(plan.blocks * plan.shares, 2 * flops);
  plan.flops = 3 * flops / static_cast<double>(plan.parts);
  return plan;
}

/// What a part adds up.
struct Totals {
  double likelihood = 0;  // log densities; of the Gaussian likelihood, squared errors
  double kl = 0, q_log_variance = 0, p_log_variance = 0;
};

// A dimension's numbers of some rows: sums of the log densities, and gradients, times dy. Each in a function
// of its own, as compilers do not vectorise all of these loops where they are inlined.

/// The sum of squared errors.
template <class T>
[[gnu::noinline]] double score_gaussian(int64_t rows, const T* x, const T* mean, T precision, T dy,
                                        T* d_mean) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t r = 0; r < rows; ++r) {
    sum += static_cast<double>(formulas::SquaredError{}(x[r], mean[r]));
    d_mean[r] = dy * (x[r] - mean[r]) * precision;
  }
  return sum;
}

template <class T>
[[gnu::noinline]] double score_bernoulli(int64_t rows, const T* x, const T* logit, T dy, T* d_logit) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t r = 0; r < rows; ++r) {
    sum += static_cast<double>(formulas::BernoulliLogDensity{}(x[r], logit[r]));
    d_logit[r] = formulas::LogitGradient{}(x[r], logit[r], dy);
  }
  return sum;
}

template <class T>
[[gnu::noinline]] void score_diagonal(int64_t rows, const T* x, const T* mean, const T* log_variance, T dy,
                                      T* d_mean, T* d_log_variance, Totals& totals) {
  double sum = 0, log_variances = 0;
#pragma omp simd reduction(+ : sum, log_variances)
  for (int64_t r = 0; r < rows; ++r) {
    sum += static_cast<double>(formulas::UnitLogDensity{}(x[r], mean[r], log_variance[r]));
    log_variances += static_cast<double>(log_variance[r]);
    d_mean[r] = formulas::UnitMeanGradient{}(x[r], mean[r], log_variance[r], dy);
    d_log_variance[r] = formulas::UnitLogVarianceGradient{}(x[r], mean[r], log_variance[r], dy);
  }
  totals.likelihood += sum;
  totals.p_log_variance += log_variances;
}

/// Adds to the gradients by mean and log variance.
template <class T>
[[gnu::noinline]] void score_kl(int64_t rows, const T* mean, const T* log_variance, T dy, T* d_mean,
                                T* d_log_variance, Totals& totals) {
  double sum = 0, log_variances = 0;
#pragma omp simd reduction(+ : sum, log_variances)
  for (int64_t r = 0; r < rows; ++r) {
    sum += static_cast<double>(UnitKl{}(mean[r], log_variance[r]));
    log_variances += static_cast<double>(log_variance[r]);
    const auto [by_mean, by_log_variance] = UnitKl{}.backward(mean[r], log_variance[r], dy);
    d_mean[r] += by_mean;
    d_log_variance[r] += by_log_variance;
  }
  totals.kl += sum;
  totals.q_log_variance += log_variances;
}

/// A block of a member's rows at work: `count` rows from `first` on. Rows that are not there, up to a whole
/// group, have x, z and all gradients 0.
template <class T>
struct Block {
  const SmallVae<T>& v;
  const Plan& plan;
  T* memory;
  int64_t member;
  ChainWeights<T> of_encoder[kMostBranches], of_decoder[kMostBranches];
  int64_t first = 0, count = 0;

  Block(const SmallVae<T>& of_vae, const Plan& of_plan, T* at, int64_t m)
      : v(of_vae), plan(of_plan), memory(at), member(m) {
    T* const stacked = memory + plan.units * plan.block_rows;
    for (size_t b = 0; b < plan.encoder.size(); ++b)
      of_encoder[b] = weights_of(v.encoder.branches[b].layers, plan.encoder[b].chain, m,
                                 stacked + plan.encoder[b].stacked_at);
    for (size_t b = 0; b < plan.decoder.size(); ++b)
      of_decoder[b] = weights_of(v.decoder.branches[b].layers, plan.decoder[b].chain, m,
                                 stacked + plan.decoder[b].stacked_at);
  }

  Units<T> units(int64_t at) const { return {memory + at * kGroupRows, plan.units * kGroupRows}; }
  T* unit(int64_t at, int64_t group) const { return units(at).group(group); }
  const T* x() const { return v.x + ((v.shared_x ? 0 : member * v.rows) + first) * v.dimensions; }

  /// Calls f(group, its first row in the block, its rows).
  template <class F>
  void for_each_group(const F& f) const {
    for (int64_t g = 0, row = 0; row < count; ++g, row += kGroupRows)
      f(g, row, std::min<int64_t>(kGroupRows, count - row));
  }

  void run(const KeptVector<BranchPlan>& branches, const ChainWeights<T>* weights, int64_t in, int64_t group,
           int64_t rows) const {
    for (size_t b = 0; b < branches.size(); ++b)
      run_group<T>(weights[b], branches[b].chain, rows, unit(in, group), unit(branches[b].at, group));
  }

  /// From the gradients of what the heads gave.
  void differentiate(const KeptVector<BranchPlan>& branches, const ChainWeights<T>* weights, int64_t in,
                     T* sums) const {
    for (size_t b = 0; b < branches.size(); ++b) {
      const BranchPlan& own = branches[b];
      differentiate_block<T>(weights[b], own.chain, own.wanted, count, units(in).read_only(),
                             units(own.at).read_only(), units(own.d_at), units(plan.spare), units(plan.dz),
                             b == 0, sums + own.sum_at);
    }
  }

  void encode() const {
    for_each_group([&](int64_t g, int64_t row, int64_t rows) {
      rows_to_units(x() + row * v.dimensions, rows, v.dimensions, unit(plan.x, g));
      set_ones(unit(plan.x, g), v.dimensions);
      set_ones(unit(plan.z, g), v.latent);
      run(plan.encoder, of_encoder, plan.x, g, rows);
      const T* const log_variance = unit(plan.q[1].at, g);
      T* const sigma = unit(plan.sigma, g);
#pragma omp simd
      for (int64_t i = 0; i < v.latent * kGroupRows; ++i) sigma[i] = math::exp(T(0.5) * log_variance[i]);
      for (const HeadPlace& head : plan.q) std::fill_n(unit(head.d_at, g), v.latent * kGroupRows, T(0));
    });
  }

  /// The noise of a sample's rows, and z.
  void draw(int64_t sample) const {
    static thread_local Scratch<T> scratch;
    const std::span<T> noise(scratch.at_least(v.latent * plan.block_rows),
                             static_cast<size_t>(count * v.latent));
    RandomKey key = v.key;
    key.member += static_cast<uint32_t>(member);
    key.step += static_cast<uint64_t>(sample / v.samples_of_part);
    const int64_t before = sample % v.samples_of_part * v.batch_rows.all_of(v.rows) + v.batch_rows.first;
    fill_normal_from(noise, key, (before + first) * v.latent);
    for_each_group([&](int64_t g, int64_t row, int64_t rows) {
      rows_to_units(noise.data() + row * v.latent, rows, v.latent, unit(plan.noise, g));
      for (int64_t u = 0; u < v.latent; ++u) {
        const T* const mean = unit(plan.q[0].at + u, g);
        const T *const sigma = unit(plan.sigma + u, g), *const eps = unit(plan.noise + u, g);
        T* const z = unit(plan.z + u, g);
#pragma omp simd
        for (int64_t r = 0; r < rows; ++r) z[r] = mean[r] + sigma[r] * eps[r];
        std::fill_n(z + rows, kGroupRows - rows, T(0));
      }
    });
  }

  /// The decoder forward, and the gradients, times `share`, of what its heads gave by minus the log density.
  void decode(T share, Totals& totals) const {
    const T precision = v.log_sigma2 ? math::exp(-v.log_sigma2[member]) : T(0);
    for_each_group([&](int64_t g, int64_t, int64_t rows) {
      run(plan.decoder, of_decoder, plan.z, g, rows);
      for (int64_t u = 0; u < v.dimensions; ++u) {
        const T *const own = unit(plan.x + u, g), *const mean = unit(plan.p[0].at + u, g);
        T* const d_mean = unit(plan.p[0].d_at + u, g);
        std::fill_n(d_mean + rows, kGroupRows - rows, T(0));
        switch (v.likelihood) {
          case Likelihood::gaussian:
            totals.likelihood += score_gaussian(rows, own, mean, precision, -share, d_mean);
            break;
          case Likelihood::bernoulli:
            totals.likelihood += score_bernoulli(rows, own, mean, -share, d_mean);
            break;
          case Likelihood::diagonal_gaussian: {
            const T* const log_variance = unit(plan.p[1].at + u, g);
            T* const d_log_variance = unit(plan.p[1].d_at + u, g);
            std::fill_n(d_log_variance + rows, kGroupRows - rows, T(0));
            score_diagonal(rows, own, mean, log_variance, -share, d_mean, d_log_variance, totals);
          }
        }
      }
    });
  }

  /// Adds a sample's gradients to those of the posterior.
  void add_sample() const {
    for_each_group([&](int64_t g, int64_t, int64_t rows) {
      for (int64_t u = 0; u < v.latent; ++u) {
        const T *const dz = unit(plan.dz + u, g), *const eps = unit(plan.noise + u, g),
                       *const sigma = unit(plan.sigma + u, g);
        T *const d_mean = unit(plan.q[0].d_at + u, g), *const d_log_variance = unit(plan.q[1].d_at + u, g);
#pragma omp simd
        for (int64_t r = 0; r < rows; ++r) {
          d_mean[r] += dz[r];
          d_log_variance[r] += T(0.5) * dz[r] * eps[r] * sigma[r];
        }
      }
    });
  }

  /// The KL of the rows, and its gradients times `share`.
  void add_kl(T share, Totals& totals) const {
    for_each_group([&](int64_t g, int64_t, int64_t rows) {
      for (int64_t u = 0; u < v.latent; ++u)
        score_kl(rows, unit(plan.q[0].at + u, g), unit(plan.q[1].at + u, g), share,
                 unit(plan.q[0].d_at + u, g), unit(plan.q[1].d_at + u, g), totals);
    });
  }
};

/// The totals of a part; and its sums, unless they are null.
template <class T>
Totals run_part(const SmallVae<T>& v, const Plan& plan, int64_t member, int64_t part, T* sums) {
  static thread_local Scratch<T> scratch;
  T* const memory = scratch.at_least(plan.units * plan.block_rows + plan.stacked);
  if (sums) std::fill_n(sums, plan.sums, T(0));
  const T points = static_cast<T>(v.rows), of_sample = 1 / (points * static_cast<T>(v.samples));
  Block<T> block(v, plan, memory, member);
  Totals totals;
  int64_t scored = 0;  // rows of samples
  const int64_t works = plan.blocks * plan.shares;
  for (int64_t work = works * part / plan.parts; work < works * (part + 1) / plan.parts; ++work) {
    const int64_t share = work % plan.shares, first = work / plan.shares * plan.block_rows;
    const int64_t begin = v.samples * share / plan.shares, end = v.samples * (share + 1) / plan.shares;
    block.first = first;
    block.count = std::min(plan.block_rows, v.rows - first);
    scored += block.count * (end - begin);
    block.encode();
    for (int64_t sample = begin; sample < end; ++sample) {
      block.draw(sample);
      block.decode(of_sample, totals);
      if (!sums) continue;
      block.differentiate(plan.decoder, block.of_decoder, plan.z, sums);
      block.add_sample();
    }
    if (share == 0) block.add_kl(v.kl_weight[member] / points, totals);
    if (sums) block.differentiate(plan.encoder, block.of_encoder, plan.x, sums);
  }
  if (v.likelihood == Likelihood::gaussian) {
    const auto log_sigma2 = static_cast<double>(v.log_sigma2[member]);
    const auto numbers = static_cast<double>(scored) * static_cast<double>(v.dimensions);
    if (sums)
      sums[plan.log_sigma2_at] = static_cast<T>(formulas::LogSigma2Gradient{numbers}(
          totals.likelihood, log_sigma2, -static_cast<double>(of_sample)));
    totals.likelihood = formulas::LogDensity{numbers}(totals.likelihood, log_sigma2);
  }
  return totals;
}

/// A member's terms from the totals of its parts.
template <class T>
void put_terms(const SmallVae<T>& v, int64_t m, const Totals* parts, int64_t count,
               const SmallVaeTerms<T>& to) {
  Totals all;
  for (int64_t p = 0; p < count; ++p) {
    all.likelihood += parts[p].likelihood;
    all.kl += parts[p].kl;
    all.q_log_variance += parts[p].q_log_variance;
    all.p_log_variance += parts[p].p_log_variance;
  }
  const auto points = static_cast<double>(v.rows), of_sample = 1 / (points * static_cast<double>(v.samples));
  const double log_likelihood = all.likelihood * of_sample, kl = all.kl / points;
  to.log_likelihood[m] = static_cast<T>(log_likelihood);
  to.kl[m] = static_cast<T>(kl);
  to.cost[m] = static_cast<T>(static_cast<double>(v.kl_weight[m]) * kl - log_likelihood);
  if (!to.prior_entropy) return;
  to.prior_entropy[m] = static_cast<T>(standard_normal_entropy(v.latent));
  to.encoder_entropy[m] =
      static_cast<T>(standard_normal_entropy(v.latent) + 0.5 * all.q_log_variance / points);
  const double log_variances = v.log_sigma2
                                   ? static_cast<double>(v.dimensions) * static_cast<double>(v.log_sigma2[m])
                                   : all.p_log_variance * of_sample;
  to.decoder_entropy[m] = static_cast<T>(standard_normal_entropy(v.dimensions) + 0.5 * log_variances);
}

}  // namespace

template <class T>
int64_t small_vae_sums(const SmallVae<T>& vae) {
  const Plan plan = plan_of(vae);
  return vae.members * plan.parts * plan.sums;
}

template <class T>
void run_small_vae(const SmallVae<T>& vae, const SmallVaeTerms<T>& terms, T* sums) {
  const Plan plan = plan_of(vae);
  KeptVector<Totals> totals(static_cast<size_t>(vae.members * plan.parts));
  parallel_for(vae.members * plan.parts, grain_of(plan.flops), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item)
      totals[static_cast<size_t>(item)] =
          run_part(vae, plan, item / plan.parts, item % plan.parts, sums ? sums + item * plan.sums : nullptr);
  });
  for (int64_t m = 0; m < vae.members; ++m)
    put_terms(vae, m, totals.data() + m * plan.parts, plan.parts, terms);
}

template <class T>
void join_small_vae(const SmallVae<T>& vae, const T* sums, const T* d_cost,
                    const SmallLayerGradients<T>* gradients) {
  const Plan plan = plan_of(vae);
  const int64_t of_member = plan.parts * plan.sums;
  parallel_for(vae.members, 1 + kParallelGrain / of_member, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const auto scale = static_cast<double>(d_cost[m]);
      const T* const own = sums + m * of_member;
      const SmallLayerGradients<T>* g = gradients;
      const auto join = [&](const SmallPart<T>& part, const KeptVector<BranchPlan>& branches) {
        for (size_t b = 0; b < branches.size(); ++b) {
          const auto& layers = part.branches[b].layers;
          join_parts(layers, branches[b].chain, m, own + branches[b].sum_at, plan.parts, plan.sums, scale, g);
          g += layers.size();
        }
      };
      join(vae.encoder, plan.encoder);
      join(vae.decoder, plan.decoder);
      if (!vae.log_sigma2 || !g->bias) continue;
      double sum = 0;
      for (int64_t p = 0; p < plan.parts; ++p)
        sum += static_cast<double>(own[p * plan.sums + plan.log_sigma2_at]);
      g->bias[m] = (g->add_to_bias ? g->bias[m] : T(0)) + static_cast<T>(scale * sum);
    }
  });
}

#define ELBO_SMALL_VAE(T)                                                       \
  template int64_t small_vae_sums(const SmallVae<T>&);                          \
  template void run_small_vae(const SmallVae<T>&, const SmallVaeTerms<T>&, T*); \
  template void join_small_vae(const SmallVae<T>&, const T*, const T*, const SmallLayerGradients<T>*);
ELBO_SMALL_VAE(float)
ELBO_SMALL_VAE(double)
#undef ELBO_SMALL_VAE

}  // namespace elbo
