// What figures often need computed: surfaces of functions, bands over runs, a series for each class, a zoom.
//
//   figure.surface = surface_of(log_likelihood, evenly(-3, 3, 61), evenly(-3, 3, 61));
//   figure.series.push_back(quartile_band("bound", epochs, runs));
//   FigureGrid twins{.name = "bounds", .cells = with_zoom(figure, {.x_low = 900, .x_high = 1000})};
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "apps/support/figure.h"
#include "apps/support/statistics.h"

namespace elbo {

/// `count` numbers from low to high, both among them; at least two.
std::vector<double> evenly(double low, double high, int count);

/// The function on the grid.
Surface surface_of(const std::function<double(double, double)>& function, const std::vector<double>& x,
                   const std::vector<double>& y);

/// The median over runs at each x, in a band from the lower to the upper quartile (linear between ranks, as
/// NumPy's). runs: one row for each, as long as x; values that are not finite are left out. Throws Error when
/// lengths differ.
Series quartile_band(const std::string& name, const std::vector<double>& x,
                     const std::vector<std::vector<double>>& runs);
/// Likewise the mean, in a band of one standard deviation (with n - 1) to both sides; none for a single run.
Series deviation_band(const std::string& name, const std::vector<double>& x,
                      const std::vector<std::vector<double>>& runs);

/// Means in the band of their 95 % intervals, without one where no mean has an interval. Throws Error
/// when lengths differ.
Series interval_band(const std::string& name, const std::vector<double>& x,
                     const std::vector<Statistics>& values);

/// Points in a series for each class, named by it and coloured by its number. Throws Error when lengths
/// differ or a class has no name.
std::vector<Series> by_class(const std::vector<double>& x, const std::vector<double>& y,
                             const std::vector<int64_t>& classes, const std::vector<std::string>& names);

/// A part of a figure's plane. Without y, as high as what the series say between the x.
struct Window {
  double x_low = 0, x_high = 1;
  double y_low = std::numeric_limits<double>::quiet_NaN(), y_high = std::numeric_limits<double>::quiet_NaN();
};
/// The figure with a frame around the window, and the window as a figure of its own, called "zoom".
std::vector<Figure> with_zoom(const Figure& figure, const Window& window);

/// Gives all figures the same ranges of x, y and colours, those that hold the data of all, so that pictures
/// one after the other can be compared.
void share_ranges(const std::vector<Figure*>& figures);

}  // namespace elbo
