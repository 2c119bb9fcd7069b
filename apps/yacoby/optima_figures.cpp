#include "apps/yacoby/optima_figures.h"

#include <algorithm>
#include <cmath>

#include "apps/support/figure_parts.h"

#include "tensor/linalg.h"
#include "tensor/math.h"

namespace elbo::yacoby {
namespace {

/// Two deviations of N(0, covariance).
Series ellipse_of(const Tensor& covariance, const std::string& name) {
  const Tensor root = cholesky(covariance);
  Series line{.name = name, .style = Style::dashed, .colour = kBlack};
  for (const double turn : evenly(0, 2 * math::kPi, 121)) {
    const double a = 2 * std::cos(turn), b = 2 * std::sin(turn);
    line.x.push_back(root.at(0) * a);
    line.y.push_back(root.at(2) * a + root.at(3) * b);
  }
  return line;
}

}  // namespace

FigureGrid planes_of_b(const std::vector<double>& grid, const std::vector<double>& posterior,
                       const std::vector<double>& information, size_t marked) {
  FigureGrid page{.name = "fig1ab", .title = "The model of Eq. 3 over B: every B gives the same data"};
  const auto plane = [&](const char* title, const char* unit, const std::vector<double>& values) {
    Figure cell{.title = title, .x = {"B_{22}"}, .y = {"B_{11}"}};
    cell.surface = Surface{.x = grid, .y = grid, .values = values};
    cell.colours.label = unit;
    cell.series.push_back({.name = "least posterior term",
                           .x = {grid[marked % grid.size()]},
                           .y = {grid[marked / grid.size()]},
                           .style = Style::points,
                           .colour = 1});
    cell.equal = true;
    return cell;
  };
  page.cells = {plane("A: posterior term at its least over φ", "nats", posterior),
                plane("B: mutual information I(X; Z)", "nats", information)};
  return page;
}

FigureGrid clouds(const std::string& name, const std::string& title, const std::array<const char*, 2>& axes,
                  const std::vector<Cloud>& all, const Tensor& reference, const std::string& of_reference) {
  // Three deviations and a little of the widest.
  double wide = 0, high = 0;
  for (const Cloud& cloud : all) {
    wide = std::max(wide, 3.3 * std::sqrt(cloud.covariance.at(0)));
    high = std::max(high, 3.3 * std::sqrt(cloud.covariance.at(3)));
  }
  FigureGrid page{.name = name, .title = title, .columns = static_cast<int>(all.size())};
  for (const Cloud& cloud : all) {
    const double a = cloud.covariance.at(0), b = cloud.covariance.at(1), d = cloud.covariance.at(3);
    const double determinant = a * d - b * b, peak = 1 / (2 * math::kPi * std::sqrt(determinant));
    Figure cell{.title = cloud.title, .x = {axes[0]}, .y = {axes[1]}};
    cell.surface = surface_of(
        [&](double x, double y) {
          return peak * std::exp(-0.5 * (d * x * x - 2 * b * x * y + a * y * y) / determinant);
        },
        evenly(-wide, wide, 81), evenly(-high, high, 81));
    for (const double deviations : {3.0, 2.0, 1.0})
      cell.surface->levels.push_back(peak * std::exp(-0.5 * deviations * deviations));
    cell.colours.label = "density";
    Series points{.style = Style::points, .colour = 1, .opacity = 0.5};
    for (int64_t n = 0; n < cloud.points.size(0); ++n) {
      points.x.push_back(cloud.points.at(2 * n));
      points.y.push_back(cloud.points.at(2 * n + 1));
    }
    cell.series = {std::move(points), ellipse_of(reference, of_reference)};
    cell.equal = true;
    cell.note = cloud.note;
    page.cells.push_back(std::move(cell));
  }
  page.share_x = page.share_y = page.share_colours = true;
  return page;
}

Figure curve_of_information(const std::vector<double>& theta, const std::vector<double>& information,
                            const std::vector<double>& loss) {
  Figure figure{
      .name = "case2", .title = "Eq. 5: every θ is a global optimum", .x = {"θ / σ_{ε}"}, .y = {"nats"}};
  figure.series = {{.name = "I(X; Z)", .x = theta, .y = information},
                   {.name = "L(θ, φ) at its least over φ", .x = theta, .y = loss, .style = Style::dashed}};
  return figure;
}

}  // namespace elbo::yacoby
