// One cell of a figure in gnuplot's words: the plot command for what lies between its axes.
#pragma once

#include <string>

#include "apps/support/figure_data.h"
#include "apps/support/figure_layout.h"
#include "apps/support/figure_look.h"

namespace elbo {

/// Adds the cell's series and lines to the legend.
void add_to_legend(const Figure& figure, Legend& legend);

/// Adds the cell's numbers to the data, and returns the commands that plot them.
std::string plot_commands(const Figure& figure, const CellLayout& cell, FigureData& data);

/// The colours of a palette. All keep their order for colour-blind readers; those that are not cyclic also in
/// print without colour.
std::string palette_command(Palette palette);

}  // namespace elbo
