// conv: oneDNN and matrix products against their twin, the definition spelt out as a list of products; then
// identities that bind the functions to each other.
#include "tensor/conv.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tensor/conv_columns.h"
#include "tensor/conv_onednn.h"
#include "tests/error_of.h"
#include "tests/tensor/conv_cases.h"
#include "tests/tensor/operands.h"
#include "tests/thread_count.h"

namespace elbo {
namespace {

Tensor rough_numbers(const Shape& shape, DType dtype, Engine& engine) {
  std::vector<double> values(static_cast<size_t>(shape.elements()));
  for (double& value : values) value = std::uniform_real_distribution<double>(-1, 1)(engine);
  return Tensor::from(shape, values).to(dtype);
}

double inner_product(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> as = a.to_vector(), bs = b.to_vector();
  double sum = 0;
  for (size_t i = 0; i < as.size(); ++i) sum += as[i] * bs[i];
  return sum;
}

/// Calls f with the flat indices of x, weight and y for every product that the convolution of `c` is made of.
/// Where a pixel of x lies under the kernel is not worked out: all pixels are asked.
template <class F>
void for_each_product(const ConvCase& c, const F& f) {
  const int64_t stride = c.options.stride, padding = c.options.padding;
  const int64_t height = c.x[1], width = c.x[2], channels = c.x[3];
  const int64_t filters = c.weight[0], tall = c.weight[1], wide = c.weight[2];
  // Kernels are put down at every stride-th row and column of the padded image, as long as they fit.
  int64_t rows = 0, columns = 0;
  while (rows * stride + tall <= height + 2 * padding) ++rows;
  while (columns * stride + wide <= width + 2 * padding) ++columns;
  REQUIRE(c.y() == Shape{c.x[0], rows, columns, filters});
  for (int64_t n = 0; n < c.x[0]; ++n)
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t h = 0; h < height; ++h)
        for (int64_t r = 0; r < tall; ++r) {
          if (i * stride + r != h + padding) continue;
          for (int64_t j = 0; j < columns; ++j)
            for (int64_t w = 0; w < width; ++w)
              for (int64_t t = 0; t < wide; ++t) {
                if (j * stride + t != w + padding) continue;
                for (int64_t k = 0; k < filters; ++k)
                  for (int64_t ch = 0; ch < channels; ++ch)
                    f(static_cast<size_t>(((n * height + h) * width + w) * channels + ch),
                      static_cast<size_t>(((k * tall + r) * wide + t) * channels + ch),
                      static_cast<size_t>(((n * rows + i) * columns + j) * filters + k));
              }
        }
}

/// Checks what `compute(out, accumulate)` writes against `wanted`: onto NaN, which must not show, and onto
/// numbers that must be added to.
template <class Compute>
void check_result(const Tensor& out, const std::vector<double>& wanted, const Compute& compute) {
  out.fill(std::nan(""));
  compute(out, false);
  CHECK(out.to_vector() == wanted);
  out.fill(3);
  compute(out, true);
  std::vector<double> sum = wanted;
  for (double& value : sum) value += 3;
  CHECK(out.to_vector() == sum);
}

/// y, dx and dw of conv.h, as sums of those products.
struct Sums {
  std::vector<double> y, dx, dw;
};
Sums sums_of(const ConvCase& c, const Tensor& x, const Tensor& weight, const Tensor& dy) {
  const std::vector<double> xs = x.to_vector(), ws = weight.to_vector(), ys = dy.to_vector();
  Sums sums{std::vector<double>(ys.size()), std::vector<double>(xs.size()), std::vector<double>(ws.size())};
  for_each_product(c, [&](size_t in_x, size_t in_weight, size_t in_y) {
    sums.y[in_y] += xs[in_x] * ws[in_weight];
    sums.dx[in_x] += ys[in_y] * ws[in_weight];
    sums.dw[in_weight] += xs[in_x] * ys[in_y];
  });
  return sums;
}

/// The largest distance of any number from what it should be, in parts of the largest that there should be.
double distance(const Tensor& found, const std::vector<double>& wanted) {
  const std::vector<double> values = found.to_vector();
  double worst = 0, largest = 1e-30;
  for (size_t i = 0; i < values.size(); ++i) {
    const double off = std::abs(values[i] - wanted[i]);
    if (std::isnan(off)) return off;  // a number that was not written
    worst = std::max(worst, off);
    largest = std::max(largest, std::abs(wanted[i]));
  }
  return worst / largest;
}

struct WorstDistances {
  double forward = 0, data = 0, weight = 0;
};
/// Of what oneDNN does of a case, with any of these numbers of threads.
WorstDistances worst_of_onednn(const ConvCase& c, const std::vector<int>& thread_counts, Engine& engine) {
  const Tensor x = rough_numbers(c.x, DType::f32, engine),
               weight = rough_numbers(c.weight, DType::f32, engine),
               dy = rough_numbers(c.y(), DType::f32, engine);
  const ConvSizes s = sizes_of(c);
  const Sums wanted = sums_of(c, x, weight, dy);
  const auto unwritten = [](const Shape& shape) { return Tensor::full(shape, std::nan("")); };
  const float *const xs = x.data<float>(), *const ws = weight.data<float>(), *const ys = dy.data<float>();
  WorstDistances worst;
  for (const int count : thread_counts) {
    const ThreadCount scope(count);
    const Tensor y = unwritten(c.y()), dx = unwritten(c.x), dw = unwritten(c.weight);
    if (onednn::conv_forward(s, y.data<float>(), xs, ws))
      worst.forward = std::max(worst.forward, distance(y, wanted.y));
    if (onednn::conv_backward_data(s, dx.data<float>(), ys, ws))
      worst.data = std::max(worst.data, distance(dx, wanted.dx));
    if (onednn::conv_backward_weight(s, dw.data<float>(), xs, ys))
      worst.weight = std::max(worst.weight, distance(dw, wanted.dw));
  }
  return worst;
}

/// One convolution and the transposed one, whose images swap roles; whole numbers make them exact.
void check(const ConvCase& c, DType dtype, Engine& engine) {
  CAPTURE(c.str());
  CAPTURE(name(dtype));
  const Tensor x = small_numbers(c.x, dtype, engine), weight = small_numbers(c.weight, dtype, engine);
  const Tensor y = small_numbers(c.y(), dtype, engine);
  const auto [forward, data, by_weight] = sums_of(c, x, weight, y);

  const Tensor out_y = Tensor::empty(c.y(), dtype), out_x = Tensor::empty(c.x, dtype);
  const Tensor out_weight = Tensor::empty(c.weight, dtype);
  check_result(out_y, forward, [&](const Tensor& out, bool accumulate) {
    conv2d_into(out, x, weight, c.options, accumulate);
  });
  check_result(out_x, data, [&](const Tensor& out, bool accumulate) {
    conv2d_backward_data(out, y, weight, c.options, accumulate);
  });
  check_result(out_weight, by_weight, [&](const Tensor& out, bool accumulate) {
    conv2d_backward_weight(out, x, y, c.options, accumulate);
  });

  // The transposed convolution of y goes back to the size that x has, where a square of pixels was left over
  // or none. Its options say which; the functions above, which read it off the images, do with them what they
  // did.
  ConvOptions back = c.options;
  back.output_padding = c.x[1] - conv_transpose2d_shape(y, weight, back)[1];
  if (!(conv_transpose2d_shape(y, weight, back) == c.x)) return;
  conv2d_backward_data(out_x, y, weight, back);
  CHECK(out_x.to_vector() == data);
  conv2d_into(out_y, x, weight, back);
  CHECK(out_y.to_vector() == forward);
  conv2d_backward_weight(out_weight, x, y, back);
  CHECK(out_weight.to_vector() == by_weight);
}

/// The gradient of f by every element of x, where f is linear in it: one difference is exact but for
/// rounding.
template <class F>
std::vector<double> differences(const Tensor& x, const F& f) {
  std::vector<double> gradient;
  for (double& value : x.span<double>()) {
    const double before = value;
    value = before + 1;
    const double above = f();
    value = before - 1;
    gradient.push_back((above - f()) / 2);
    value = before;
  }
  return gradient;
}

void check_close(const Tensor& tensor, const std::vector<double>& wanted) {
  const std::vector<double> values = tensor.to_vector();
  REQUIRE(values.size() == wanted.size());
  double worst = 0;
  for (size_t i = 0; i < values.size(); ++i) worst = std::max(worst, std::abs(values[i] - wanted[i]));
  CHECK(worst < 1e-12);
}

}  // namespace

TEST_SUITE("tensor") {
  TEST_CASE("convolutions and their gradients are the sums of products that define them") {
    Engine engine(1);
    int transposed = 0;
    for (const ConvCase& c : conv_cases())
      for (int count : {1, 3}) {
        const ThreadCount scope(count);
        for (DType dtype : {DType::f32, DType::f64}) check(c, dtype, engine);
        transposed +=
            conv_transpose2d_shape(Tensor::empty(c.y()), Tensor::empty(c.weight), c.options) == c.x ? 1 : 0;
      }
    CHECK(transposed > 50);  // and not every case is without its transposed half
  }

  TEST_CASE("a small convolution and its transpose, worked out by hand") {
    const Tensor x = Tensor::from<double>({1, 3, 3, 1}, {1, 2, 3, 4, 5, 6, 7, 8, 9});
    const Tensor weight = Tensor::from<double>({1, 2, 2, 1}, {1, 10, 100, 1000});
    const Tensor y = Tensor::empty({1, 2, 2, 1}, DType::f64);
    conv2d_into(y, x, weight, {});
    CHECK(y.to_vector() == std::vector<double>{5421, 6532, 8754, 9865});  // the kernel is not flipped
    const Tensor strided = Tensor::empty({1, 2, 2, 1}, DType::f64);
    conv2d_into(strided, x, weight, {.stride = 2, .padding = 1});
    CHECK(strided.to_vector() == std::vector<double>{1000, 3200, 7040, 9865});

    const Tensor z = Tensor::from<double>({1, 1, 2, 1}, {1, 2});
    CHECK(conv_transpose2d_shape(z, weight, {}) == Shape{1, 2, 3, 1});
    const Tensor wide = Tensor::empty({1, 2, 3, 1}, DType::f64);
    conv2d_backward_data(wide, z, weight, {});
    CHECK(wide.to_vector() == std::vector<double>{1, 12, 20, 100, 1200, 2000});
    const Tensor apart =
        Tensor::empty(conv_transpose2d_shape(z, weight, {.stride = 3, .padding = 0}), DType::f64);
    conv2d_backward_data(apart, z, weight, {.stride = 3, .padding = 0});
    CHECK(apart.shape() == Shape{1, 2, 5, 1});
    CHECK(apart.to_vector() == std::vector<double>{1, 10, 0, 2, 20, 100, 1000, 0, 200, 2000});
  }

  TEST_CASE("a transposed convolution is the transpose of the convolution") {
    Engine engine(2);
    for (const ConvCase& c : conv_cases()) {
      CAPTURE(c.str());
      const Tensor weight = rough_numbers(c.weight, DType::f64, engine);
      const Tensor small = rough_numbers(c.y(), DType::f64, engine);
      const Tensor large = Tensor::empty(conv_transpose2d_shape(small, weight, c.options), DType::f64);
      conv2d_backward_data(large, small, weight, c.options);
      const Tensor z = rough_numbers(large.shape(), DType::f64, engine);
      const Tensor conv_z = Tensor::empty(conv2d_shape(z, weight, c.options), DType::f64);
      conv2d_into(conv_z, z, weight, c.options);
      CHECK(inner_product(large, z) == doctest::Approx(inner_product(small, conv_z)).epsilon(1e-12));
    }
  }

  TEST_CASE("gradients are central differences") {
    Engine engine(3);
    for (const ConvCase& c :
         {ConvCase{.x = {2, 6, 5, 2}, .weight = {3, 3, 2, 2}, .options = {.stride = 2, .padding = 1}},
          ConvCase{.x = {1, 7, 4, 3}, .weight = {2, 2, 4, 3}, .options = {.stride = 3, .padding = 0}},
          ConvCase{.x = {2, 4, 4, 1}, .weight = {2, 3, 3, 1}, .options = {.stride = 1, .padding = 2}}}) {
      CAPTURE(c.str());
      const Tensor x = rough_numbers(c.x, DType::f64, engine),
                   weight = rough_numbers(c.weight, DType::f64, engine);
      const Tensor y = Tensor::empty(c.y(), DType::f64), dy = rough_numbers(c.y(), DType::f64, engine);
      const Tensor dx = Tensor::empty(c.x, DType::f64), dw = Tensor::empty(c.weight, DType::f64);
      const auto loss = [&] {
        conv2d_into(y, x, weight, c.options);
        return inner_product(y, dy);
      };
      conv2d_backward_data(dx, dy, weight, c.options);
      check_close(dx, differences(x, loss));
      conv2d_backward_weight(dw, x, dy, c.options);
      check_close(dw, differences(weight, loss));

      const Tensor in = rough_numbers(c.y(), DType::f64, engine), din = Tensor::empty(c.y(), DType::f64);
      const Tensor out = Tensor::empty(conv_transpose2d_shape(in, weight, c.options), DType::f64);
      const Tensor dout = rough_numbers(out.shape(), DType::f64, engine);
      const auto transposed_loss = [&] {
        conv2d_backward_data(out, in, weight, c.options);
        return inner_product(out, dout);
      };
      conv2d_into(din, dout, weight, c.options);
      check_close(din, differences(in, transposed_loss));
      conv2d_backward_weight(dw, dout, in, c.options);
      check_close(dw, differences(weight, transposed_loss));
    }
  }

  TEST_CASE("convolutions as matrix products agree with their definition, the same bits with any threads") {
    Engine engine(7);
    std::vector<ConvCase> cases = conv_cases();
    cases.push_back({{5, 13, 17, 5}, {24, 5, 3, 5}, {.stride = 3, .padding = 2}});
    cases.push_back({{3, 28, 28, 1}, {16, 3, 3, 1}, {.stride = 2, .padding = 1}});
    // More columns than are made at a time, and images that are not a multiple of that.
    cases.push_back({{7, 32, 32, 16}, {24, 4, 4, 16}, {.stride = 1, .padding = 1}});
    for (const ConvCase& c : cases)
      for (const DType dtype : {DType::f32, DType::f64}) {
        CAPTURE(c.str());
        CAPTURE(name(dtype));
        const ConvSizes s = sizes_of(c);
        if (s.batch == 0) continue;
        const Tensor x = rough_numbers(c.x, dtype, engine), weight = rough_numbers(c.weight, dtype, engine),
                     dy = rough_numbers(c.y(), dtype, engine);
        const Sums sums = sums_of(c, x, weight, dy);
        for (const bool accumulate : {false, true}) {
          const double start = accumulate ? 3 : std::nan("");
          std::vector<Tensor> first;
          for (const int count : {1, 2, 5}) {
            const ThreadCount scope(count);
            const std::vector<Tensor> results{Tensor::full(c.y(), start, dtype),
                                              Tensor::full(c.x, start, dtype),
                                              Tensor::full(c.weight, start, dtype)};
            columns::conv_forward(s, results[0], x, weight, accumulate);
            columns::conv_backward_data(s, results[1], dy, weight, accumulate);
            columns::conv_backward_weight(s, results[2], x, dy, accumulate);
            if (first.empty()) first = results;
            for (size_t which = 0; which < 3; ++which) CHECK(same_bits(results[which], first[which]));
          }
          for (size_t which = 0; which < 3; ++which) {
            std::vector<double> wanted = which == 0 ? sums.y : which == 1 ? sums.dx : sums.dw;
            if (accumulate)
              for (double& value : wanted) value += start;
            // Sums of up to some thousand products.
            CHECK(distance(first[which], wanted) <= (dtype == DType::f32 ? 1e-5 : 1e-14));
          }
        }
      }
  }

  TEST_CASE("oneDNN agrees with the definition to 1e-5, with one thread and several") {
    Engine engine(6);
    std::vector<ConvCase> cases = conv_cases();
    // Layers of the convolutional VAEs: all of the Higgins ones, one image and many; sizes that are odd.
    for (const int64_t batch : {1, 6}) {
      cases.push_back({{batch, 64, 64, 3}, {32, 4, 4, 3}, {.stride = 2, .padding = 1}});
      cases.push_back({{batch, 32, 32, 32}, {32, 4, 4, 32}, {.stride = 2, .padding = 1}});
      cases.push_back({{batch, 8, 8, 64}, {64, 4, 4, 64}, {.stride = 2, .padding = 1}});
      cases.push_back({{batch, 28, 28, 1}, {16, 3, 3, 1}, {.stride = 2, .padding = 1}});
      cases.push_back({{batch, 7, 7, 32}, {64, 3, 3, 32}, {.stride = 2, .padding = 1}});
      cases.push_back({{batch, 13, 17, 5}, {24, 5, 3, 5}, {.stride = 3, .padding = 2}});
    }
    // Images in blocks, even and not.
    cases.push_back({{13, 32, 32, 16}, {16, 4, 4, 16}, {.stride = 2, .padding = 1}});
    cases.push_back({{21, 16, 16, 32}, {16, 3, 3, 32}, {.stride = 1, .padding = 1}});
    WorstDistances worst;
    for (const ConvCase& c : cases) {
      CAPTURE(c.str());
      const WorstDistances of_case = worst_of_onednn(c, {1, 2, 5}, engine);
      worst.forward = std::max(worst.forward, of_case.forward);
      worst.data = std::max(worst.data, of_case.data);
      worst.weight = std::max(worst.weight, of_case.weight);
      CHECK(of_case.forward <= 1e-5);
      CHECK(of_case.data <= 1e-5);
      CHECK(of_case.weight <= 1e-5);
    }
    MESSAGE(cpu_convolutions_name() << ": worst distances " << worst.forward << ", " << worst.data << ", "
                                    << worst.weight);
  }

  TEST_CASE("convolutions in f32: the same bits with 1 to 5 threads") {
    Engine engine(8);
    // Layers of the convolutional VAEs with batches that are cut into blocks, even or not, and into none; few
    // channels, which go around oneDNN; many images and small weights, whose gradient has the most blocks.
    std::vector<ConvCase> cases{{{37, 32, 32, 32}, {32, 4, 4, 32}, {.stride = 2, .padding = 1}},
                                {{24, 8, 8, 64}, {64, 4, 4, 64}, {.stride = 2, .padding = 1}},
                                {{1, 8, 8, 64}, {64, 4, 4, 64}, {.stride = 2, .padding = 1}},
                                {{37, 64, 64, 3}, {32, 4, 4, 3}, {.stride = 2, .padding = 1}},
                                {{50, 28, 28, 16}, {16, 3, 3, 16}, {.stride = 1, .padding = 1}},
                                {{6, 13, 17, 5}, {24, 5, 3, 5}, {.stride = 3, .padding = 2}}};
    for (const ConvCase& c : cases) {
      CAPTURE(c.str());
      const Tensor x = rough_numbers(c.x, DType::f32, engine),
                   weight = rough_numbers(c.weight, DType::f32, engine);
      const Tensor dy = rough_numbers(c.y(), DType::f32, engine);
      std::vector<Tensor> first;
      for (const int count : {1, 2, 3, 4, 5}) {
        CAPTURE(count);
        const ThreadCount scope(count);
        const std::vector<Tensor> results{Tensor::empty(c.y()), Tensor::empty(c.x), Tensor::empty(c.weight)};
        conv2d_into(results[0], x, weight, c.options);
        conv2d_backward_data(results[1], dy, weight, c.options);
        conv2d_backward_weight(results[2], x, dy, c.options);
        if (first.empty()) first = results;
        for (size_t which = 0; which < 3; ++which) CHECK(same_bits(results[which], first[which]));
      }
    }
  }

  TEST_CASE("NaN goes through a convolution, and stays in its image") {
    for (const DType dtype : {DType::f32, DType::f64})
      for (const int64_t channels : {3, 32}) {
        const Tensor x = Tensor::full({2, 8, 8, channels}, 1, dtype);
        const Tensor weight = Tensor::full({32, 4, 4, channels}, -0.5, dtype);
        const Tensor y = Tensor::empty({2, 4, 4, 32}, dtype);
        x.slice(1).fill(std::nan(""));
        conv2d_into(y, x, weight, {.stride = 2, .padding = 1});
        for (int64_t i = 0; i < y.elements(); ++i) CHECK(std::isnan(y.at(i)) == (i >= y.elements() / 2));
      }
  }

  TEST_CASE("convolutions read and write only their own memory") {
    Engine engine(5);
    const Tensor arena = Tensor::full({2000}, 7);
    const Tensor x = small_numbers({1, 5, 5, 2}, DType::f32, engine);
    const Tensor weight = small_numbers({3, 3, 3, 2}, DType::f32, engine);
    const Tensor y = arena.view_at(101, {1, 3, 3, 3}), dx = arena.view_at(301, {1, 5, 5, 2});
    const Tensor dw = arena.view_at(501, {3, 3, 3, 2});
    conv2d_into(y, x, weight, {.stride = 2, .padding = 1});
    conv2d_backward_data(dx, y, weight, {.stride = 2, .padding = 1});
    conv2d_backward_weight(dw, x, y, {.stride = 2, .padding = 1});
    for (int64_t i = 0; i < 2000; ++i)
      if (i < 101 || (i >= 128 && i < 301) || (i >= 351 && i < 501) || i >= 555) REQUIRE(arena.at(i) == 7);
  }

  TEST_CASE("no images give nothing, and a gradient of zero for the weight") {
    const Tensor x = Tensor::empty({0, 5, 5, 2}), weight = Tensor::zeros({3, 3, 3, 2});
    CHECK(conv2d_shape(x, weight, {.stride = 2, .padding = 1}) == Shape{0, 3, 3, 3});
    const Tensor y = Tensor::empty({0, 3, 3, 3});
    conv2d_into(y, x, weight, {.stride = 2, .padding = 1});
    conv2d_backward_data(x, y, weight, {.stride = 2, .padding = 1});
    const Tensor dw = Tensor::full(weight.shape(), 5);
    conv2d_backward_weight(dw, x, y, {.stride = 2, .padding = 1}, true);
    CHECK(dw.to_vector() == std::vector<double>(54, 5));
    conv2d_backward_weight(dw, x, y, {.stride = 2, .padding = 1});
    CHECK(dw.to_vector() == std::vector<double>(54, 0));
  }

  TEST_CASE("convolutions that do not fit are refused with what was wrong") {
    const Tensor x = Tensor::zeros({2, 5, 5, 3}), weight = Tensor::zeros({4, 3, 3, 3}),
                 y = Tensor::zeros({2, 3, 3, 4});
    const auto shape_error = [&](const Shape& xs, const Shape& ws, const ConvOptions& options = {}) {
      return error_of([&] { conv2d_shape(Tensor::empty(xs), Tensor::empty(ws), options); });
    };
    CHECK(
        shape_error({5, 5, 3}, {4, 3, 3, 3}) ==
        "[conv2d] needs x (N, H, W, C_in) and weight (C_out, KH, KW, C_in), got (5, 5, 3) and (4, 3, 3, 3)");
    CHECK(shape_error({2, 5, 5, 2}, {4, 3, 3, 3}) ==
          "[conv2d] x (2, 5, 5, 2) has 2 channels, weight (4, 3, 3, 3) takes 3");
    CHECK(shape_error({2, 64, 64, 32}, {16, 32, 4, 4}) ==
          "[conv2d] x (2, 64, 64, 32) has 32 channels, weight (16, 32, 4, 4) takes 4; its channels belong "
          "last: "
          "(C_out, KH, KW, C_in)");
    CHECK(shape_error({2, 5, 5, 3}, {4, 3, 3, 3}, {.stride = 0, .padding = 0}) ==
          "[conv2d] stride must be at least 1 and padding at least 0, got 0 and 0");
    CHECK(shape_error({2, 5, 5, 3}, {4, 3, 3, 3}, {.stride = 1, .padding = -1}) ==
          "[conv2d] stride must be at least 1 and padding at least 0, got 1 and -1");
    CHECK(shape_error({2, 5, 2, 3}, {4, 3, 5, 3}, {.stride = 1, .padding = 1}) ==
          "[conv2d] a kernel of 3 x 5 does not fit into images of 5 x 2 with padding 1");
    CHECK(shape_error({2, 0, 5, 3}, {4, 3, 3, 3}) ==
          "[conv2d] no size but the batch's may be 0: x (2, 0, 5, 3), weight (4, 3, 3, 3)");
    CHECK(mentions(shape_error({2, 5, 5, 3}, {0, 3, 3, 3}), "weight (0, 3, 3, 3)"));

    const auto transposed_error = [&](const Shape& xs, const Shape& ws, const ConvOptions& options = {}) {
      return error_of([&] { conv_transpose2d_shape(Tensor::empty(xs), Tensor::empty(ws), options); });
    };
    CHECK(transposed_error({5, 5, 3}, {4, 3, 3, 3}) ==
          "[conv_transpose2d] needs x (N, H, W, C_in) and weight (C_in, KH, KW, C_out), got (5, 5, 3) and "
          "(4, 3, 3, 3)");
    CHECK(transposed_error({2, 5, 5, 3}, {4, 3, 3, 3}) ==
          "[conv_transpose2d] x (2, 5, 5, 3) has 3 channels, weight (4, 3, 3, 3) takes 4");
    CHECK(transposed_error({2, 1, 5, 4}, {4, 3, 3, 3}, {.stride = 1, .padding = 2}) ==
          "[conv_transpose2d] padding 2 leaves nothing of images of 1 x 5 under a kernel of 3 x 3 with "
          "stride 1");

    CHECK(error_of([&] {
            conv2d_into(Tensor::empty({2, 5, 5, 4}), x, weight, {});
          }) == "[conv2d] y must be f32 (2, 3, 3, 4), got f32 (2, 5, 5, 4)");
    CHECK(mentions(shape_error({2, 5, 5, 3}, {4, 3, 3, 3}, {.stride = 2, .output_padding = 1}),
                   "output padding is for transposed"));
    CHECK(mentions(error_of([&] { conv_transpose2d_shape(x, weight, {.stride = 2, .output_padding = 2}); }),
                   "less than the stride 2, got 2"));
    CHECK(error_of([&] { conv2d_into(y, x, weight.to(DType::f64), {}); }) ==
          "[conv2d] weight must be f32 (4, 3, 3, 3), got f64 (4, 3, 3, 3)");
    CHECK(mentions(
        error_of([&] { conv2d_into(y.to(DType::i64), x.to(DType::i64), weight.to(DType::i64), {}); }),
        "[conv2d] needs f32 or f64 elements, got i64"));
    CHECK(error_of([&] { conv2d_backward_data(x, x, weight, {}); }) ==
          "[conv2d_backward_data] dy must be f32 (2, 3, 3, 4), got f32 (2, 5, 5, 3)");
    CHECK(error_of([&] { conv2d_backward_weight(weight, x, y.to(DType::f64), {}); }) ==
          "[conv2d_backward_weight] dy must be f32 (2, 3, 3, 4), got f64 (2, 3, 3, 4)");
  }
}

}  // namespace elbo
