// Convolutions to try, for the tests on the CPU and on the GPU.
#pragma once

#include <string>
#include <vector>

#include "tensor/conv.h"

namespace elbo {

struct ConvCase {
  Shape x, weight;
  ConvOptions options;

  Shape y() const {
    return conv2d_shape(Tensor::empty(x, DType::u8), Tensor::empty(weight, DType::u8), options);
  }
  std::string str() const {
    return fmt::format("x {}, weight {}, stride {}, padding {}", x.str(), weight.str(), options.stride,
                       options.padding);
  }
};

inline ConvSizes sizes_of(const ConvCase& c) {
  return {.batch = c.x[0],
          .height = c.x[1],
          .width = c.x[2],
          .channels = c.x[3],
          .filters = c.weight[0],
          .kernel_height = c.weight[1],
          .kernel_width = c.weight[2],
          .out_height = c.y()[1],
          .out_width = c.y()[2],
          .stride = c.options.stride,
          .padding = c.options.padding};
}

/// Odd and even sizes, kernels that are not square, strides that leave pixels over, padding up to and beyond
/// half a kernel, one image, one channel, one pixel.
inline std::vector<ConvCase> conv_cases() {
  std::vector<ConvCase> cases;
  const std::vector<Shape> kernels{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {3, 2}, {1, 5}};
  const std::vector<Shape> depths{{1, 1}, {3, 4}, {4, 2}, {5, 8}};  // C_in, C_out
  int64_t count = 0;
  for (const Shape& kernel : kernels)
    for (int64_t stride : {1, 2, 3})
      for (int64_t padding : {0, 1, 2, 3}) {
        const Shape& depth = depths[static_cast<size_t>(count % 4)];
        const int64_t batch = 1 + count % 3, height = 5 + count % 4, width = 5 + count / 4 % 3;
        cases.push_back({.x = {batch, height, width, depth[0]},
                         .weight = {depth[1], kernel[0], kernel[1], depth[0]},
                         .options = {.stride = stride, .padding = padding}});
        ++count;
      }
  cases.push_back({.x = {1, 1, 1, 1}, .weight = {1, 1, 1, 1}, .options = {}});
  cases.push_back({.x = {2, 4, 4, 3}, .weight = {5, 4, 4, 3}, .options = {}});  // a linear layer
  // The Higgins encoder's kind, at a quarter of its size, and more rows than a thread takes at a time.
  cases.push_back({.x = {3, 16, 16, 32}, .weight = {33, 4, 4, 32}, .options = {.stride = 2, .padding = 1}});
  // Few channels and many filters, the kind that conv_columns.h is for.
  cases.push_back({.x = {3, 9, 7, 3}, .weight = {12, 4, 4, 3}, .options = {.stride = 2, .padding = 1}});
  cases.push_back({.x = {2, 8, 11, 5}, .weight = {16, 3, 5, 5}, .options = {.stride = 3, .padding = 2}});
  return cases;
}

}  // namespace elbo
