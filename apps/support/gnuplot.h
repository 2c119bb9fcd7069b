// gnuplot: turns a CSV file and a script into an SVG with the gnuplot program.
//
// The CSV and the script are always written; where gnuplot is missing or fails, only the SVG is, and one line
// on standard error says so. Also the look that all figures share: fonts, grid, colours. What is drawn is the
// business of figure.h.
#pragma once

#include <string>
#include <string_view>

namespace elbo {

/// A figure on disk: DIRECTORY/name.csv, name.gp and, when it could be drawn, name.svg.
struct Drawing {
  std::string directory, name;
  std::string svg;      ///< the text of name.svg; empty when it could not be drawn
  std::string problem;  ///< why it could not, on one line; empty when it could
};

/// "gnuplot 5.4 patchlevel 4", or nothing where there is no such program.
std::string gnuplot_version(const std::string& program = "gnuplot");

/// Okabe and Ito's colours, which colour-blind readers tell apart as well, without the yellow that white
/// paper swallows. `index` goes round.
std::string figure_colour(int index);

/// Text for a gnuplot script: in single quotes, within which gnuplot expands nothing; an apostrophe becomes
/// ’.
std::string gnuplot_string(std::string_view text);

/// A script's first lines: an SVG of this many points (1/96 inch on a screen), and the shared look.
std::string gnuplot_preamble(const std::string& name, int width, int height);

/// Writes the CSV and the script, and runs `program` on it in the directory, which must exist. `name` is a
/// file name of letters, digits, - and _. Throws Error only when CSV or script cannot be written.
Drawing draw(const std::string& directory, const std::string& name, std::string_view csv,
             std::string_view script, const std::string& program = "gnuplot");

}  // namespace elbo
