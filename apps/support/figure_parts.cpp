#include "apps/support/figure_parts.h"

#include <algorithm>
#include <cmath>

#include "apps/support/figure_axis.h"
#include "apps/support/statistics.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

Statistics statistics_at(const std::vector<std::vector<double>>& runs, size_t place) {
  std::vector<double> values;
  for (const auto& run : runs) values.push_back(run[place]);
  return statistics_of(values);
}

void check_runs(const std::string& name, const std::vector<double>& x,
                const std::vector<std::vector<double>>& runs) {
  for (const auto& run : runs)
    if (run.size() != x.size())
      fail("[figure] {}: a run has {} values at {} places", quote(name), run.size(), x.size());
}

}  // namespace

std::vector<double> evenly(double low, double high, int count) {
  std::vector<double> numbers;
  for (int i = 0; i < count; ++i)
    numbers.push_back(i + 1 == count ? high : low + i * (high - low) / (count - 1));
  return numbers;
}

Surface surface_of(const std::function<double(double, double)>& function, const std::vector<double>& x,
                   const std::vector<double>& y) {
  Surface surface{.x = x, .y = y};
  for (double up : y)
    for (double across : x) surface.values.push_back(function(across, up));
  return surface;
}

Series quartile_band(const std::string& name, const std::vector<double>& x,
                     const std::vector<std::vector<double>>& runs) {
  check_runs(name, x, runs);
  Series series{.name = name, .x = x};
  for (size_t i = 0; i < x.size(); ++i) {
    const Statistics s = statistics_at(runs, i);
    series.y.push_back(s.median);
    series.band_low.push_back(s.lower_quartile);
    series.band_high.push_back(s.upper_quartile);
  }
  return series;
}

Series deviation_band(const std::string& name, const std::vector<double>& x,
                      const std::vector<std::vector<double>>& runs) {
  check_runs(name, x, runs);
  Series series{.name = name, .x = x};
  for (size_t i = 0; i < x.size(); ++i) {
    const Statistics s = statistics_at(runs, i);
    series.y.push_back(s.mean);
    series.band_low.push_back(s.mean - s.deviation);
    series.band_high.push_back(s.mean + s.deviation);
  }
  return series;
}

Series interval_band(const std::string& name, const std::vector<double>& x,
                     const std::vector<Statistics>& values) {
  if (x.size() != values.size()) fail("[interval_band] {} values of x, {} of y", x.size(), values.size());
  Series series{.name = name, .x = x, .style = Style::line_points};
  bool has_errors = false;
  for (const Statistics& s : values) {
    const double half = s.interval().half, around = std::isfinite(half) ? half : 0;
    has_errors = has_errors || around > 0;
    series.y.push_back(s.mean);
    series.band_low.push_back(s.mean - around);
    series.band_high.push_back(s.mean + around);
  }
  if (has_errors) return series;
  series.band_low.clear();
  series.band_high.clear();
  return series;
}

std::vector<Series> by_class(const std::vector<double>& x, const std::vector<double>& y,
                             const std::vector<int64_t>& classes, const std::vector<std::string>& names) {
  if (x.size() != y.size() || x.size() != classes.size())
    fail("[figure] {} x, {} y and {} classes; they must be as many", x.size(), y.size(), classes.size());
  std::vector<Series> series;
  for (size_t c = 0; c < names.size(); ++c)
    series.push_back({.name = names[c], .style = Style::points, .colour = static_cast<int>(c)});
  for (size_t i = 0; i < x.size(); ++i) {
    const auto c = static_cast<size_t>(classes[i]);
    if (classes[i] < 0 || c >= names.size())
      fail("[figure] point {} has class {}, but there are names for {}", i, classes[i], names.size());
    series[c].x.push_back(x[i]);
    series[c].y.push_back(y[i]);
  }
  return series;
}

constexpr double kLeastFrame = 0.04;  // of the figure's height

std::vector<Figure> with_zoom(const Figure& figure, const Window& window) {
  Figure framed = figure, zoom = figure;
  Range y;
  for (const Series& s : figure.series)
    for (size_t i = 0; i < s.x.size(); ++i) {
      if (!(s.x[i] >= window.x_low && s.x[i] <= window.x_high)) continue;
      y.include(s.y[i], figure.y.log);
      if (s.band_low.empty()) continue;
      y.include(s.band_low[i], figure.y.log);
      y.include(s.band_high[i], figure.y.log);
    }
  Axis up = figure.y;
  up.low = window.y_low, up.high = window.y_high;
  y = range_of(up, y, kMarginY);

  zoom.title = "zoom";
  zoom.x.low = window.x_low, zoom.x.high = window.x_high;
  zoom.y.low = y.low, zoom.y.high = y.high;
  const double left = window.x_low, right = window.x_high;
  // A frame that is flat beside the whole figure would hide what is in it.
  const double missing = kLeastFrame * (figure.y.high - figure.y.low) - (y.high - y.low);
  if (missing > 0 && !figure.y.log) y.low -= missing / 2, y.high += missing / 2;
  framed.series.push_back(
      {.x = {left, right, right, left, left}, .y = {y.low, y.low, y.high, y.high, y.low}, .colour = kBlack});
  return {framed, zoom};
}

void share_ranges(const std::vector<Figure*>& figures) {
  if (figures.empty()) return;
  Range x, y, colours;
  for (const Figure* figure : figures) {
    const Extent extent = extent_of(*figure, figure->colours.log);
    x.include(extent.x), y.include(extent.y), colours.include(extent.colours);
  }
  for (Figure* figure : figures) {
    const double margin_x = figure->surface ? 0 : kMarginX, margin_y = figure->surface ? 0 : kMarginY;
    const Range across = range_of(figure->x, x, margin_x), up = range_of(figure->y, y, margin_y);
    const Range scale = colour_range(figure->colours, colours);
    figure->x.low = across.low, figure->x.high = across.high;
    figure->y.low = up.low, figure->y.high = up.high;
    figure->colours.low = scale.low, figure->colours.high = scale.high;
  }
}

}  // namespace elbo
