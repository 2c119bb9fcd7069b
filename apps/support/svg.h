// svg: drawings as elements of a page.
//
//   std::string element = inline_svg(shrink_svg(drawing.svg), "figure1-", "ELBO over the steps");
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace elbo {

/// An SVG file's text as an element of a page: without XML's head, scaled by the page, its ids all beginning
/// with `prefix`, so that several of them do not meet. `description` is for those who cannot see it.
std::string inline_svg(std::string_view svg, const std::string& prefix, const std::string& description);

/// gnuplot's SVG with less around the same picture: no blanks between elements, no empty groups, points as
/// strokes of no length, lines in steps of 1/10 point. A scatter becomes a quarter as large. What is not as
/// gnuplot writes it stays as it is.
std::string shrink_svg(std::string_view svg);

/// Drawings as they are in a page, with what is the same in all of them there only once.
struct SharedDrawings {
  std::string common = {};  ///< an element that shows nothing; empty where nothing is worth sharing
  std::vector<std::string> drawings = {};
};
/// The ids of the shared parts begin with `prefix`.
SharedDrawings share_drawings(const std::vector<std::string>& svgs, const std::string& prefix);

}  // namespace elbo
