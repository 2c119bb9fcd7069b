#include "vae/linear_squared_error.h"

#include <algorithm>

#include "autograd/small_layer.h"
#include "autograd/tape.h"
#include "tensor/map.h"
#include "tensor/parallel.h"
#include "tensor/scratch.h"
#include "tensor/small_chain.h"
#include "vae/member_mean.h"

// A loss takes the value as it is, so that the gradients are known up to a factor: a block of points goes
// through once, one sample of z after another, forward and backward. Second moments of h - a, which are the
// gradient by G, are symmetric; only half of them is summed. Sums are of fixed parts of a member's points and
// samples, joined in order: neither threads nor other members change a bit.

namespace elbo {
namespace {

// ---------------------------------------------------------------------------------- e e^T, summed over rows

/// For each kUnitsTogether units, the products with those and all that follow.
int64_t half_sums_of(int64_t width) {
  int64_t sums = 0;
  for (int64_t o = 0; o < width; o += kUnitsTogether) sums += sums_of(kUnitsTogether, width - o);
  return sums;
}

template <class T>
void add_half_sums(int64_t rows, int64_t width, Units<const T> e, T* sums) {
  for (int64_t o = 0; o < width; o += kUnitsTogether) {
    const Units<const T> from{e.first + o * kGroupRows, e.step};
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
struct Problem {
  KeptVector<SmallLayer<T>> layers;
  int64_t members, samples, points;
  const T *z, *near, *gram, *target;
};

/// What of it does not depend on the numbers.
struct Plan {
  SmallChain chain;
  WantedGradients wanted;
  int64_t width = 0, block_points = 0, blocks = 0;
  /// A member's work is divided into parts of its blocks and, where these are few, shares of its samples.
  int64_t parts = 0, shares = 0;
  int64_t sums = 0;  ///< of each: those of the layers, then those of e e^T, e = h - a
  double flops = 0;  ///< of each

  int64_t items() const { return parts * shares; }
};

template <class T>
Plan plan_of(const Problem<T>& problem, bool of_z) {
  Plan p;
  p.chain = chain_of(problem.layers, 1);
  p.width = problem.layers.back().out;
  const int64_t of_group = stored_units(p.width) * kGroupRows * static_cast<int64_t>(sizeof(T));
  p.chain.groups = std::clamp<int64_t>(kNearestCache / of_group, 2, p.chain.groups);
  p.wanted.of_stage.assign(p.chain.stages.size(), true);
  p.wanted.of_input = of_z;
  p.block_points = p.chain.groups * kGroupRows;
  p.blocks = (problem.points + p.block_points - 1) / p.block_points;
  const double flops = static_cast<double>(problem.samples * problem.points) *
                       (3 * p.chain.flops_of_row + 3.0 * static_cast<double>(p.width * p.width));
  const int64_t items = parts_of_work(p.blocks * problem.samples, flops);
  p.parts = std::min(items, p.blocks);
  p.shares = std::min(items / p.parts, problem.samples);
  p.flops = flops / static_cast<double>(p.items());
  p.sums = p.chain.sums + half_sums_of(p.width);
  return p;
}

/// What a pass leaves, each a sum over a member's points and samples; where gradients are not wanted, only
/// the value.
template <class T>
struct Sums {
  double* value;  ///< of every item
  T* sums;        ///< of every item, from 0 on
  T* d_z;         ///< of the shape of z, where it is wanted
  T* e;           ///< (M, shares, N, H), summed over the samples of a share
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

/// A share of the samples of a part of a member's points.
template <class T>
class Item {
 public:
  Item(const Problem<T>& problem, const Plan& plan, int64_t item, const Sums<T>& to)
      : q_(problem),
        p_(plan),
        member_(item / plan.items()),
        part_(item / plan.shares % plan.parts),
        share_(item % plan.shares),
        to_(to) {
    static thread_local Scratch<T> scratch;
    const SmallChain& chain = p_.chain;
    const int64_t in_units = stored_units(q_.layers[0].in + 1), h_units = stored_units(p_.width),
                  widest = std::max(chain.widest, in_units), rows = chain.groups * kGroupRows;
    T* next =
        scratch.at_least((in_units + chain.units + 3 * widest + 4 * h_units) * rows + p_.width * p_.width);
    const auto take = [&](int64_t units) {
      const Units<T> taken{next, units * kGroupRows};
      next += units * rows;
      return taken;
    };
    z_ = take(in_units), units_ = take(chain.units), d_ = take(widest), spare_ = take(widest),
    d_z_ = take(widest), start_ = take(h_units), near_ = take(h_units), e_ = take(h_units),
    sum_e_ = take(h_units);
    both_ = next;
    const T* const gram = q_.gram + member_ * p_.width * p_.width;
    for (int64_t i = 0; i < p_.width; ++i)
      for (int64_t j = 0; j < p_.width; ++j)
        both_[i * p_.width + j] = gram[i * p_.width + j] + gram[j * p_.width + i];
    weights_ = weights_of<T>(q_.layers, chain, member_, nullptr);
    sums_ = to.sums ? to.sums + item * p_.sums : nullptr;
    if (sums_) std::fill_n(sums_, p_.sums, T(0));
  }

  double run() {
    double value = 0;
    for (int64_t block = p_.blocks * part_ / p_.parts; block < p_.blocks * (part_ + 1) / p_.parts; ++block) {
      first_ = block * p_.block_points;
      count_ = std::min(p_.block_points, q_.points - first_);
      load_target();
      for (int64_t s = q_.samples * share_ / p_.shares; s < q_.samples * (share_ + 1) / p_.shares; ++s)
        value += run_sample(s);
      if (sums_) store_e();
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
    each_group([&](int64_t g, int64_t point, int64_t rows) {
      T* const start = start_.group(g);
      const int64_t at = (member_ * q_.points + point) * p_.width;
      rows_to_units(q_.near + at, rows, p_.width, near_.group(g));
      rows_to_units(q_.target + at, rows, p_.width, start);
      for (int64_t i = 0; i < p_.width * kGroupRows; ++i) start[i] *= T(-2);
      std::fill_n(sum_e_.group(g), p_.width * kGroupRows, T(0));
    });
  }

  void store_e() {
    each_group([&](int64_t g, int64_t point, int64_t rows) {
      units_to_rows(sum_e_.group(g), rows, p_.width,
                    to_.e + ((member_ * p_.shares + share_) * q_.points + point) * p_.width);
    });
  }

  double run_sample(int64_t sample) {
    double value = 0;
    const int64_t in = q_.layers[0].in, width = p_.width, h_at = p_.chain.stages.back().at * kGroupRows;
    const auto rows_at = [&](auto* all, int64_t point) {
      return all + ((member_ * q_.samples + sample) * q_.points + point) * in;
    };
    each_group([&](int64_t g, int64_t point, int64_t rows) {
      T *const z = z_.group(g), *const e = e_.group(g), *const d = d_.group(g);
      const T *const h = units_.group(g) + h_at, *const near = near_.group(g);
      rows_to_units(rows_at(q_.z, point), rows, in, z);
      set_ones(z, in);
      run_group(weights_, p_.chain, rows, z, units_.group(g));
      for (int64_t i = 0; i < width * kGroupRows; ++i) e[i] = h[i] - near[i];
      for (int64_t u = 0; u < width; ++u) std::fill_n(e + u * kGroupRows + rows, kGroupRows - rows, T(0));
      // -2 e . t, and then e . (G + G^T) e - 2 e . t: half of both together is the form.
      std::copy_n(start_.group(g), width * kGroupRows, d);
      value += 0.5 * dot_of_units(e, d, width);
      multiply<T, false>(rows, {width, width, both_, width, e, d, nullptr, true});
      value += 0.5 * dot_of_units(e, d, width);
      if (!sums_) return;
      T* const sum_e = sum_e_.group(g);
      for (int64_t i = 0; i < width * kGroupRows; ++i) sum_e[i] += e[i];
      if (const auto differentiate = q_.layers.back().differentiate) differentiate(h, d, width * kGroupRows);
    });
    if (!sums_) return value;
    add_half_sums<T>(count_, width, e_.read_only(), sums_ + p_.chain.sums);
    differentiate_block<T>(weights_, p_.chain, p_.wanted, count_, z_.read_only(), units_.read_only(), d_,
                           spare_, d_z_, true, sums_);
    if (to_.d_z)
      each_group([&](int64_t g, int64_t point, int64_t rows) {
        units_to_rows(d_z_.group(g), rows, in, rows_at(to_.d_z, point));
      });
    return value;
  }

  const Problem<T>& q_;
  const Plan& p_;
  const int64_t member_, part_, share_;
  const Sums<T>& to_;
  Units<T> z_, units_, d_, spare_, d_z_, start_, near_, e_, sum_e_;
  T *both_, *sums_;
  ChainWeights<T> weights_;
  int64_t first_ = 0, count_ = 0;
};

// --------------------------------------------------------------------------------------------------- the op

void check(const Variable& z, int64_t width, const LinearTarget& to) {
  const Variable &gram = to.gram, &target = to.target;
  const int own = gram.rank() - 2;  // axes of the members
  const Shape members = own == 1 ? Shape{gram.size(0)} : Shape{};
  const bool fits = (own == 0 || own == 1) && target.rank() == 2 + own &&
                    (z.rank() == 2 + own || z.rank() == 3 + own) && z.value().elements() > 0 &&
                    gram.size(-1) == width && gram.size(-2) == width && target.size(-1) == width &&
                    z.size(-2) == target.size(-2) &&
                    (own == 0 || (z.size(0) == gram.size(0) && target.size(0) == gram.size(0))) &&
                    to.near.shape() == target.shape() && to.square.shape() == members;
  if (!fits)
    fail("[linear_squared_error] z {}, near {}, target {} and square {} do not fit gram {} of {} units",
         z.shape().str(), to.near.shape().str(), target.shape().str(), to.square.shape().str(),
         gram.shape().str(), width);
}

int64_t width_of(const Variable& z, std::span<const DenseLayer> layers) {
  return layers.empty() ? z.size(-1) : layers.back().weight.size(-2);
}

/// Whether layers that fit together are as small as rows go through together.
bool is_small(const Variable& z, std::span<const DenseLayer> layers, const LinearTarget& to) {
  const DType dtype = z.dtype();
  const auto is_like = [&](const Variable& x) {
    return x.value().device() == Device::cpu && x.dtype() == dtype;
  };
  if (layers.empty() || (dtype != DType::f32 && dtype != DType::f64) || !is_like(z) || !is_like(to.gram) ||
      !is_like(to.target) || !is_like(to.square) || !is_like(to.near))
    return false;
  const int rank = to.gram.rank();
  int64_t in = z.size(-1);
  for (const DenseLayer& layer : layers) {
    const Variable& weight = layer.weight;
    if (!is_like(weight) || !is_like(layer.bias) || weight.rank() != rank || weight.size(-1) != in ||
        (rank == 3 && weight.size(0) != to.gram.size(0)) ||
        !(layer.bias.shape() == weight.shape().drop_back(1)) || in > kWidestSmallLayer ||
        weight.size(-2) > kWidestSmallLayer)
      return false;
    in = weight.size(-2);
  }
  return true;
}

/// The rule: what the pass has summed, times each member's dy.
template <class T>
void differentiate_op(Backward& pass, const KeptVector<SmallLayer<T>>& layers, const Plan& plan, double share,
                      const Tensor& sums, const Tensor& d_z, const Tensor& e) {
  const Tensor dy = pass.dy();
  const int64_t members = dy.elements(), step = plan.items() * plan.sums;
  const auto give = [&](int input, double factor, const Tensor& gradient) {
    if (pass.wants(input))
      pass.add(input, map(Product{}, gradient, for_terms(map(Scaled{factor}, dy), gradient.shape())));
  };
  if (d_z.defined()) give(0, share, d_z);
  if (pass.wants(2)) {
    const Tensor of_all = plan.shares > 1 ? sum(Variable(e), {-3}).value() : e;
    give(2, -2 * share, of_all.reshape(pass.input_shape(2)));
  }
  pass.add(3, dy);
  const Tensor moments = Tensor::empty(pass.input_shape(1), dy.dtype());
  KeptVector<SmallLayerGradients<T>> gradients;
  for (size_t l = 0; l < layers.size(); ++l)
    gradients.push_back(layer_targets<T>(pass, static_cast<int>(4 + 2 * l)));
  parallel_for(members, 1 + kParallelGrain / step, [&](int64_t begin, int64_t end) {
    for (int64_t m = begin; m < end; ++m) {
      const T* const own = sums.data<T>() + m * step;
      join_half_sums(own + plan.chain.sums, plan.items(), plan.sums, plan.width,
                     moments.data<T>() + m * plan.width * plan.width);
      join_parts(layers, plan.chain, m, own, plan.items(), plan.sums,
                 share * static_cast<double>(dy.data<T>()[m]), gradients.data());
    }
  });
  give(1, share, moments);
}

template <class T>
Variable run_op(const Variable& z, std::span<const DenseLayer> layers, const LinearTarget& to) {
  const bool has_members = to.gram.rank() == 3;
  const int64_t members = has_members ? to.gram.size(0) : 1, points = to.target.size(-2);
  const int64_t rows = z.value().elements() / z.size(-1) / members;
  Problem<T> problem{{},
                     members,
                     rows / points,
                     points,
                     z.value().data<T>(),
                     to.near.data<T>(),
                     to.gram.value().data<T>(),
                     to.target.value().data<T>()};
  KeptVector<const Variable*> inputs{&z, &to.gram, &to.target, &to.square};
  for (const DenseLayer& layer : layers) {
    problem.layers.push_back(small_layer<T>(layer.weight.value(), layer.bias.value(), layer.activation));
    inputs.insert(inputs.end(), {&layer.weight, &layer.bias});
  }
  const bool differentiates =
      Tape::live() && std::ranges::any_of(inputs, [](const Variable* in) { return in->needs_gradient(); });
  const Plan plan = plan_of(problem, differentiates && z.needs_gradient());
  const DType dtype = z.dtype();
  Tensor sums, d_z, e;
  if (differentiates) {
    sums = Tensor::empty({members * plan.items() * plan.sums}, dtype);
    if (plan.wanted.of_input) d_z = Tensor::empty(z.shape(), dtype);
    e = Tensor::empty({members, plan.shares, points, plan.width}, dtype);
  }
  KeptVector<double> values(static_cast<size_t>(members * plan.items()));
  const auto data = [](const Tensor& x) { return x.defined() ? x.data<T>() : nullptr; };
  const Sums<T> found{values.data(), data(sums), data(d_z), data(e)};
  parallel_for(members * plan.items(), grain_of(plan.flops), [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item)
      found.value[item] = Item<T>(problem, plan, item, found).run();
  });
  const double share = 1 / static_cast<double>(rows);
  Variable result = Tensor::empty(to.square.shape(), dtype);
  for (int64_t m = 0; m < members; ++m) {
    double sum = 0;
    for (int64_t i = 0; i < plan.items(); ++i) sum += values[static_cast<size_t>(m * plan.items() + i)];
    const auto square = static_cast<double>(to.square.value().data<T>()[m]);
    result.value().data<T>()[m] = static_cast<T>(square + share * sum);
  }
  Tape::record_outputs("linear_squared_error", inputs, {&result},
                       [=, layers = problem.layers](Backward& pass) {
                         differentiate_op<T>(pass, layers, plan, share, sums, d_z, e);
                       });
  return result;
}

}  // namespace

Variable linear_squared_error_twin(const Variable& z, std::span<const DenseLayer> layers,
                                   const LinearTarget& to) {
  check(z, width_of(z, layers), to);
  const Variable h = dense_layers_twin(z, layers).front();
  const int64_t members = to.gram.rank() == 3 ? to.gram.size(0) : 0;
  const auto beside_samples = [&](const Variable& x) {  // an axis for the samples, behind the members
    if (members == 0 || h.rank() == x.rank()) return x;
    return reshape(x, {members, 1, x.size(-2), x.size(-1)});
  };
  const Variable e = h - beside_samples(to.near);
  const Variable product = matmul(e, beside_samples(to.gram)) - 2.0 * beside_samples(to.target);
  return to.square + member_mean(sum(e * product, {-1}), members);
}

Variable linear_squared_error(const Variable& z, std::span<const DenseLayer> layers, const LinearTarget& to) {
  check(z, width_of(z, layers), to);
  if (!is_small(z, layers, to)) return linear_squared_error_twin(z, layers, to);
  return z.dtype() == DType::f64 ? run_op<double>(z, layers, to) : run_op<float>(z, layers, to);
}

}  // namespace elbo
