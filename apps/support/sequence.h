// Sequence: pictures of which a page shows one at a time: a slider and a button go through them.
//
// Where scripts are off, the last picture is shown. What all pictures have in common is in the page once.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "apps/support/gnuplot.h"
#include "apps/support/image_grid.h"

namespace elbo {

/// One picture of a sequence, and what it shows: "epoch 100".
struct Frame {
  std::string label;
  std::variant<Drawing, Picture> picture;
};

/// The frames as an element of a page whose ids begin with `prefix`. A drawing that could not be drawn is
/// left out, and a line says so.
std::string sequence_html(const std::vector<Frame>& frames, const std::string& prefix,
                          std::string_view description);

/// What a page with sequences needs once: rules for its style, and the script, which asks for nothing.
extern const std::string_view kSequenceStyle, kSequenceScript;

/// A picture as an element of a page.
std::string image_html(const Picture& picture, std::string_view description);
/// Why a figure is not there and where its data are.
std::string missing_html(const Drawing& drawing);

}  // namespace elbo
