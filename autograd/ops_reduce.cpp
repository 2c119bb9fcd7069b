// Reductions over chosen axes. The value is computed with the reduced axes kept at size 1, where broadcasting
// does the rest, and reshaped at the end.
#include <limits>

#include "autograd/contribute.h"
#include "autograd/ops.h"

namespace elbo {
namespace {

struct Reduction {
  Shape kept;     // with size-1 axes
  Shape result;   // as the caller wants it
  int64_t count;  // elements folded into each result
};

Reduction plan(const Variable& x, const Axes& axes, bool keep, const char* where) {
  bool reduced[Shape::kMaxRank] = {};
  for (int i = 0; i < axes.count; ++i) reduced[normalize_axis(axes.list[i], x.rank(), where)] = true;
  Reduction r{{}, {}, 1};
  for (int axis = 0; axis < x.rank(); ++axis) {
    const bool folds = axes.count == 0 || reduced[axis];
    r.kept.push_back(folds ? 1 : x.size(axis));
    if (folds) r.count *= x.size(axis);
    if (!folds || keep) r.result.push_back(r.kept[axis]);
  }
  return r;
}

Variable scaled_sum(const char* name, const Variable& x, const Reduction& r, double factor) {
  Tensor y = map_reduce<Sum>(r.kept, Scaled{factor}, x.value()).reshape(r.result);
  return Tape::record(name, {&x}, y, [r, factor](Backward& pass) {
    pass.contribute_unsummed(0, Scaled{factor}, pass.dy().reshape(r.kept));
  });
}

struct IsEqual {
  template <class T>
  ELBO_HD T operator()(T x, T y) const {
    return x == y ? T(1) : T(0);
  }
};

struct MaxBackward {
  template <class T>
  ELBO_HD T operator()(T x, T y, T ties, T dy) const {
    return x == y ? dy / ties : T(0);
  }
};

/// e^(x - y), and 0 where both are -infinity.
struct ExpDifference {
  template <class T>
  ELBO_HD T operator()(T x, T y) const {
    return x == y ? T(1) : math::exp(x - y);
  }
};

struct LogSumExpBackward {
  template <class T>
  ELBO_HD T operator()(T x, T y, T dy) const {
    // Also where all are -infinity, and so is y.
    return x == -std::numeric_limits<T>::infinity() ? T(0) : dy * math::exp(x - y);
  }
};

struct AddLog {
  template <class T>
  ELBO_HD T operator()(T largest, T total) const {
    // An infinite maximum is the answer itself.
    return largest - largest == T(0) ? largest + math::log(total) : largest;
  }
};

}  // namespace

Variable sum(const Variable& x, const Axes& axes, bool keep) {
  return scaled_sum("sum", x, plan(x, axes, keep, "sum"), 1.0);
}

Variable mean(const Variable& x, const Axes& axes, bool keep) {
  const Reduction r = plan(x, axes, keep, "mean");
  if (r.count == 0) fail("[mean] there is nothing to average in {}", x.shape().str());
  return scaled_sum("mean", x, r, 1.0 / static_cast<double>(r.count));
}

Variable max(const Variable& x, const Axes& axes, bool keep) {
  const Reduction r = plan(x, axes, keep, "max");
  if (r.count == 0) fail("[max] there is no largest element in {}", x.shape().str());
  const Tensor y = map_reduce<Max>(r.kept, Identity{}, x.value());
  return Tape::record("max", {&x}, y.reshape(r.result), [r, y, x = x.value()](Backward& pass) {
    const Tensor ties = map_reduce<Sum>(r.kept, IsEqual{}, x, y);
    pass.contribute_unsummed(0, MaxBackward{}, x, y, ties, pass.dy().reshape(r.kept));
  });
}

Variable logsumexp(const Variable& x, const Axes& axes, bool keep) {
  const Reduction r = plan(x, axes, keep, "logsumexp");
  const Tensor largest = map_reduce<Max>(r.kept, Identity{}, x.value());
  const Tensor y = map(AddLog{}, largest, map_reduce<Sum>(r.kept, ExpDifference{}, x.value(), largest));
  return Tape::record("logsumexp", {&x}, y.reshape(r.result), [r, y, x = x.value()](Backward& pass) {
    pass.contribute_unsummed(0, LogSumExpBackward{}, x, y, pass.dy().reshape(r.kept));
  });
}

}  // namespace elbo
