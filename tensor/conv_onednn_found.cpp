#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <optional>
#include <tuple>
#include <unordered_map>

#include "tensor/conv_onednn.h"
#include "tensor/parallel.h"

namespace elbo::onednn {
namespace {

using Tag = dnnl::memory::format_tag;
using Dims = dnnl::memory::dims;

enum class Direction { forward, backward_data, backward_weight };

/// What a primitive is made for.
struct Kind {
  Direction direction;
  ConvSizes sizes;
  int threads;  // oneDNN divides the work when it makes the primitive
  auto operator<=>(const Kind&) const = default;
};

/// A convolution ready to run. Its memories are given other people's data at each call.
struct Primitive {
  dnnl::primitive run;
  dnnl::memory x, y;
  dnnl::memory weight, own_weight;  // in conv.h's order, and in that of the primitive
  dnnl::memory scratch;
  int64_t scratch_bytes = 0;
  dnnl::reorder reorder;  // between the two, where they differ
  bool reorders = false;
};

dnnl::engine& engine() {
  static dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}

dnnl::stream& stream() {
  static dnnl::stream in_order(engine());
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

dnnl::memory without_data(const dnnl::memory::desc& desc) { return {desc, engine(), nullptr}; }

/// Empty where oneDNN has only its plain loops.
template <class PrimitiveDesc>
std::optional<Primitive> made_of(const PrimitiveDesc& desc, const dnnl::memory::desc& own_weight,
                                 const Descriptors& d, const Kind& kind) {
  if (std::string_view(desc.impl_info_str()).find("ref") != std::string_view::npos) return std::nullopt;
  Primitive made;
  made.run = dnnl::primitive(desc);
  made.x = without_data(d.x);
  made.y = without_data(d.y);
  made.weight = without_data(d.weight);
  made.scratch_bytes = static_cast<int64_t>(desc.scratchpad_desc().get_size());
  made.scratch = without_data(desc.scratchpad_desc());
  made.reorders = own_weight != d.weight;
  if (!made.reorders) return made;
  made.own_weight = dnnl::memory(own_weight, engine());
  made.reorder = kind.direction == Direction::backward_weight ? dnnl::reorder(made.own_weight, made.weight)
                                                              : dnnl::reorder(made.weight, made.own_weight);
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
Primitive* primitive_for(Direction direction, const ConvSizes& sizes) {
  // The sizes of a training run: a few for each layer, and those of its last, smaller batch.
  static std::map<Kind, std::optional<Primitive>> known;
  const Kind kind{direction, sizes, threads()};
  auto found = known.find(kind);
  if (found == known.end()) found = known.emplace(kind, make(kind)).first;
  return found->second ? &*found->second : nullptr;
}

/// A tensor's elements, and what the primitive calls them.
struct Argument {
  int name;
  const float* data;
};

/// Runs the convolution; false where there is no primitive for it.
bool run(Direction direction, const ConvSizes& sizes, Argument x, Argument y, Argument weight) {
  try {
    Primitive* const p = primitive_for(direction, sizes);
    if (!p) return false;
    // The workspace is a tensor, whose memory every training step uses again.
    const Tensor scratch = Tensor::empty({p->scratch_bytes}, DType::u8);
    p->scratch.set_data_handle(scratch.bytes());
    const auto given = [](dnnl::memory& memory, const float* data) {
      memory.set_data_handle(const_cast<float*>(data));
      return memory;
    };
    dnnl::memory weights = given(p->weight, weight.data);
    std::unordered_map<int, dnnl::memory> arguments{{x.name, given(p->x, x.data)},
                                                    {y.name, given(p->y, y.data)},
                                                    {weight.name, p->reorders ? p->own_weight : weights},
                                                    {DNNL_ARG_SCRATCHPAD, p->scratch}};
    const bool writes_weight = direction == Direction::backward_weight;
    if (p->reorders && !writes_weight) p->reorder.execute(stream(), weights, p->own_weight);
    p->run.execute(stream(), arguments);
    if (p->reorders && writes_weight) p->reorder.execute(stream(), p->own_weight, weights);
    stream().wait();
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
