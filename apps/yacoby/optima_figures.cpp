#include "apps/yacoby/optima_figures.h"

#include <algorithm>
#include <cmath>

#include "apps/support/figure_parts.h"

#include "tensor/linalg.h"
#include "tensor/math.h"

namespace elbo::yacoby {
namespace {

constexpr int kOfPoints = 0, kOfModel = 1;  // colours

/// N(0, covariance) at so many deviations, one curve after the other.
Series ellipses_of(const Tensor& covariance, const std::vector<double>& deviations) {
  const Tensor root = cholesky(covariance);
  Series line;
  for (const double deviation : deviations) {
    for (const double turn : evenly(0, 2 * math::kPi, 121)) {
      const double a = deviation * std::cos(turn), b = deviation * std::sin(turn);
      line.x.push_back(root.at(0) * a);
      line.y.push_back(root.at(2) * a + root.at(3) * b);
    }
    line.x.push_back(std::nan(""));
    line.y.push_back(std::nan(""));
  }
  return line;
}

}  // namespace

FigureGrid planes_of_b(const std::vector<double>& grid, const std::vector<double>& posterior,
                       const std::vector<double>& information, size_t marked) {
  FigureGrid page{.name = "fig1ab", .title = "The model of Eq. 3 over B: every B gives the same data"};
  const auto plane = [&](const char* title, const std::vector<double>& values,
                         const std::vector<double>& levels) {
    Figure cell{.title = title, .x = {"B₂₂"}, .y = {"B₁₁"}};
    cell.surface = Surface{.x = grid, .y = grid, .values = values, .levels = levels};
    cell.colours.label = "nats";
    cell.series.push_back({.name = "least posterior term",
                           .x = {grid[marked % grid.size()]},
                           .y = {grid[marked / grid.size()]},
                           .style = Style::points,
                           .colour = 1});
    cell.equal = true;
    return cell;
  };
  page.cells = {plane("A: posterior term at its least over φ", posterior, {0.02, 0.05, 0.1, 0.2, 0.5, 1, 2}),
                plane("B: mutual information I(X; Z)", information, {})};
  page.cells[0].colours.log = true;  // most of the plane is far below its right edge
  return page;
}

FigureGrid clouds(const std::string& name, const std::string& title, const std::array<const char*, 2>& axes,
                  const std::vector<Cloud>& all, const Tensor& reference, const std::string& of_reference,
                  const std::string& of_points, bool equal) {
  FigureGrid page{.name = name, .title = title, .columns = static_cast<int>(all.size())};
  for (const Cloud& cloud : all) {
    Series points{.name = of_points, .style = Style::points, .colour = kOfPoints, .opacity = 0.3};
    for (int64_t n = 0; n < cloud.points.size(0); ++n) {
      points.x.push_back(cloud.points.at(2 * n));
      points.y.push_back(cloud.points.at(2 * n + 1));
    }
    Series model = ellipses_of(cloud.covariance, {1, 2, 3}), other = ellipses_of(reference, {2});
    model.name = "model, at 1, 2 and 3 deviations";
    model.colour = kOfModel;
    other.name = of_reference;
    other.style = Style::dashed;
    other.colour = kBlack;
    Figure cell{.title = cloud.title, .x = {axes[0]}, .y = {axes[1]}};
    cell.series = {std::move(points), std::move(model), std::move(other)};
    cell.note = cloud.note;
    cell.equal = equal;
    page.cells.push_back(std::move(cell));
  }
  page.share_x = page.share_y = true;
  return page;
}

Figure curve_of_information(const std::vector<double>& theta, const std::vector<double>& information,
                            const std::vector<double>& loss) {
  Figure figure{
      .name = "case2", .title = "Eq. 5: every θ is a global optimum", .x = {"θ / σ"}, .y = {"nats"}};
  figure.series = {{.name = "I(X; Z)", .x = theta, .y = information},
                   {.name = "L(θ, φ) at its least over φ", .x = theta, .y = loss, .style = Style::dashed}};
  return figure;
}

}  // namespace elbo::yacoby
