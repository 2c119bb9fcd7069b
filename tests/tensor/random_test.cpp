// Random numbers: the generator's published vectors, draws that depend on nothing but their key, and the
// distributions they should have. Bounds on statistics are about 4.5 standard errors, or 1 in 10^5.
#include "tensor/random.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>

#include "tensor/batch_rows.h"
#include "tests/error_of.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

constexpr int64_t kMany = 1'000'000;

struct Moments {
  double mean = 0, variance = 0, skewness = 0, kurtosis = 0;
};

Moments moments(const Tensor& x) {
  const std::vector<double> values = x.to_vector();
  const auto n = static_cast<double>(values.size());
  Moments m;
  for (double v : values) m.mean += v / n;
  for (double v : values) {
    const double d = v - m.mean;
    m.variance += d * d / n;
    m.skewness += d * d * d / n;
    m.kurtosis += d * d * d * d / n;
  }
  m.skewness /= std::pow(m.variance, 1.5);
  m.kurtosis /= m.variance * m.variance;
  return m;
}

/// Kolmogorov's distance of numbers in (0, 1) from uniform, at the edges of 2^16 cells.
double distance_from_uniform(const std::vector<double>& values) {
  constexpr int kCells = 1 << 16;
  std::vector<int> count(kCells, 0);
  for (double v : values) ++count[static_cast<size_t>(v * kCells)];
  double below = 0, worst = 0;
  for (int cell = 0; cell < kCells; ++cell) {
    below += count[static_cast<size_t>(cell)] / static_cast<double>(values.size());
    worst = std::max(worst, std::abs(below - (cell + 1.0) / kCells));
  }
  return worst;
}

double correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const size_t size = std::min(x.size(), y.size());
  const auto n = static_cast<double>(size);
  double sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
  for (size_t i = 0; i < size; ++i) {
    sx += x[i], sy += y[i], sxx += x[i] * x[i], syy += y[i] * y[i], sxy += x[i] * y[i];
  }
  return (sxy / n - sx / n * sy / n) / std::sqrt((sxx / n - sx / n * sx / n) * (syy / n - sy / n * sy / n));
}

bool same_words(const PhiloxBlock& block, const std::array<uint32_t, 4>& words) {
  return std::equal(words.begin(), words.end(), block.word);
}

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("Philox4x32-10 gives the known answers of the Random123 distribution") {
    constexpr uint32_t ones = 0xffffffff;
    CHECK(same_words(philox4x32({{0, 0, 0, 0}}, 0, 0), {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
    CHECK(same_words(philox4x32({{ones, ones, ones, ones}}, ones, ones),
                     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
    CHECK(same_words(philox4x32({{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}}, 0xa4093822, 0x299f31d0),
                     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
  }

  TEST_CASE("a draw is the block of its group, step, member and stream under the seed") {
    const RandomKey key{
        .seed = 0x299f31d0a4093822, .member = 0x13198a2e, .stream = 0x03707344, .step = 0x85a308d3};
    CHECK(same_words(random_block(key, 0x243f6a88), {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
    const Tensor u = uniform({10}, DType::f32, key), z = normal({10}, DType::f64, key);
    for (int64_t i = 0; i < 10; ++i) {
      const PhiloxBlock block = random_block(key, static_cast<uint32_t>(i / 4));
      CHECK(u.at(i) == to_unit<double>(block.word[i % 4]));
      const double radius = std::sqrt(-2 * std::log(to_unit<double>(block.word[i % 4 / 2 * 2])));
      const double angle = 2 * math::kPi * to_unit<double>(block.word[i % 4 / 2 * 2 + 1]);
      CHECK(std::abs(z.at(i) - radius * (i % 2 ? std::sin(angle) : std::cos(angle))) < 2e-7);
    }
  }

  TEST_CASE("words become numbers inside (0, 1), the same in float and double") {
    for (uint32_t word : {0u, 1u, 511u, 512u, 0x7fffffffu, 0x80000000u, 0xfffffe00u, 0xffffffffu}) {
      const float u = to_unit<float>(word);
      CHECK(u > 0.0f);
      CHECK(u < 1.0f);
      CHECK(static_cast<double>(u) == to_unit<double>(word));
      CHECK(std::abs(to_unit<double>(word) - (word + 0.5) / 4294967296.0) <= 0x1p-24);
    }
  }

  TEST_CASE("draws repeat, continue, and change with every part of the key") {
    const RandomKey key{.seed = 7, .member = 1, .stream = kLatentNoise, .step = 12};
    const Tensor x = normal({1000}, DType::f32, key);
    CHECK(same_bits(normal({1000}, DType::f32, key), x));
    CHECK(same_bits(normal({10, 100}, DType::f32, key).reshape({1000}), x));
    CHECK(same_bits(normal({333}, DType::f32, key), x.slice(0, 333)));
    for (const RandomKey& other :
         {RandomKey{8, 1, kLatentNoise, 12}, RandomKey{7 + (uint64_t{1} << 32), 1, kLatentNoise, 12},
          RandomKey{7, 2, kLatentNoise, 12}, RandomKey{7, 1, kShuffle, 12},
          RandomKey{7, 1, kLatentNoise, 13}}) {
      const Tensor y = normal({1000}, DType::f32, other);
      int same = 0;
      for (int64_t i = 0; i < 1000; ++i) same += x.at(i) == y.at(i);
      CHECK(same <= 1);
    }
  }

  TEST_CASE("draws are the same bits with 1, 2 and 5 threads") {
    for (DType dtype : {DType::f32, DType::f64}) {
      const Tensor z = [&] { return ThreadCount(1), normal({40003}, dtype, {.seed = 3}); }();
      const Tensor u = [&] { return ThreadCount(1), uniform({40003}, dtype, {.seed = 3}); }();
      for (int count : {2, 5}) {
        const ThreadCount scope(count);
        CHECK(same_bits(normal({40003}, dtype, {.seed = 3}), z));
        CHECK(same_bits(uniform({40003}, dtype, {.seed = 3}), u));
      }
    }
  }

  TEST_CASE("a member of an ensemble draws what it draws alone") {
    const RandomKey key{.seed = 5, .member = 40, .stream = kInitialisation};
    const Tensor z = normal({3, 7, 101}, DType::f32, key, 3), u = uniform({3, 707}, DType::f64, key, 3);
    for (uint32_t m = 0; m < 3; ++m) {
      RandomKey alone = key;
      alone.member += m;
      CHECK(same_bits(z.slice(m), normal({7, 101}, DType::f32, alone)));
      CHECK(same_bits(u.slice(m), uniform({707}, DType::f64, alone)));
    }
  }

  TEST_CASE("float and double draws agree to float precision") {
    const Tensor z32 = normal({kMany}, DType::f32, {.seed = 9}),
                 z64 = normal({kMany}, DType::f64, {.seed = 9});
    const Tensor u32 = uniform({kMany}, DType::f32, {.seed = 9}),
                 u64 = uniform({kMany}, DType::f64, {.seed = 9});
    double worst = 0;
    bool equal = true;
    for (int64_t i = 0; i < kMany; ++i) {
      const double z = z64.data<double>()[i];
      worst = std::max(worst,
                       std::abs(static_cast<double>(z32.data<float>()[i]) - z) / std::max(std::abs(z), 1.0));
      equal = equal && static_cast<double>(u32.data<float>()[i]) == u64.data<double>()[i];
    }
    CHECK(worst < 3e-7);
    CHECK(equal);
  }

  TEST_CASE("uniform draws have the moments and the distribution of uniform numbers") {
    const Tensor u = uniform({kMany}, DType::f32, {.seed = 1});
    const Moments m = moments(u);
    CHECK(std::abs(m.mean - 0.5) < 4.5 * std::sqrt(1.0 / 12 / kMany));
    CHECK(std::abs(m.variance - 1.0 / 12) < 4.5 * std::sqrt(1.0 / 180 / kMany));
    CHECK(std::abs(m.skewness) < 0.01);
    CHECK(std::abs(m.kurtosis - 1.8) < 0.01);
    CHECK(distance_from_uniform(u.to_vector()) < 2.5 / std::sqrt(kMany));
    // Low bits too: the place within a cell of 2^-16 is uniform again.
    std::vector<double> places = u.to_vector();
    for (double& v : places) v = v * 65536 - std::floor(v * 65536);
    CHECK(distance_from_uniform(places) < 2.5 / std::sqrt(kMany) + 1.0 / 128);
  }

  TEST_CASE("normal draws have the moments and the distribution of normal numbers") {
    const Tensor z = normal({kMany}, DType::f32, {.seed = 2});
    const Moments m = moments(z);
    CHECK(std::abs(m.mean) < 4.5 * std::sqrt(1.0 / kMany));
    CHECK(std::abs(m.variance - 1) < 4.5 * std::sqrt(2.0 / kMany));
    CHECK(std::abs(m.skewness) < 4.5 * std::sqrt(6.0 / kMany));
    CHECK(std::abs(m.kurtosis - 3) < 4.5 * std::sqrt(24.0 / kMany));
    std::vector<double> probabilities = z.to_vector();
    double largest = 0;
    for (double& v : probabilities) {
      largest = std::max(largest, std::abs(v));
      v = 0.5 * std::erfc(-v / std::sqrt(2.0));
    }
    CHECK(distance_from_uniform(probabilities) < 2.5 / std::sqrt(kMany));
    CHECK(largest > 4.5);
    CHECK(largest < 5.77);  // the smallest uniform number is 2^-24
  }

  TEST_CASE("neighbours, and draws of other seeds, members, streams and steps, are uncorrelated") {
    constexpr int64_t n = 100'000;
    const double bound = 4.5 / std::sqrt(static_cast<double>(n));
    const auto draw = [](const RandomKey& key) { return normal({n}, DType::f32, key).to_vector(); };
    const std::vector<double> x = draw({.seed = 1, .member = 1, .stream = 1, .step = 1});
    const auto squared = [](std::vector<double> values) {
      for (double& v : values) v *= v;
      return values;
    };
    for (const std::vector<double>& y :
         {draw({.seed = 2, .member = 1, .stream = 1, .step = 1}),
          draw({.seed = 1, .member = 2, .stream = 1, .step = 1}),
          draw({.seed = 1, .member = 1, .stream = 2, .step = 1}),
          draw({.seed = 1, .member = 1, .stream = 1, .step = 2}), std::vector<double>(x.begin() + 1, x.end()),
          std::vector<double>(x.begin() + 2, x.end()), std::vector<double>(x.begin() + 4, x.end())}) {
      CHECK(std::abs(correlation(x, y)) < bound);
      CHECK(std::abs(correlation(squared(x), squared(y))) < bound);
    }
  }

  TEST_CASE("fill_uniform_from and fill_normal_from give any part of the full draw") {
    const RandomKey key{.seed = 4, .stream = kDequantisation, .step = 3};
    const Tensor full = uniform({5000}, DType::f32, key), normals = normal({5000}, DType::f64, key);
    for (int64_t begin : {0, 1, 2, 3, 4, 255, 256, 257, 1021, 4000})
      for (int64_t count : {0, 1, 3, 4, 255, 256, 257, 700}) {
        const Tensor part = Tensor::full({count + 1}, -1);
        fill_uniform_from(part.span<float>().first(static_cast<size_t>(count)), key, begin);
        CHECK(same_bits(part.slice(0, count), full.slice(begin, begin + count)));
        CHECK(part.at(count) == -1);
        const Tensor of_normals = Tensor::full({count + 1}, -1, DType::f64);
        fill_normal_from(of_normals.span<double>().first(static_cast<size_t>(count)), key, begin);
        CHECK(same_bits(of_normals.slice(0, count), normals.slice(begin, begin + count)));
        CHECK(of_normals.at(count) == -1);
      }
  }

  TEST_CASE("rows of a batch draw what the whole batch draws for them, however it is divided") {
    const RandomKey key{.seed = 4, .member = 2, .stream = kLatentNoise, .step = 3};
    for (const Shape& shape : {Shape{1, 9, 3}, {4, 9, 3}, {2, 700, 2}, {3, 128, 20}, {5, 1, 7}, {1, 5000, 1}})
      for (int64_t parts : {1, 2, 3, 7}) {
        const int64_t samples = shape[0], all = shape[1], width = shape[2];
        CAPTURE(samples);
        CAPTURE(all);
        CAPTURE(parts);
        const Tensor whole = normal({samples, all, width}, DType::f32, key);
        for (int64_t part = 0; part < parts; ++part) {
          const int64_t first = part_begin(all, part, parts), end = part_begin(all, part + 1, parts);
          const Tensor own = Tensor::full({samples, end - first, width}, -9);
          fill_normal_rows(own, key, {first, all});
          for (int64_t s = 0; s < samples; ++s)
            CHECK(same_bits(own.slice(s), whole.slice(s).slice(first, end)));
          if (samples > 1) continue;
          const Tensor flat = Tensor::full({end - first, width}, -9);
          fill_normal_rows(flat, key, {first, all});
          CHECK(same_bits(flat, own.slice(0)));
        }
      }
    const Tensor two = Tensor::empty({2, 3});
    CHECK(mentions(error_of([&] { fill_normal_rows(two, key, {4, 5}); }), "at row 4 of a batch of 5"));
    CHECK(mentions(error_of([&] { fill_normal_rows(two, key, {-1, 5}); }), "row -1"));
  }

  TEST_CASE("parts of a batch are whole, in order, and as equal as can be") {
    for (int64_t rows : {0, 1, 2, 5, 128, 1000})
      for (int64_t parts : {1, 2, 3, 7}) {
        CHECK(part_begin(rows, 0, parts) == 0);
        CHECK(part_begin(rows, parts, parts) == rows);
        for (int64_t part = 0; part < parts; ++part) {
          const int64_t count = part_begin(rows, part + 1, parts) - part_begin(rows, part, parts);
          CHECK(count >= rows / parts);
          CHECK(count <= (rows + parts - 1) / parts);
        }
      }
  }

  TEST_CASE("a permutation holds every index once, and is the same for a key") {
    for (int64_t n : {0, 1, 2, 10, 1000}) {
      const Tensor order = permutation(n, {.seed = 6, .stream = kShuffle});
      CHECK(order.dtype() == DType::i64);
      std::vector<int> seen(static_cast<size_t>(n), 0);
      for (int64_t index : order.span<int64_t>()) ++seen.at(static_cast<size_t>(index));
      CHECK(seen == std::vector<int>(static_cast<size_t>(n), 1));
      CHECK(same_bits(order, permutation(n, {.seed = 6, .stream = kShuffle})));
      if (n == 1000)
        CHECK_FALSE(same_bits(order, permutation(n, {.seed = 6, .stream = kShuffle, .step = 1})));
    }
  }

  TEST_CASE("all orders of four are equally likely") {
    constexpr int kDraws = 24'000;
    std::array<int, 256> count{};
    for (uint64_t step = 0; step < kDraws; ++step) {
      const Tensor order = permutation(4, {.seed = 11, .stream = kShuffle, .step = step});
      const std::span<int64_t> p = order.span<int64_t>();
      ++count[static_cast<size_t>(p[0] * 64 + p[1] * 16 + p[2] * 4 + p[3])];
    }
    int orders = 0;
    double chi_square = 0;
    for (int c : count)
      if (c > 0) ++orders, chi_square += (c - kDraws / 24.0) * (c - kDraws / 24.0) / (kDraws / 24.0);
    CHECK(orders == 24);
    CHECK(chi_square < 60);  // 23 degrees of freedom: exceeded once in 30 000
  }

  TEST_CASE("draws that cannot be made are refused") {
    const RandomKey key{.seed = 1};
    CHECK(error_of([&] {
            normal({3, 2}, DType::f32, key, 2);
          }) == "[normal] 2 members need a first axis of that size, got shape (3, 2)");
    CHECK(mentions(error_of([&] { uniform({}, DType::f32, key, 2); }), "[uniform] 2 members"));
    CHECK(mentions(error_of([&] { uniform({3}, DType::f32, key, 0); }), "[uniform] 0 members"));
    CHECK(mentions(error_of([&] { uniform({3}, DType::u8, key); }), "needs f32 or f64"));
    const RandomKey late{.step = uint64_t{1} << 32};
    CHECK(error_of([&] { normal({3}, DType::f32, late); }) ==
          "[normal] step 4294967296 is out of range; steps stay below 2^32");
    CHECK(mentions(error_of([&] { permutation(3, late); }), "[permutation] step"));
    std::array<float, 2> out{};
    CHECK(mentions(error_of([&] { fill_uniform_from(out, late, 0); }), "step"));
    CHECK(mentions(error_of([&] { fill_uniform_from(out, key, -1); }), "element -1"));
    CHECK(mentions(error_of([&] { fill_uniform_from(out, key, (int64_t{1} << 34) - 1); }), "at most 2^34"));
    CHECK(mentions(error_of([&] { fill_uniform_from(out, key, std::numeric_limits<int64_t>::max()); }),
                   "at most"));
    CHECK(mentions(error_of([&] { permutation(-1, key); }), "negative"));
    CHECK(normal({0}, DType::f32, key).elements() == 0);
    CHECK(normal({2, 0}, DType::f32, key, 2).elements() == 0);
  }
}

}  // namespace elbo
