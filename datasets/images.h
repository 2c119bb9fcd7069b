// images: a folder of PNG and JPEG files as a data set, cut and resized while they are decoded for the first
// time.
//
//   images:DIR                             the largest centred square, resized to 64x64, in colour
//   images:DIR,crop=148,size=64            CelebA's usual cut: the centred square of 148 pixels
//   images:DIR,crop=128x128+25+45,grey     a window of that width and height, 25 columns and 45 rows in
//
// DIR may hold commas itself: it is the longest folder that is there and ends at a comma or the end; what
// follows are options, so that a folder `faces,grey` is meant before `faces` in grey, which `faces/,grey`
// names in any case. Options: `crop=N`, `crop=WIDTHxHEIGHT` (centred) or `crop=WIDTHxHEIGHT+X+Y`; `size=N` or
// `size=WIDTHxHEIGHT`, to which the cut is resized by area; `rgb` (the default) or `grey`; `strict`, which
// refuses a folder with a file that cannot be used, where otherwise it is skipped and listed in a log.
// Without `crop` the largest centred window of the new size's proportions is taken.
//
// What was decoded is kept in a cache (image_cache.h), one for each folder and each choice of cut, size and
// colours, and made again when a file has come, gone or changed (image_folder.h),
// or can be read that could not: what the system refused, unlike what a file holds, may be different next
// time.
#pragma once

#include <string>
#include <vector>

#include "datasets/area_resize.h"
#include "datasets/dataset.h"

namespace elbo {

struct ImageOptions {
  std::string directory;
  int64_t crop_width = 0, crop_height = 0;  ///< 0: the largest window of the new size's proportions
  bool centred = true;                      ///< the crop lies in the middle; otherwise at crop_x, crop_y
  int64_t crop_x = 0, crop_y = 0;
  int64_t width = 64, height = 64;
  int channels = 3;
  bool strict = false;

  /// What the pixels depend on, in one order and spelling.
  std::string str() const;
};

/// "DIR,crop=148,grey" taken apart, by the folders that there are; up to the first comma where none is.
struct ImageArgument {
  std::string directory;
  std::vector<std::string> options;
};
ImageArgument split_image_argument(const std::string& argument);

/// Reads "DIR,crop=148,size=64,grey". Throws Error on anything else.
ImageOptions parse_image_options(const std::string& argument);

/// What is cut from an image of this size. Throws Error with a phrase about the file when it is too small.
Window crop_window(const ImageOptions& options, int64_t image_height, int64_t image_width);

/// Images u8 (N, height * width * channels), mapped from the cache. `limit` takes the first of them, after
/// all have been decoded. Throws Error when the folder has no usable image for this split, `strict` finds a
/// file to skip, the cache cannot be written, or `progress` gives up.
Dataset load_images(const std::string& argument, const LoadOptions& options);
/// Whether the folder has images of that split, as a partition (image_partition.h) says.
bool has_images_for(const std::string& argument, Split split);

}  // namespace elbo
