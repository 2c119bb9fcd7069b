// elbo traverse: what the units with the largest KL do to one image, as a PNG grid, and a table of these
// units.

#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "apps/support/arguments.h"
#include "apps/support/json.h"
#include "apps/support/table.h"

namespace elbo {
namespace {

struct Options : PictureOptions {
  int64_t point = 0, units = 10;
};

/// What the rows of the picture are.
Table table_of(const std::vector<RankedUnit>& units) {
  const bool known = !units.empty() && !units[0].factor.empty();
  std::vector<Table::Column> columns{Table::number("row"), Table::number("unit"), Table::number("KL (nats)")};
  if (known) {
    columns.emplace_back("tells most about");
    columns.push_back(Table::number("I (nats)"));
    columns.push_back(Table::number("at most"));
  }
  Table table(columns);
  for (size_t i = 0; i < units.size(); ++i) {
    const RankedUnit& u = units[i];
    std::vector<std::string> cells{std::to_string(i + 1), std::to_string(u.unit),
                                   fmt::format("{:.3f}", u.kl)};
    if (known)
      for (const std::string& cell :
           {u.factor, fmt::format("{:.3f}", u.information), fmt::format("{:.3f}", u.entropy)})
        cells.push_back(cell);
    table.row(cells);
  }
  return table;
}

Json json_of(const std::vector<RankedUnit>& units) {
  Json rows = Json::array();
  for (const RankedUnit& u : units) {
    rows.push_back({{"unit", u.unit}, {"kl", u.kl}});
    if (!u.factor.empty())
      rows.back().update({{"factor", u.factor}, {"information", u.information}, {"entropy", u.entropy}});
  }
  return rows;
}

void traverse(Options o) {
  apply_on_cpu(o.run);
  const SavedModel model = open_saved_model(o, DataNeed::points);
  const std::vector<RankedUnit> units = rank_units(*model.vae, model.data, o.units);
  write_picture(traversal_grid(*model.vae, model.data, o.point, units), o, table_of(units).text(),
                {{"units", json_of(units)}});
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_picture_options(arguments, *o);
  add_factor_option(arguments, *o);
  arguments.add_number("--point", o->point, "Which point of the data to start from", kIndex).show_default();
  arguments.add_number("--units", o->units, "Units, those with the largest KL first", kCount).show_default();
  arguments.run([o] { traverse(*o); });
}

}  // namespace

const Command traverse_command{"traverse", "Draw what single latent units do", "", "2 s", add_options};

}  // namespace elbo
