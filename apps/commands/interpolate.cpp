// elbo interpolate: straight lines between pairs of points in latent space, or the plane through three of
// them, as a PNG grid.

#include "apps/command.h"
#include "apps/reports/pictures.h"
#include "apps/support/arguments.h"

namespace elbo {
namespace {

struct Options : PictureOptions {
  std::vector<int64_t> points{0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  std::vector<int64_t> plane;  ///< three points, or none
  int64_t side = 7;
};

void interpolate(Options o) {
  apply_on_cpu(o.run);
  const SavedModel model = open_saved_model(o, DataNeed::points);
  if (!o.plane.empty()) return write_picture(plane_grid(*model.vae, model.data, o.plane, o.side), o);
  if (o.points.empty() || o.points.size() % 2 != 0)
    fail("[--points] give an even number of points, got {}", o.points.size());
  std::vector<std::pair<int64_t, int64_t>> pairs;
  for (size_t i = 0; i < o.points.size(); i += 2) pairs.emplace_back(o.points[i], o.points[i + 1]);
  write_picture(interpolation_grid(*model.vae, model.data, pairs), o);
}

void add_options(Arguments& arguments) {
  auto o = std::make_shared<Options>();
  add_picture_options(arguments, *o);
  const Argument points =
      arguments.add_number("--points", o->points, "Points of the data, taken in pairs", kIndex)
          .show_default();
  const Argument plane =
      arguments
          .add_number("--plane", o->plane,
                      "Instead the plane through three points, at top left, top right and bottom left",
                      kIndex)
          .values(3)
          .excludes(points);
  arguments.add_number("--side", o->side, "Images along a side of the plane", {2, 100})
      .needs(plane)
      .show_default();
  arguments.run([o] { interpolate(*o); });
}

}  // namespace

const Command interpolate_command{"interpolate",
                                  "Draw the way from point to point through latent space, or a plane",
                                  "Lucas Fig 13 (--plane)", "2 s", add_options};

}  // namespace elbo
