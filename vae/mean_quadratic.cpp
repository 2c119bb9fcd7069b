#include "vae/mean_quadratic.h"

#include <algorithm>

#include "autograd/small_layer.h"
#include "autograd/tape.h"
#include "tensor/linalg.h"
#include "tensor/parallel.h"
#include "tensor/scratch.h"
#include "tensor/small_chain.h"
#include "vae/member_mean.h"

// The value is linear in what it is made of, so that its gradients are known up to a factor: a block of
// points goes through once, one sample of z after another, forward and backward. Second moments of h, which
// are the gradient by G, are symmetric; only half of them is summed. Sums are of fixed parts of a member's
// points, joined in order: neither threads nor other members change a bit.

namespace elbo {
namespace {

// ---------------------------------------------------------------------------------- h h^T, summed over rows

/// For each kUnitsTogether units, the products with those and all that follow.
int64_t half_sums_of(int64_t width) {
  int64_t sums = 0;
  for (int64_t o = 0; o < width; o += kUnitsTogether) sums += sums_of(kUnitsTogether, width - o);
  return sums;
}

template <class T>
void add_half_sums(int64_t rows, int64_t width, Units<const T> h, T* sums) {
  for (int64_t o = 0; o < width; o += kUnitsTogether) {
    const Units<const T> from{h.first + o * kGroupRows, h.step};
    add_sums<T>(rows, kUnitsTogether, from, width - o, from, sums);
    sums += sums_of(kUnitsTogether, width - o);
  }
}

/// The whole matrix, (width, width), from those of so many parts, `step` numbers apart.
template <class T>
void join_half_sums(const T* sums, int64_t parts, int64_t step, int64_t width, T* moments) {
  for (int64_t o = 0; o < width; o += kUnitsTogether) {
    const int64_t ins = width - o;
    for (int64_t a = 0; a < std::min(kUnitsTogether, ins); ++a)
      for (int64_t i = a; i < ins; ++i) {
        const int64_t at = sum_tile_at<T>(a, i, ins) + a % kSumOuts<T> * kSumIns<T> + i % kSumIns<T>;
        double sum = 0;
        for (int64_t p = 0; p < parts; ++p) sum += static_cast<double>(sums[p * step + at]);
        moments[(o + a) * width + o + i] = moments[(o + i) * width + o + a] = static_cast<T>(sum);
      }
    sums += sums_of(kUnitsTogether, ins);
  }
}

// ------------------------------------------------------------------------------------------------- the pass

template <class T>
struct Quadratic {
  KeptVector<SmallLayer<T>> layers;
  int64_t members, samples, points;
  const T *z, *gram, *target;
};

/// What of it does not depend on the numbers.
struct Plan {
  SmallChain chain;
  int64_t width = 0, block_points = 0, blocks = 0, parts = 0;
  int64_t sums = 0;  ///< of a part: those of the layers, then those of h h^T
  double part_flops = 0;
};

template <class T>
Plan plan_of(const Quadratic<T>& q) {
  Plan p;
  p.chain = chain_of(q.layers, 1);
  p.width = q.layers.back().out;
  p.block_points = p.chain.groups * kGroupRows;
  p.blocks = (q.points + p.block_points - 1) / p.block_points;
  const double rows = static_cast<double>(q.samples * q.points),
               flops = rows * (3 * p.chain.flops_of_row + 3.0 * static_cast<double>(p.width * p.width));
  p.parts = parts_of_work(p.blocks, flops);
  p.part_flops = flops / static_cast<double>(p.parts);
  p.sums = p.chain.sums + half_sums_of(p.width);
  return p;
}

/// What a pass leaves, each a sum over a member's points and samples; where gradients are not wanted, only
/// the value.
template <class T>
struct QuadraticSums {
  double* value;  ///< of every part
  T* sums;        ///< of every part, from 0 on
  T *d_z, *h;     ///< of the shape of z, where it is wanted; h (M, H, N), summed over the samples
};

/// The sum over a group's rows of a . b. Rows that are not there are 0.
template <class T>
double dot_of_units(const T* a, const T* b, int64_t width) {
  constexpr int kLanes = kLanesOf<T>, kVectors = kGroupRows / kLanes;
  Lanes<T> sums[kVectors] = {};
  for (int64_t u = 0; u < width; ++u, a += kGroupRows, b += kGroupRows)
    for (int v = 0; v < kVectors; ++v)
      sums[v] = multiply_add<T>(load_lanes(a + v * kLanes), load_lanes(b + v * kLanes), sums[v]);
  double sum = 0;
  for (const Lanes<T>& lanes : sums)
    for (int i = 0; i < kLanes; ++i) sum += static_cast<double>(lanes[i]);
  return sum;
}

/// A part of a member's points.
template <class T>
class Part {
 public:
  Part(const Quadratic<T>& q, const Plan& plan, int64_t item, const QuadraticSums<T>& to)
      : q_(q), p_(plan), member_(item / plan.parts), part_(item % plan.parts), to_(to) {
    static thread_local Scratch<T> scratch;
    const SmallChain& chain = p_.chain;
    const int64_t in_units = stored_units(q.layers[0].in + 1), h_units = stored_units(p_.width),
                  widest = std::max(chain.widest, in_units), groups = chain.groups * kGroupRows;
    T* next =
        scratch.at_least((in_units + chain.units + 3 * widest + 2 * h_units) * groups + p_.width * p_.width);
    const auto take = [&](int64_t units) {
      const Units<T> taken{next, units * kGroupRows};
      next += units * groups;
      return taken;
    };
    z_ = take(in_units), units_ = take(chain.units), d_ = take(widest), spare_ = take(widest),
    d_z_ = take(widest), start_ = take(h_units), sum_h_ = take(h_units);
    both_ = next;
    const T* const gram = q.gram + member_ * p_.width * p_.width;
    for (int64_t i = 0; i < p_.width; ++i)
      for (int64_t j = 0; j < p_.width; ++j)
        both_[i * p_.width + j] = gram[i * p_.width + j] + gram[j * p_.width + i];
    weights_ = weights_of<T>(q.layers, chain, member_, nullptr);
    const KeptVector<SmallLayerGradients<T>> all(q.layers.size(), {both_, false, both_, false});
    wanted_ = wanted_of(chain, all.data(), to.d_z != nullptr);
    sums_ = to.sums ? to.sums + item * p_.sums : nullptr;
    if (sums_) std::fill_n(sums_, p_.sums, T(0));
  }

  double run() {
    double value = 0;
    for (int64_t block = p_.blocks * part_ / p_.parts; block < p_.blocks * (part_ + 1) / p_.parts; ++block) {
      first_ = block * p_.block_points;
      count_ = std::min(p_.block_points, q_.points - first_);
      load_target();
      for (int64_t sample = 0; sample < q_.samples; ++sample) value += run_sample(sample);
      if (sums_) store_h();
    }
    return value;
  }

 private:
  template <class F>
  void each_group(const F& f) const {
    for (int64_t g = 0; g * kGroupRows < count_; ++g)
      f(g, first_ + g * kGroupRows, std::min<int64_t>(kGroupRows, count_ - g * kGroupRows));
  }

  void load_target() {
    const T* const target = q_.target + member_ * p_.width * q_.points;
    each_group([&](int64_t g, int64_t point, int64_t rows) {
      T *const start = start_.group(g), *const sum_h = sum_h_.group(g);
      for (int64_t u = 0; u < p_.width; ++u) {
        const T* const from = target + u * q_.points + point;
        for (int64_t r = 0; r < rows; ++r) start[u * kGroupRows + r] = T(-2) * from[r];
        std::fill_n(start + u * kGroupRows + rows, kGroupRows - rows, T(0));
      }
      std::fill_n(sum_h, p_.width * kGroupRows, T(0));
    });
  }

  void store_h() {
    T* const to = to_.h + member_ * p_.width * q_.points;
    each_group([&](int64_t g, int64_t point, int64_t rows) {
      for (int64_t u = 0; u < p_.width; ++u)
        std::copy_n(sum_h_.group(g) + u * kGroupRows, rows, to + u * q_.points + point);
    });
  }

  double run_sample(int64_t sample) {
    double value = 0;
    const int64_t in = q_.layers[0].in, width = p_.width, h_at = p_.chain.stages.back().at * kGroupRows;
    const auto rows_at = [&](auto* all, int64_t point) {
      return all + ((member_ * q_.samples + sample) * q_.points + point) * in;
    };
    each_group([&](int64_t g, int64_t point, int64_t rows) {
      T *const z = z_.group(g), *const h = units_.group(g) + h_at, *const d = d_.group(g);
      rows_to_units(rows_at(q_.z, point), rows, in, z);
      set_ones(z, in);
      run_group(weights_, p_.chain, rows, z, units_.group(g));
      for (int64_t u = 0; u < width; ++u) std::fill_n(h + u * kGroupRows + rows, kGroupRows - rows, T(0));
      // -2 h . t, and then h . (G + G^T) h - 2 h . t: half of both together is the form.
      std::copy_n(start_.group(g), width * kGroupRows, d);
      value += 0.5 * dot_of_units(h, d, width);
      multiply<T, false>(rows, {width, width, both_, width, h, d, nullptr, true});
      value += 0.5 * dot_of_units(h, d, width);
      if (!sums_) return;
      T* const sum_h = sum_h_.group(g);
      for (int64_t i = 0; i < width * kGroupRows; ++i) sum_h[i] += h[i];
      if (const auto differentiate = q_.layers.back().differentiate) differentiate(h, d, width * kGroupRows);
    });
    if (!sums_) return value;
    add_half_sums<T>(count_, width, {units_.first + h_at, units_.step}, sums_ + p_.chain.sums);
    differentiate_block<T>(weights_, p_.chain, wanted_, count_, z_.read_only(), units_.read_only(), d_,
                           spare_, d_z_, true, sums_);
    if (to_.d_z)
      each_group([&](int64_t g, int64_t point, int64_t rows) {
        units_to_rows(d_z_.group(g), rows, in, rows_at(to_.d_z, point));
      });
    return value;
  }

  const Quadratic<T>& q_;
  const Plan& p_;
  const int64_t member_, part_;
  const QuadraticSums<T>& to_;
  Units<T> z_, units_, d_, spare_, d_z_, start_, sum_h_;
  T *both_, *sums_;
  ChainWeights<T> weights_;
  WantedGradients wanted_;
  int64_t first_ = 0, count_ = 0;
};

// --------------------------------------------------------------------------------------------------- the op

/// Gives an input `factor` dy of a member times that member's numbers in `x`.
template <class T>
void contribute_scaled(Backward& pass, int input, double factor, const Tensor& x) {
  if (!pass.wants(input)) return;
  const Tensor dy = pass.dy();
  const Backward::Target to = pass.target(input);
  const int64_t members = dy.elements(), numbers = x.elements() / members;
  parallel_for(members, 1 + kParallelGrain / numbers, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const T scale = static_cast<T>(factor * static_cast<double>(dy.data<T>()[m]));
      const T* const from = x.data<T>() + m * numbers;
      T* const own = to.tensor.template data<T>() + m * numbers;
      if (to.accumulate)
        for (int64_t i = 0; i < numbers; ++i) own[i] += scale * from[i];
      else
        for (int64_t i = 0; i < numbers; ++i) own[i] = scale * from[i];
    }
  });
}

void check(const Variable& z, int64_t width, const Variable& gram, const Variable& target) {
  const int own = gram.rank() - 2;  // axes of the members
  const bool fits = (own == 0 || own == 1) && target.rank() == 2 + own &&
                    (z.rank() == 2 + own || z.rank() == 3 + own) && z.value().elements() > 0 &&
                    gram.size(-1) == width && gram.size(-2) == width && target.size(-2) == width &&
                    z.size(-2) == target.size(-1) &&
                    (own == 0 || (z.size(0) == gram.size(0) && target.size(0) == gram.size(0)));
  if (!fits)
    fail("[mean_quadratic] z {} and target {} do not fit gram {} of {} units", z.shape().str(),
         target.shape().str(), gram.shape().str(), width);
}

int64_t width_of(const Variable& z, std::span<const DenseLayer> layers) {
  return layers.empty() ? z.size(-1) : layers.back().weight.size(-2);
}

/// Whether layers that fit together are as small as rows go through together.
bool is_small(const Variable& z, std::span<const DenseLayer> layers, const Variable& gram,
              const Variable& target) {
  const DType dtype = z.dtype();
  const auto is_like = [&](const Variable& x) {
    return x.value().device() == Device::cpu && x.dtype() == dtype;
  };
  if (layers.empty() || (dtype != DType::f32 && dtype != DType::f64) || !is_like(z) || !is_like(gram) ||
      !is_like(target))
    return false;
  int64_t in = z.size(-1);
  for (const DenseLayer& layer : layers) {
    const Variable& weight = layer.weight;
    if (!is_like(weight) || !is_like(layer.bias) || weight.rank() != gram.rank() || weight.size(-1) != in ||
        (gram.rank() == 3 && weight.size(0) != gram.size(0)) ||
        !(layer.bias.shape() == weight.shape().drop_back(1)) || in > kWidestSmallLayer ||
        weight.size(-2) > kWidestSmallLayer)
      return false;
    in = weight.size(-2);
  }
  return true;
}

template <class T>
Variable run_op(const Variable& z, std::span<const DenseLayer> layers, const Variable& gram,
                const Variable& target) {
  const bool has_members = gram.rank() == 3;
  const int64_t members = has_members ? gram.size(0) : 1, points = target.size(-1);
  const int64_t rows = z.value().elements() / z.size(-1) / members;
  Quadratic<T> q{{},
                 members,
                 rows / points,
                 points,
                 z.value().data<T>(),
                 gram.value().data<T>(),
                 target.value().data<T>()};
  KeptVector<const Variable*> inputs{&z, &gram, &target};
  KeptVector<Tensor> kept;  // what the layers point to
  for (const DenseLayer& layer : layers) {
    q.layers.push_back(small_layer<T>(layer.weight.value(), layer.bias.value(), layer.activation));
    inputs.insert(inputs.end(), {&layer.weight, &layer.bias});
    kept.insert(kept.end(), {layer.weight.value(), layer.bias.value()});
  }
  const bool differentiates =
      Tape::live() &&
      std::any_of(inputs.begin(), inputs.end(), [](const Variable* in) { return in->needs_gradient(); });
  const Plan plan = plan_of(q);
  const DType dtype = z.dtype();
  const Tensor value = Tensor::empty(has_members ? Shape{members} : Shape{}, dtype);
  Tensor sums, d_z, h;
  if (differentiates) {
    sums = Tensor::empty({members * plan.parts * plan.sums}, dtype);
    if (z.needs_gradient()) d_z = Tensor::empty(z.shape(), dtype);
    h = Tensor::empty(target.shape(), dtype);
  }
  KeptVector<double> values(static_cast<size_t>(members * plan.parts));
  const auto data = [](const Tensor& x) { return x.defined() ? x.data<T>() : nullptr; };
  const QuadraticSums<T> to{values.data(), data(sums), data(d_z), data(h)};
  parallel_for(members * plan.parts, grain_of(plan.part_flops), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) to.value[item] = Part<T>(q, plan, item, to).run();
  });
  const double share = 1 / static_cast<double>(rows);
  for (int64_t m = 0; m < members; ++m) {
    double sum = 0;
    for (int64_t part = 0; part < plan.parts; ++part)
      sum += values[static_cast<size_t>(m * plan.parts + part)];
    value.data<T>()[m] = static_cast<T>(share * sum);
  }
  const auto rule = [=, layers = q.layers](Backward& pass) {
    const Tensor dy = pass.dy();
    contribute_scaled<T>(pass, 0, share, d_z);
    if (pass.wants(1)) {
      const Tensor moments = Tensor::empty(pass.input_shape(1), dtype);
      for (int64_t m = 0; m < members; ++m)
        join_half_sums(sums.data<T>() + m * plan.parts * plan.sums + plan.chain.sums, plan.parts, plan.sums,
                       plan.width, moments.data<T>() + m * plan.width * plan.width);
      contribute_scaled<T>(pass, 1, share, moments);
    }
    contribute_scaled<T>(pass, 2, -2 * share, h);
    KeptVector<SmallLayerGradients<T>> gradients(layers.size());
    const auto set = [&](int input, T*& to_gradient, bool& add) {
      if (!pass.wants(input)) return;
      const Backward::Target into = pass.target(input);
      to_gradient = into.tensor.template data<T>();
      add = into.accumulate;
    };
    int input = 3;
    for (SmallLayerGradients<T>& each : gradients) {
      set(input++, each.weight, each.add_to_weight);
      set(input++, each.bias, each.add_to_bias);
    }
    for (int64_t m = 0; m < members; ++m)
      join_parts(layers, plan.chain, m, sums.data<T>() + m * plan.parts * plan.sums, plan.parts, plan.sums,
                 share * static_cast<double>(dy.data<T>()[m]), gradients.data());
  };
  Variable result = value;
  Tape::record_outputs("mean_quadratic", inputs, {&result}, [rule, kept](Backward& pass) { rule(pass); });
  return result;
}

}  // namespace

Variable mean_quadratic_twin(const Variable& z, std::span<const DenseLayer> layers, const Variable& gram,
                             const Variable& target) {
  check(z, width_of(z, layers), gram, target);
  const Variable h = dense_layers_twin(z, layers).front();
  const int64_t members = gram.rank() == 3 ? gram.size(0) : 0;
  const auto beside_samples = [&](const Variable& x) {  // an axis for the samples, behind the members
    if (members == 0 || h.rank() == x.rank()) return x;
    return reshape(x, {members, 1, x.size(-2), x.size(-1)});
  };
  // h . t is the trace of the product of both, point by point.
  const Variable identity = identity_matrix(target.size(-2), target.dtype(), target.value().device());
  const Variable rows = matmul_tn(target, identity);  // (M?, N, H)
  const Variable product = matmul(h, beside_samples(gram)) - 2.0 * beside_samples(rows);
  return member_mean(sum(h * product, {-1}), members);
}

Variable mean_quadratic(const Variable& z, std::span<const DenseLayer> layers, const Variable& gram,
                        const Variable& target) {
  check(z, width_of(z, layers), gram, target);
  if (!is_small(z, layers, gram, target)) return mean_quadratic_twin(z, layers, gram, target);
  return z.dtype() == DType::f64 ? run_op<double>(z, layers, gram, target)
                                 : run_op<float>(z, layers, gram, target);
}

}  // namespace elbo
