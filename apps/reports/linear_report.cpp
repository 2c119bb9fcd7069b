#include "apps/reports/linear_report.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apps/reports/entropy_report.h"
#include "apps/support/figure.h"

namespace elbo {
namespace {

constexpr int64_t kPicturesInRow = 10, kPictures = 20;

/// Signed numbers (D) as intensities: 0 is grey, the largest in size black or white.
void to_picture(const Tensor& row, const std::vector<double>& values, double sign) {
  double largest = 0;
  for (double value : values) largest = std::max(largest, std::abs(value));
  const double scale = largest > 0 ? 0.5 * sign / largest : 0;
  for (size_t j = 0; j < values.size(); ++j)
    row.data<float>()[j] = static_cast<float>(0.5 + scale * values[j]);
}

std::vector<double> column_of(const Tensor& matrix, int64_t column) {
  std::vector<double> values;
  for (int64_t j = 0; j < matrix.size(0); ++j) values.push_back(matrix.at(j * matrix.size(1) + column));
  return values;
}

/// Columns `begin` .. `end` - 1, by length, in a row, and below each its principal direction, whose sign is
/// the column's.
ImageGrid pair_grid(const LinearVaeWeights& weights, const Eigen& eigen, const DecoderAlignment& alignment,
                    const Dataset& data, int64_t begin, int64_t end) {
  const int64_t n = end - begin;
  ImageGrid grid{.name = fmt::format("columns_{}_to_{}", begin + 1, end),
                 .height = data.height,
                 .width = data.width,
                 .channels = data.channels,
                 .columns = n,
                 .images = Tensor::empty({2 * n, data.dimensions()}, DType::f32)};
  for (int64_t i = 0; i < n; ++i) {
    const std::vector<double> column =
        column_of(weights.decoder, alignment.columns[static_cast<size_t>(begin + i)]);
    const std::vector<double> direction = column_of(eigen.vectors, begin + i);
    const double inner = std::inner_product(column.begin(), column.end(), direction.begin(), 0.0);
    to_picture(grid.images.slice(i), column, 1);
    to_picture(grid.images.slice(n + i), direction, inner < 0 ? -1 : 1);
  }
  return grid;
}

std::string or_none(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "none";
}

}  // namespace

LinearVaeFindings find_out(const LinearVaeWeights& weights, const LoadedData& data,
                           const DataMoments& moments, const Eigen& eigen, const std::string& obstacle) {
  LinearVaeFindings f;
  f.metrics = evaluate_linear_vae(weights, moments);
  f.metrics.entropies.obstacle = obstacle;
  const int64_t latent = weights.decoder.size(1);
  f.has_maximum = latent < std::min(numerical_rank(eigen.values), eigen.values.elements());
  if (f.has_maximum) {
    f.maximum = ppca_max_log_likelihood(eigen.values, latent);
    f.best_sigma2 = ppca_mle_sigma2(eigen.values, latent);
  }
  f.paper_constant = paper_units_constant(data.dataset, data.preprocessing);
  f.alignment = decoder_alignment(weights, eigen);
  f.collapse_epsilon = {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3};
  f.collapse_percent = linear_vae_collapse_percent(weights, data.all(), f.collapse_epsilon);
  return f;
}

void set_metrics(Result& result, const LinearVaeFindings& f) {
  const LinearVaeMetrics& m = f.metrics;
  result.set("elbo", m.elbo, kNatsPerPoint);
  result.set("z_samples", 0, "none: a linear VAE's ELBO is exact on its data");
  result.set("elbo_paper_units", m.elbo + f.paper_constant, kNatsPerPoint);
  result.set("log_likelihood", m.log_likelihood, kNatsPerPoint);
  result.set("kl", m.kl, kNatsPerPoint);
  result.set("kl_per_dim", m.kl_per_dim, kNatsPerPoint);
  result.set("sigma2", m.sigma2);
  result.set("mse", m.mse, "squared data units per dimension");
  result.set("sigma2_tuned", m.sigma2_tuned);
  result.set("elbo_tuned", m.elbo_tuned, kNatsPerPoint);
  result.set("collapse_percent", f.collapse_percent[2], "percent of units, epsilon 0.01 nats, delta 0.01");
  result.set("collapse_curve", {{"epsilon", f.collapse_epsilon}, {"percent", f.collapse_percent}});
  result.set("active_units", m.active_units);
  set_entropies(result, m.entropies);
  const DecoderAlignment& a = f.alignment;
  constexpr const char* kCounted =
      "|cosine| of columns and principal directions whose eigenvalue differs from its neighbours' by 5 % and "
      "is above "
      "sigma2";
  result.set("cosine_median", finite_or_null(a.median), kCounted);
  result.set("cosine_worst", finite_or_null(a.worst), kCounted);
  result.set("cosines_counted", a.counted.size());
  result.set("cosines", a.cosines, "|cosine|, all directions");
  result.set("span_angle", finite_or_null(a.angle),
             "degrees, largest between a leading direction and the span of the columns");
  result.set("span_directions", a.leading);
  result.set("ppca_maximum", f.has_maximum ? Json(f.maximum) : Json(nullptr), kNatsPerPoint);
  result.set("ppca_sigma2", f.has_maximum ? Json(f.best_sigma2) : Json(nullptr));
}

Table comparison(const LinearVaeFindings& f) {
  const LinearVaeMetrics& m = f.metrics;
  Table table({"quantity", Table::number("this model"), Table::number("pPCA closed form"),
               Table::number("difference")});
  const auto row = [&](const char* what, double ours, double closed_form, const char* format) {
    table.row({what, fmt::format(fmt::runtime(format), ours),
               f.has_maximum ? fmt::format(fmt::runtime(format), closed_form) : "",
               f.has_maximum ? fmt::format(fmt::runtime(format), ours - closed_form) : ""});
  };
  row("ELBO (nats per data point)", m.elbo, f.maximum, "{:.3f}");
  row("exact log-likelihood (nats per data point)", m.log_likelihood, f.maximum, "{:.3f}");
  row("sum of three entropies (nats per data point)", m.entropies.sum, f.maximum, "{:.3f}");
  for (const auto& [what, value] : gap_rows(m.entropies)) table.row({what, value, "", ""});
  row("σ²", m.sigma2, f.best_sigma2, "{:.6f}");
  table.row({"KL (nats per data point)", fmt::format("{:.3f}", m.kl), "", ""});
  table.row({"active units", fmt::format("{} of {}", m.active_units, m.kl_per_dim.size()), "", ""});
  table.row({"collapsed units (0.01, 0.01)", fmt::format("{:.1f} %", f.collapse_percent[2]), "", ""});
  const DecoderAlignment& a = f.alignment;
  table.row({fmt::format("median |cosine| of {} columns with their directions", a.counted.size()),
             or_none(a.median, "{:.5f}"), "1", ""});
  table.row({"worst |cosine| among them", or_none(a.worst, "{:.5f}"), "1", ""});
  table.row({fmt::format("first {} directions to span of columns (degrees)", a.leading),
             or_none(a.angle, "{:.3f}"), "0", ""});
  if (f.paper_constant != 0)
    table.row({"ELBO in the papers' units", fmt::format("{:.3f}", m.elbo + f.paper_constant),
               f.has_maximum ? fmt::format("{:.3f}", f.maximum + f.paper_constant) : "", ""});
  return table;
}

void add_directions(Report& report, const LinearVaeWeights& weights, const Eigen& eigen,
                    const LinearVaeFindings& f, const Dataset& data, const std::string& folder) {
  const DecoderAlignment& a = f.alignment;
  report.section("Columns and principal directions");
  report.paragraph(fmt::format(
      "At the optimum each column of the decoder lies along a principal direction of the data, the "
      "longest along the first. Of the {} directions, {} count in the table above: their eigenvalue is "
      "above σ² and differs from those of both neighbours by at least 5 %. Where eigenvalues are nearly "
      "equal, the directions between them are as good as the directions themselves, and a small cosine "
      "says little. The first {} directions together are told apart from all that follow.",
      a.cosines.size(), a.counted.size(), a.leading));
  Figure figure{.name = "cosines",
                .title = "Columns beside principal directions",
                .x = {"principal direction"},
                .y = {.label = "|cosine|", .low = 0, .high = 1}};
  Series all{.name = "nearly equal eigenvalues, or below σ²", .style = Style::points},
      counted{.name = "direction told apart", .style = Style::points};
  for (size_t i = 0; i < a.cosines.size(); ++i) {
    const bool counts =
        std::find(a.counted.begin(), a.counted.end(), static_cast<int64_t>(i)) != a.counted.end();
    Series& series = counts ? counted : all;
    series.x.push_back(static_cast<double>(i + 1));
    series.y.push_back(a.cosines[i]);
  }
  figure.series = {counted, all};
  report.figure(draw(figure, folder), "|cosine| of each column, by length, with its principal direction.");
  if (data.height == 0) return;
  const int64_t shown = std::min(kPictures, static_cast<int64_t>(a.cosines.size()));
  for (int64_t begin = 0; begin < shown; begin += kPicturesInRow) {
    const int64_t end = std::min(begin + kPicturesInRow, shown);
    std::vector<std::string> labels;
    for (int64_t i = begin; i < end; ++i)
      labels.push_back(fmt::format("{:.4f}", a.cosines[static_cast<size_t>(i)]));
    report.image(
        draw(pair_grid(weights, eigen, a, data, begin, end), folder),
        fmt::format("Columns {} to {} of the decoder, by length (above), the principal directions (below), "
                    "and their |cosine|. Grey is 0; each picture has its own scale.",
                    begin + 1, end),
        labels);
  }
}

}  // namespace elbo
