#include "datasets/area_resize.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace elbo {
namespace {

/// The pixels of the old axis under each pixel of the new one, and the share of the mean that each has.
struct Span {
  int64_t first = 0, count = 0;
  size_t weights = 0;  // where its weights begin
};
struct Axis {
  std::vector<Span> spans;
  std::vector<float> weights;

  Axis(int64_t from, int64_t to) {
    const double step = static_cast<double>(from) / static_cast<double>(to);
    for (int64_t i = 0; i < to; ++i) {
      // i * from / to in integers, so that whole pixels are whole.
      const int64_t first = i * from / to, end = ((i + 1) * from + to - 1) / to;
      spans.push_back({first, end - first, weights.size()});
      const double low = static_cast<double>(i * from) / static_cast<double>(to);
      const double high = static_cast<double>((i + 1) * from) / static_cast<double>(to);
      for (int64_t p = first; p < end; ++p) {
        const double overlap =
            std::min(high, static_cast<double>(p + 1)) - std::max(low, static_cast<double>(p));
        weights.push_back(static_cast<float>(overlap / step));
      }
    }
  }
};

}  // namespace

void area_resize(const uint8_t* image, int64_t image_width, int64_t channels, const Window& window,
                 int64_t height, int64_t width, std::span<uint8_t> out) {
  const Axis rows(window.height, height), columns(window.width, width);
  const int64_t row_values = window.width * channels;
  std::vector<float> row(static_cast<size_t>(row_values));
  uint8_t* to = out.data();
  // Down first: whole rows at a time vectorise.
  for (const Span& vertical : rows.spans) {
    std::fill(row.begin(), row.end(), 0.0f);
    for (int64_t i = 0; i < vertical.count; ++i) {
      const float weight = rows.weights[vertical.weights + static_cast<size_t>(i)];
      const uint8_t* from = image + ((window.y + vertical.first + i) * image_width + window.x) * channels;
      float* sum = row.data();
      for (int64_t k = 0; k < row_values; ++k) sum[k] += weight * static_cast<float>(from[k]);
    }
    for (const Span& across : columns.spans)
      for (int64_t c = 0; c < channels; ++c) {
        float sum = 0;
        for (int64_t i = 0; i < across.count; ++i)
          sum += columns.weights[across.weights + static_cast<size_t>(i)] *
                 row[static_cast<size_t>((across.first + i) * channels + c)];
        *to++ = static_cast<uint8_t>(std::clamp(sum + 0.5f, 0.0f, 255.0f));
      }
  }
}

}  // namespace elbo
