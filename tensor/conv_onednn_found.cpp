#include <omp.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "tensor/conv_onednn.h"
#include "tensor/map.h"
#include "tensor/parallel.h"

namespace elbo::onednn {
namespace {

using Tag = dnnl::memory::format_tag;
using Dims = dnnl::memory::dims;

enum class Direction { forward, backward_data, backward_weight };

/// What a primitive is made for: one thread.
struct Kind {
  Direction direction;
  ConvSizes sizes;
  auto operator<=>(const Kind&) const = default;
};

/// A convolution ready to run, on several threads at once.
struct Primitive {
  dnnl::primitive run;
  dnnl::memory::desc x, y;
  dnnl::memory::desc weight, own_weight;  // in conv.h's order; in the primitive's
  dnnl::memory::desc scratch;
  dnnl::reorder reorder;  // between the two, where they differ
  bool reorders = false;
};

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  static thread_local dnnl::stream in_order(engine());
  return in_order;
}

dnnl::memory::desc described(const Dims& dims, Tag tag) { return {dims, dnnl::memory::data_type::f32, tag}; }

/// The descriptors of a convolution's tensors; oneDNN names the axes of images N, C, H, W in whatever order
/// they lie, and those of weights O, I, H, W.
struct Descriptors {
  dnnl::memory::desc x, y, weight, any_weight;
  Dims strides, padding;

  explicit Descriptors(const ConvSizes& s)
      : x(described({s.batch, s.channels, s.height, s.width}, Tag::nhwc)),
        y(described({s.batch, s.filters, s.out_height, s.out_width}, Tag::nhwc)),
        weight(described({s.filters, s.channels, s.kernel_height, s.kernel_width}, Tag::ohwi)),
        any_weight(described({s.filters, s.channels, s.kernel_height, s.kernel_width}, Tag::any)),
        strides{s.stride, s.stride},
        padding{s.padding, s.padding} {}
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;
constexpr auto kTraining = dnnl::prop_kind::forward_training;

dnnl::primitive_attr attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  return attributes;
}

// oneDNN 3 gives its primitives at once what version 2 puts into a descriptor first.

dnnl::convolution_forward::primitive_desc forward_of(const Descriptors& d) {
  const dnnl::memory::desc no_bias;
#if DNNL_VERSION_MAJOR < 3
  return {dnnl::convolution_forward::desc(kTraining, kDirect, d.x, d.any_weight, no_bias, d.y, d.strides,
                                          d.padding, d.padding),
          attributes(), engine()};
#else
  return {engine(), kTraining, kDirect,   d.x,       d.any_weight, no_bias,
          d.y,      d.strides, d.padding, d.padding, attributes()};
#endif
}

dnnl::convolution_backward_data::primitive_desc backward_data_of(const Descriptors& d) {
  const auto hint = forward_of(d);
#if DNNL_VERSION_MAJOR < 3
  return {
      dnnl::convolution_backward_data::desc(kDirect, d.x, d.any_weight, d.y, d.strides, d.padding, d.padding),
      attributes(), engine(), hint};
#else
  return {engine(), kDirect, d.x, d.any_weight, d.y, d.strides, d.padding, d.padding, hint, attributes()};
#endif
}

dnnl::convolution_backward_weights::primitive_desc backward_weight_of(const Descriptors& d) {
  const auto hint = forward_of(d);
#if DNNL_VERSION_MAJOR < 3
  return {dnnl::convolution_backward_weights::desc(kDirect, d.x, d.any_weight, d.y, d.strides, d.padding,
                                                   d.padding),
          attributes(), engine(), hint};
#else
  return {engine(), kDirect, d.x, d.any_weight, d.y, d.strides, d.padding, d.padding, hint, attributes()};
#endif
}

/// Empty where oneDNN has only simple loops.
template <class PrimitiveDesc>
std::optional<Primitive> made_of(const PrimitiveDesc& desc, const dnnl::memory::desc& own_weight,
                                 const Descriptors& d, const Kind& kind) {
  if (std::string_view(desc.impl_info_str()).find("ref") != std::string_view::npos) return std::nullopt;
  Primitive made{dnnl::primitive(desc), d.x, d.y, d.weight, own_weight, desc.scratchpad_desc(), {},
                 own_weight != d.weight};
  if (!made.reorders) return made;
  const bool writes_weight = kind.direction == Direction::backward_weight;
  made.reorder = dnnl::reorder(dnnl::reorder::primitive_desc(
      engine(), writes_weight ? own_weight : d.weight, engine(), writes_weight ? d.weight : own_weight));
  return made;
}

std::optional<Primitive> make(const Kind& kind) {
  const Descriptors d(kind.sizes);
  try {
    switch (kind.direction) {
      case Direction::forward: {
        const auto desc = forward_of(d);
        return made_of(desc, desc.weights_desc(), d, kind);
      }
      case Direction::backward_data: {
        const auto desc = backward_data_of(d);
        return made_of(desc, desc.weights_desc(), d, kind);
      }
      case Direction::backward_weight:
        break;
    }
    const auto desc = backward_weight_of(d);
    return made_of(desc, desc.diff_weights_desc(), d, kind);
  } catch (const dnnl::error& error) {
    if (error.status == dnnl_unimplemented || error.status == dnnl_invalid_arguments) return std::nullopt;
    throw;
  }
}

/// The primitive for these sizes, made once; null where there is none.
const Primitive* primitive_for(const Kind& kind) {
  // The sizes of a training run: a few for each layer, and those of its last, smaller batch.
  static std::map<Kind, std::optional<Primitive>> known;
  static std::mutex mutex;  // threads that each differentiate a share of a loss come here at the same time
  const std::lock_guard lock(mutex);
  auto found = known.find(kind);
  if (found == known.end()) found = known.emplace(kind, make(kind)).first;
  return found->second ? &*found->second : nullptr;
}

/// How many blocks the images of a batch are cut into: a function of the sizes, not of the threads, as oneDNN
/// may sum in another order in blocks of another size. A power of two, so that few threads get equal shares.
int64_t block_count(Direction direction, const ConvSizes& s) {
  // A call costs some microseconds beside these multiply-adds. Each block of a gradient by weight writes the
  // whole gradient, and each number written costs as much as kLeastForWeight multiply-adds.
  constexpr double kLeast = 5e6, kLeastForWeight = 200;
  const double weights = static_cast<double>(s.filters * s.kernel_height * s.kernel_width * s.channels);
  const double work = static_cast<double>(s.batch * s.out_height * s.out_width) * weights;
  const bool by_weight = direction == Direction::backward_weight;
  const double least = by_weight ? std::max(kLeast, kLeastForWeight * weights) : kLeast;
  const int64_t most = std::min<int64_t>(s.batch, by_weight ? 16 : 64);
  int64_t count = 1;
  while (2 * count <= most && work >= 2 * static_cast<double>(count) * least) count *= 2;
  return count;
}

/// A tensor's elements, and what the primitive calls them.
struct Argument {
  int name;
  const float* data;
};

Tensor memory_for(const dnnl::memory::desc& desc) {
  return Tensor::empty({static_cast<int64_t>(desc.get_size())}, DType::u8);
}

dnnl::memory with_data(const dnnl::memory::desc& desc, const void* data) {
  return {desc, engine(), const_cast<void*>(data)};
}

/// A primitive for some images of a batch, and its copy of the weights, if it reads weights and wants another
/// order.
struct Step {
  const Primitive* primitive = nullptr;
  Tensor own_weight;
};

Step step_for(const Kind& kind, const float* weight) {
  Step step{primitive_for(kind), {}};
  const Primitive* const p = step.primitive;
  if (p && p->reorders && kind.direction != Direction::backward_weight) {
    step.own_weight = memory_for(p->own_weight);
    dnnl::memory from = with_data(p->weight, weight), to = with_data(p->own_weight, step.own_weight.bytes());
    p->reorder.execute(stream(), from, to);
    stream().wait();
  }
  return step;
}

void run_step(const Step& step, Argument x, Argument y, Argument weight) {
  const Primitive& p = *step.primitive;
  // The primitive's workspace, from memory that a training step uses again and again.
  const Tensor scratch = memory_for(p.scratch);
  const bool writes_weight = p.reorders && !step.own_weight.defined();
  const Tensor own = writes_weight ? memory_for(p.own_weight) : step.own_weight;
  dnnl::memory given = with_data(p.weight, weight.data);
  dnnl::memory used = p.reorders ? with_data(p.own_weight, own.bytes()) : given;
  std::unordered_map<int, dnnl::memory> arguments{
      {x.name, with_data(p.x, x.data)},
      {y.name, with_data(p.y, y.data)},
      {weight.name, used},
      {DNNL_ARG_SCRATCHPAD, with_data(p.scratch, scratch.bytes())}};
  p.run.execute(stream(), arguments);
  if (writes_weight) p.reorder.execute(stream(), used, given);
  stream().wait();
}

/// While one lives, oneDNN's parallel regions that begin on this thread have one thread.
class OneThread {
 public:
  OneThread() { omp_set_num_threads(1); }
  ~OneThread() { omp_set_num_threads(before_); }

 private:
  const int before_ = omp_get_max_threads();
};

/// Runs the convolution; false where there is no primitive for it. Blocks of the batch are calls of their
/// own, each on one thread; gradients by weight are summed over them in order.
bool run(Direction direction, const ConvSizes& sizes, Argument x, Argument y, Argument weight) {
  try {
    const OneThread each;
    const int64_t blocks = block_count(direction, sizes), least = sizes.batch / blocks;
    std::array<Step, 2> steps;  // for the least images that a block has, and for one more
    for (int64_t more = 0; more <= (sizes.batch % blocks > 0 ? 1 : 0); ++more) {
      Kind kind{direction, sizes};
      kind.sizes.batch = least + more;
      Step& step = steps[static_cast<size_t>(more)] = step_for(kind, weight.data);
      if (!step.primitive) return false;
    }
    const bool sums = direction == Direction::backward_weight && blocks > 1;
    const Shape shape{sizes.filters, sizes.kernel_height, sizes.kernel_width, sizes.channels};
    const Tensor parts = sums ? Tensor::empty(Shape{blocks}.concatenated(shape), DType::f32) : Tensor();
    parallel_for(blocks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        const int64_t first = sizes.batch * block / blocks, last = sizes.batch * (block + 1) / blocks;
        const float* const block_x = x.data + first * sizes.height * sizes.width * sizes.channels;
        const float* const block_y = y.data + first * sizes.out_height * sizes.out_width * sizes.filters;
        run_step(steps[static_cast<size_t>(last - first - least)], {x.name, block_x}, {y.name, block_y},
                 {weight.name, sums ? parts.slice(block).data<float>() : weight.data});
      }
    });
    if (sums) {
      const Tensor sum = map_reduce<Sum>(Shape{1}.concatenated(shape), Identity{}, parts);
      std::copy_n(sum.data<float>(), sum.elements(), const_cast<float*>(weight.data));
    }
    return true;
  } catch (const dnnl::error& error) {
    fail("[conv] oneDNN: {}", error.what());
  }
}

}  // namespace

bool conv_forward(const ConvSizes& sizes, float* y, const float* x, const float* weight) {
  return run(Direction::forward, sizes, {DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}, {DNNL_ARG_WEIGHTS, weight});
}

bool conv_backward_data(const ConvSizes& sizes, float* dx, const float* dy, const float* weight) {
  return run(Direction::backward_data, sizes, {DNNL_ARG_DIFF_SRC, dx}, {DNNL_ARG_DIFF_DST, dy},
             {DNNL_ARG_WEIGHTS, weight});
}

bool conv_backward_weight(const ConvSizes& sizes, float* dw, const float* x, const float* dy) {
  return run(Direction::backward_weight, sizes, {DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, dy},
             {DNNL_ARG_DIFF_WEIGHTS, dw});
}

const std::string& library_name() {
  static const std::string name = [] {
    const dnnl_version_t* const version = dnnl_version();
    return fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch);
  }();
  return name;
}

}  // namespace elbo::onednn
