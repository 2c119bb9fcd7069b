#include "tensor/random.h"

#include <numeric>

#include "tensor/batch_rows.h"
#include "tensor/cuda/kernels.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

__extension__ typedef unsigned __int128 uint128;

constexpr int64_t kGroups = 64;  // blocks drawn together, structure-of-arrays, so that the rounds vectorise
constexpr int64_t kBatch = 4 * kGroups;
constexpr int64_t kVector = 16;  // blocks that the widest vectors draw at once; fewer take as long
static_assert(kGroups % kVector == 0);

/// Draws `count` blocks from first_group on, words[w][g] being word w of block g.
[[gnu::noinline]] void draw_groups(const RandomKey& key, uint32_t first_group, int64_t count,
                                   uint32_t words[4][kGroups]) {
  const RandomKey own{key.seed, key.member, key.stream, step_of(key)};
#pragma omp simd
  for (int64_t g = 0; g < count; ++g) {
    const PhiloxBlock block = random_block(own, first_group + static_cast<uint32_t>(g));
    words[0][g] = block.word[0];
    words[1][g] = block.word[1];
    words[2][g] = block.word[2];
    words[3][g] = block.word[3];
  }
}

struct Uniforms {
  static void on_gpu(const Tensor& out, int64_t members, int64_t each, const RandomKey& key) {
    if constexpr (kHasGpuCode) cuda::fill_uniform(out.bytes(), out.dtype(), members, each, key);
  }
  template <class T>
  static void convert(const uint32_t words[4][kGroups], int64_t count, T* out) {
    for (int64_t g = 0; g < count; ++g)
      for (int w = 0; w < 4; ++w) out[4 * g + w] = to_unit<T>(words[w][g]);
  }
};

struct Normals {
  static void on_gpu(const Tensor& out, int64_t members, int64_t each, const RandomKey& key) {
    if constexpr (kHasGpuCode) cuda::fill_normal(out.bytes(), out.dtype(), members, each, key);
  }
  template <class T>
  static void convert(const uint32_t words[4][kGroups], int64_t count, T* out) {
    alignas(64) T pair[4][kGroups];
    for (int half = 0; half < 4; half += 2) {
#pragma omp simd
      for (int64_t g = 0; g < count; ++g)
        to_normal_pair<T>(words[half][g], words[half + 1][g], pair[half][g], pair[half + 1][g]);
    }
    for (int64_t g = 0; g < count; ++g)
      for (int w = 0; w < 4; ++w) out[4 * g + w] = pair[w][g];
  }
};

/// Elements first .. first + n - 1 of one member's draw, in the calling thread.
template <class Convert, class T>
void draw_elements(T* out, int64_t n, const RandomKey& key, int64_t first) {
  alignas(64) uint32_t words[4][kGroups];
  alignas(64) T values[kBatch];
  for (int64_t done = 0; done < n;) {
    const int64_t group = (first + done) / 4, skip = (first + done) % 4;
    const int64_t count = std::min(n - done, kBatch - skip);
    if (count == kBatch) {
      draw_groups(key, static_cast<uint32_t>(group), kGroups, words);
      Convert::template convert<T>(words, kGroups, out + done);
    } else {
      const int64_t groups = (skip + count + 4 * kVector - 1) / (4 * kVector) * kVector;
      draw_groups(key, static_cast<uint32_t>(group), groups, words);
      Convert::template convert<T>(words, groups, values);
      std::copy_n(values + skip, count, out + done);
    }
    done += count;
  }
}

/// The same by all threads.
template <class Convert, class T>
void fill_elements(T* out, int64_t n, const RandomKey& key, int64_t first = 0) {
  const int64_t skip = first % 4;  // whatever the ranges are, all but the ends are whole batches
  parallel_for((skip + n + kBatch - 1) / kBatch, 16, [&](int64_t begin, int64_t end) {
    const int64_t from = std::max<int64_t>(begin * kBatch - skip, 0), to = std::min(end * kBatch - skip, n);
    draw_elements<Convert>(out + from, to - from, key, first + from);
  });
}

template <class Convert, class T>
void fill_from(std::span<T> out, const RandomKey& key, int64_t begin, const char* where) {
  const int64_t count = static_cast<int64_t>(out.size());
  if (begin < 0) fail("[{}] element {} of a draw does not exist", where, begin);
  check_draw(key, begin, where);
  check_draw(key, begin + count, where);
  draw_elements<Convert>(out.data(), count, key, begin);
}

template <class Convert>
void fill(const Tensor& out, const RandomKey& key, int64_t members, const char* where) {
  if (members < 1 || (members > 1 && (out.rank() == 0 || out.size(0) != members)))
    fail("[{}] {} members need a first axis of that size, got shape {}", where, members, out.shape().str());
  visit_floating(out.dtype(), where, [&](auto zero) {
    using T = decltype(zero);
    const int64_t each = out.elements() / members;
    check_draw(key, each, where);
    if (out.device() == Device::cuda) return Convert::on_gpu(out, members, each, key);
    for (int64_t m = 0; m < members; ++m) {
      RandomKey own = key;
      own.member += static_cast<uint32_t>(m);
      fill_elements<Convert>(out.data<T>() + m * each, each, own);
    }
  });
}

}  // namespace

void check_draw(const RandomKey& key, int64_t elements, const char* where) {
  if (key.step >> 32) fail("[{}] step {} is out of range; steps stay below 2^32", where, key.step);
  if (elements > int64_t{1} << 34) fail("[{}] {} elements of one draw; at most 2^34", where, elements);
}

void fill_uniform(const Tensor& out, const RandomKey& key, int64_t members) {
  fill<Uniforms>(out, key, members, "uniform");
}

void fill_normal(const Tensor& out, const RandomKey& key, int64_t members) {
  fill<Normals>(out, key, members, "normal");
}

Tensor uniform(const Shape& shape, DType dtype, const RandomKey& key, int64_t members, Device device) {
  Tensor out = Tensor::empty(shape, dtype, device);
  fill_uniform(out, key, members);
  return out;
}

Tensor normal(const Shape& shape, DType dtype, const RandomKey& key, int64_t members, Device device) {
  Tensor out = Tensor::empty(shape, dtype, device);
  fill_normal(out, key, members);
  return out;
}

void fill_normal_rows(const Tensor& out, const RandomKey& key, const BatchRows& rows) {
  const int64_t width = out.size(-1), own = out.size(-2);
  const int64_t samples = out.rank() > 2 ? out.size(0) : 1, all = rows.all_of(own);
  if (out.rank() > 3 || rows.first < 0 || rows.first + own > all)
    fail("[normal] {} at row {} of a batch of {}", out.shape().str(), rows.first, all);
  check_draw(key, samples * all * width, "normal");
  if (out.device() == Device::cuda) {
    const Tensor whole = normal({samples, all, width}, out.dtype(), key, 1, Device::cuda);
    const Tensor to = out.reshape({samples, own, width});
    for (int64_t s = 0; s < samples; ++s)
      to.slice(s).copy_from(whole.slice(s).slice(rows.first, rows.first + own));
    return;
  }
  visit_floating(out.dtype(), "normal", [&](auto zero) {
    using T = decltype(zero);
    for (int64_t s = 0; s < samples; ++s)
      fill_elements<Normals>(out.data<T>() + s * own * width, own * width, key,
                             (s * all + rows.first) * width);
  });
}

void fill_uniform_from(std::span<float> out, const RandomKey& key, int64_t begin) {
  fill_from<Uniforms>(out, key, begin, "uniform");
}

template <class T>
void fill_normal_from(std::span<T> out, const RandomKey& key, int64_t begin) {
  fill_from<Normals>(out, key, begin, "normal");
}
template void fill_normal_from(std::span<float>, const RandomKey&, int64_t);
template void fill_normal_from(std::span<double>, const RandomKey&, int64_t);

Tensor permutation(int64_t n, const RandomKey& key) {
  Tensor result = Tensor::empty({n}, DType::i64);
  check_draw(key, n, "permutation");
  const std::span<int64_t> order = result.span<int64_t>();
  std::iota(order.begin(), order.end(), int64_t{0});
  // Fisher and Yates, from the end; element i's own draw decides its partner.
  for (int64_t i = n - 1; i > 0; --i) {
    const PhiloxBlock block = random_block(key, static_cast<uint32_t>(i));
    const uint64_t word = (uint64_t{block.word[0]} << 32) | block.word[1];
    // The high half of word * (i + 1) is uniform on 0..i up to a bias below 2^-31 for any n in reach.
    const auto partner = static_cast<int64_t>((uint128{word} * static_cast<uint64_t>(i + 1)) >> 64);
    std::swap(order[static_cast<size_t>(i)], order[static_cast<size_t>(partner)]);
  }
  return result;
}

}  // namespace elbo
