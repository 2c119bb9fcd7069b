// HeatMap: a surface over a plane, several side by side: colours, contour lines and marked points.
//
//   HeatMap map{.name = "landscape", .title = "Log-likelihood around a stationary point", .x = {"along u5"},
//               .y = {"along u7"}, .value_label = "nats above the stationary point"};
//   map.grid_x = map.grid_y = grid;
//   map.panels.push_back({.title = "σ² = 0.1", .note = "minimum: both columns grow", .values = values,
//                         .marks = {{0, 0}}});
//   Drawing drawing = draw(map, run.figures());
//
// The CSV holds one row for each value: x, y, value, panel.
#pragma once

#include <string>
#include <vector>

#include "apps/support/figure.h"

namespace elbo {

struct HeatMap {
  struct Mark {
    double x = 0, y = 0;
  };
  struct Panel {
    std::string title = {}, note = {};  ///< above it, on two lines
    std::vector<double> values = {};    ///< (grid_y, grid_x), row-major; NaN leaves a hole
    std::vector<Mark> marks = {};
  };
  enum class Colours {
    sequential,  ///< dark to light
    diverging,   ///< blue below zero, white at zero, orange above; zero has a contour of its own
  };

  std::string name;  ///< of the files: letters, digits, - and _
  std::string title = {};
  Axis x = {}, y = {};  ///< labels; log, low and high are not looked at
  std::string value_label = {};
  Colours colours = Colours::diverging;
  bool shared_scale = false;                     ///< the same colours mean the same in all panels
  std::vector<double> grid_x = {}, grid_y = {};  ///< evenly spaced, rising, at least two of each
  std::vector<Panel> panels = {};
};

/// Writes name.csv and name.gp into the directory and draws name.svg. Throws Error when there is no panel,
/// the grid is not evenly spaced, a panel's size differs from it, or the files cannot be written.
Drawing draw(const HeatMap& map, const std::string& directory, const std::string& program = "gnuplot");

}  // namespace elbo
