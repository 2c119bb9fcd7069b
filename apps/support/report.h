// Report: one HTML page about a run, complete in itself: report.html.
//
//   Report report("pPCA landscape", "The stationary point is stable exactly where theory says so.");
//   report.section("Result");
//   report.paragraph("...");
//   report.table(table, "Eigenvalues and verdicts.");
//   report.figure(drawing, "Log-likelihood around the stationary point.");
//   report.image(picture, "Samples from the prior.");
//   report.sequence({{"epoch 1", first}, {"epoch 100", second}}, "The latent plane during training.");
//   report.begin_fold("The tape", true);                 // can be closed
//   report.end_fold();
//   report.configuration(config);
//   report.provenance(to_json(result.provenance));
//   run.write_text("report.html", report.html());
//
// Everything (style, figures, the script of sequences) is inside the page, which asks the network for
// nothing. All text is escaped: none of it is taken for HTML. Knows nothing of what the numbers mean.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apps/support/gnuplot.h"
#include "apps/support/image_grid.h"
#include "apps/support/json.h"
#include "apps/support/sequence.h"
#include "apps/support/table.h"

namespace elbo {

class Report {
 public:
  /// `summary` is one paragraph: what was done and what came out.
  Report(std::string title, std::string summary);

  void section(std::string_view heading);
  void paragraph(std::string_view text);
  /// A numbered table. A verdict column marks its cells by their first word, "ok" or "fails".
  void table(const Table& table, std::string_view caption);
  /// A numbered figure; where it could not be drawn, a line says why and where its data are.
  void figure(const Drawing& drawing, std::string_view caption);
  /// A numbered figure of pixels, counted with the others: the PNG itself is in the page. Labels stand below
  /// the picture, each in the middle of its share of the width.
  void image(const Picture& picture, std::string_view caption, const std::vector<std::string>& labels = {});
  /// A numbered figure of pictures one after the other, with a slider and a button that plays them; without
  /// scripts, the last. Drawings with the same axes take the least room. Throws Error when there is none.
  void sequence(const std::vector<Frame>& frames, std::string_view caption);
  /// What is added until `end_fold` can be opened and closed by a click on the heading; at first it is as
  /// `open` says. Folds are not put into each other.
  void begin_fold(std::string_view heading, bool open);
  void end_fold();
  /// A section with the run's options, each with its value.
  void configuration(const Json& config);
  /// The page's foot: where the numbers come from.
  void provenance(const Json& provenance);

  std::string html() const;

 private:
  std::string title_, summary_, body_, foot_;
  int tables_ = 0, figures_ = 0;
  bool has_sequences_ = false;
};

}  // namespace elbo
