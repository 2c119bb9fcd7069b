// Image grids: every pixel of the PNG, read back by another program's decoder, and grids that are refused.
#include "apps/support/image_grid.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <memory>
#include <vector>

#include "tensor/file.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#include <stb/stb_image.h>

namespace elbo {
namespace {

namespace fs = std::filesystem;

struct Decoded {
  int width = 0, height = 0, channels = 0;
  std::vector<int> values;  // (height, width, channels)
};

Decoded decode(const std::string& png) {
  Decoded out;
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(png.data()), static_cast<int>(png.size()),
                            &out.width, &out.height, &out.channels, 0),
      stbi_image_free);
  REQUIRE(pixels);
  out.values.assign(pixels.get(), pixels.get() + out.width * out.height * out.channels);
  return out;
}

/// A row or a column of the picture: which image and which of its pixels lie there; image -1 is a gap.
struct Place {
  int64_t image, pixel;
};

/// `count` images of `size` pixels, each pixel `scale` times, with a gap between images that is wider after
/// every `group` of them.
std::vector<Place> places(int64_t count, int64_t size, int64_t scale, int64_t group) {
  std::vector<Place> out;
  for (int64_t image = 0; image < count; ++image) {
    if (image > 0) out.insert(out.end(), group > 0 && image % group == 0 ? 10 : 2, Place{-1, 0});
    for (int64_t pixel = 0; pixel < size; ++pixel) out.insert(out.end(), scale, Place{image, pixel});
  }
  return out;
}

/// Images of bytes / 255, all different from their neighbours.
ImageGrid example(int64_t count, int64_t height, int64_t width, int64_t channels) {
  ImageGrid grid{.name = "grid", .height = height, .width = width, .channels = channels};
  grid.images = Tensor::empty({count, height * width * channels});
  unsigned state = 1;
  for (float& value : grid.images.span<float>()) {
    state = state * 1664525u + 1013904223u;
    value = static_cast<float>(state >> 24) / 255;
  }
  return grid;
}

/// Draws the grid of `example` and compares each pixel of the file with where it must have come from.
void check_pixels(const ImageGrid& grid, int64_t columns, int64_t rows, int64_t scale) {
  const TemporaryDirectory directory;
  const Picture picture = draw(grid, directory.path());
  CHECK(picture.directory == directory.path());
  CHECK(picture.name == grid.name);
  CHECK(picture.png == read_file(directory / (grid.name + ".png")));
  CHECK(directory.entries() == 1);

  const std::vector<Place> across = places(columns, grid.width, scale, grid.group);
  const std::vector<Place> down = places(rows, grid.height, scale, 0);
  const Decoded decoded = decode(picture.png);
  CHECK(picture.width == decoded.width);
  CHECK(picture.height == decoded.height);
  REQUIRE(decoded.width == static_cast<int>(across.size()));
  REQUIRE(decoded.height == static_cast<int>(down.size()));
  REQUIRE(decoded.channels == grid.channels);
  int wrong = 0;
  size_t at = 0;
  for (const Place& y : down)
    for (const Place& x : across)
      for (int64_t c = 0; c < grid.channels; ++c) {
        const int64_t image = y.image * columns + x.image;
        const bool white = y.image < 0 || x.image < 0 || image >= grid.images.size(0);
        const int64_t source = ((image * grid.height + y.pixel) * grid.width + x.pixel) * grid.channels + c;
        wrong += decoded.values[at++] != (white ? 255 : std::lround(grid.images.at(source) * 255));
      }
  CHECK(wrong == 0);
}

/// One row of the picture of one image of these grey intensities, one value for each pixel and channel.
std::vector<int> drawn(const std::vector<float>& values, int64_t channels) {
  const TemporaryDirectory directory;
  ImageGrid grid{.name = "row", .height = 1, .channels = channels};
  grid.width = static_cast<int64_t>(values.size()) / channels;
  grid.images = Tensor::from<float>({1, static_cast<int64_t>(values.size())}, values);
  const Decoded decoded = decode(draw(grid, directory.path()).png);
  const int scale = decoded.height;  // of an image one pixel high
  std::vector<int> out;
  for (int x = 0; x < decoded.width; x += scale)
    for (int c = 0; c < decoded.channels; ++c)
      out.push_back(decoded.values[static_cast<size_t>(x * decoded.channels + c)]);
  return out;
}

}  // namespace

TEST_SUITE("apps") {
  TEST_CASE("every pixel of an image grid is where it belongs") {
    ImageGrid grid = example(7, 28, 28, 1);
    grid.columns = 3;
    check_pixels(grid, 3, 3, 2);  // the last row has one image
    grid.columns = 20;
    check_pixels(grid, 7, 1, 2);  // fewer images than columns
    grid.columns = 1;
    check_pixels(grid, 1, 7, 2);
    check_pixels(example(1, 28, 28, 1), 1, 1, 2);

    grid = example(5, 28, 20, 3);  // height and width, and the channels, are not mixed up
    grid.columns = 2;
    check_pixels(grid, 2, 3, 2);
    grid = example(4, 3, 16, 1);
    grid.columns = 2;
    check_pixels(grid, 2, 2, 4);
  }

  TEST_CASE("small images are enlarged to 64 pixels at most, large ones are left alone") {
    constexpr int kScales[][2] = {{1, 64}, {8, 8}, {12, 5}, {28, 2}, {32, 2}, {33, 1}, {64, 1}, {65, 1}};
    for (const auto& row : kScales) {
      CAPTURE(row[0]);
      check_pixels(example(2, row[0], row[0], 1), 2, 1, row[1]);
    }
    check_pixels(example(1, 1, 8192, 1), 1, 1, 1);  // the largest
  }

  TEST_CASE("groups of columns stand apart") {
    ImageGrid grid = example(11, 8, 8, 3);
    grid.columns = 5;
    for (int64_t group : {1, 2, 4, 5, 6}) {
      CAPTURE(group);
      grid.group = group;
      check_pixels(grid, 5, 3, 8);
    }
  }

  TEST_CASE("intensities become the nearest byte, and what lies outside is cut off") {
    std::vector<float> values;
    std::vector<int> expected;
    for (int i = 0; i < 256; ++i) {
      values.push_back(static_cast<float>(i) / 255);
      expected.push_back(i);
    }
    CHECK(drawn(values, 1) == expected);
    const float infinity = std::numeric_limits<float>::infinity();
    CHECK(drawn({-0.001f, -3, -infinity, 1.001f, 1e30f, infinity, -0.0f, 0.5019f, 1e-40f}, 1) ==
          std::vector<int>{0, 0, 0, 255, 255, 255, 0, 128, 0});
  }

  TEST_CASE("a pixel with a NaN is magenta, among grey ones and coloured ones") {
    const float nan = std::nanf("");
    CHECK(drawn({0, nan, 1, 0.2f}, 1) == std::vector<int>{0, 0, 0, 255, 0, 255, 255, 255, 255, 51, 51, 51});
    CHECK(drawn({0, 0.2f, 1, 0.2f, nan, 0.4f, 1, 0, 0.2f}, 3) ==
          std::vector<int>{0, 51, 255, 255, 0, 255, 255, 0, 51});
  }

  TEST_CASE("the same grid gives the same bytes, whatever was drawn in between") {
    const TemporaryDirectory directory;
    const ImageGrid grid = example(12, 28, 28, 1);
    const std::string first = draw(grid, directory.path()).png;
    draw(example(3, 9, 14, 3), directory.path());
    CHECK((draw(grid, directory.path()).png == first));  // in brackets: not printed
    CHECK((read_file(directory / "grid.png") == first));
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("a view into a larger tensor is drawn as itself") {
    const TemporaryDirectory directory;
    ImageGrid grid = example(6, 8, 8, 1);
    const Tensor all = grid.images;
    grid.images = all.slice(2, 5);
    const std::string view = draw(grid, directory.path()).png;
    grid.images = grid.images.clone();
    CHECK((draw(grid, directory.path()).png == view));
  }

  TEST_CASE("a grid that makes no sense is refused before anything is written") {
    const TemporaryDirectory directory;
    const auto complaint = [&](auto change) {
      ImageGrid grid = example(4, 28, 20, 1);
      change(grid);
      return error_of([&] { draw(grid, directory.path()); });
    };
    const auto refuses = [&](const std::string& part, auto change) {
      const std::string text = complaint(change);
      CHECK_MESSAGE((text.starts_with("[image grid] ") && mentions(text, part)), part, " in: ", text);
    };
    CHECK(complaint([](ImageGrid&) {}) == "");
    fs::remove(directory / "grid.png");

    for (const char* name : {"", "../x", "a b", "a.b", "a\nb"})
      refuses("no name for a picture", [&](ImageGrid& grid) { grid.name = name; });
    refuses("0 by 20 pixels", [](ImageGrid& grid) { grid.height = 0; });
    refuses("28 by -20 pixels", [](ImageGrid& grid) { grid.width = -20; });
    refuses("sides are 1 to 8192", [](ImageGrid& grid) { grid.width = int64_t{1} << 62; });
    for (int64_t channels : {-1, 0, 2, 4})
      refuses("channels cannot be drawn", [&](ImageGrid& grid) { grid.channels = channels; });
    refuses("0 columns", [](ImageGrid& grid) { grid.columns = 0; });
    refuses("groups of -1", [](ImageGrid& grid) { grid.group = -1; });
    refuses("has no images", [](ImageGrid& grid) { grid.images = Tensor(); });
    refuses("has no images", [](ImageGrid& grid) { grid.images = Tensor::empty({0, 560}); });
    refuses("are not (n, 588)", [](ImageGrid& grid) { grid.width = 21; });
    refuses("are not (n, 1680)", [](ImageGrid& grid) { grid.channels = 3; });
    refuses("are not (n, 560)", [](ImageGrid& grid) { grid.images = grid.images.reshape({4, 28, 20}); });
    refuses("are not (n, 560)", [](ImageGrid& grid) { grid.images = grid.images.slice(0); });
    refuses("images are f64", [](ImageGrid& grid) { grid.images = grid.images.to(DType::f64); });
    refuses("images are u8", [](ImageGrid& grid) { grid.images = Tensor::zeros({4, 560}, DType::u8); });
    // 142 rows of 56 + 2 pixels, less the last gap, are 8234; 141 rows still fit.
    refuses("142 images in 1 columns take 40 by 8234 pixels", [](ImageGrid& grid) {
      grid.columns = 1;
      grid.images = Tensor::zeros({142, 560});
    });
    refuses("take 8356 by 56 pixels", [](ImageGrid& grid) {
      grid.columns = 199;
      grid.images = Tensor::zeros({199, 560});
    });
    CHECK(directory.entries() == 0);
    CHECK(complaint([](ImageGrid& grid) {
            grid.columns = 1;
            grid.images = Tensor::zeros({141, 560});
          }) == "");
  }

  TEST_CASE("a picture that cannot be written is an error and leaves no half file") {
    const TemporaryDirectory directory;
    const ImageGrid grid = example(4, 28, 28, 1);
    const auto complaint = [&](const std::string& place) {
      return error_of([&] { draw(grid, directory / place); });
    };
    CHECK(mentions(complaint("absent"), "does its directory exist?"));
    CHECK_FALSE(fs::exists(directory / "absent"));
    write_file_atomically(directory / "file", "");
    CHECK(mentions(complaint("file"), "grid.png"));
    CHECK(directory.entries() == 1);

    fs::create_directories(directory / "taken/grid.png");
    CHECK(mentions(complaint("taken"), "it is a directory"));
    fs::create_directory(directory / "full");
    fs::create_symlink("/dev/full", directory / "full/grid.png");
    CHECK(mentions(complaint("full"), "No space left"));
    fs::create_directory(directory / "locked");
    if (::geteuid() != 0) {  // the superuser may write anywhere
      fs::permissions(directory / "locked", fs::perms::owner_read | fs::perms::owner_exec);
      CHECK(mentions(complaint("locked"), "choose a place you may write to"));
      fs::permissions(directory / "locked", fs::perms::owner_all);
      CHECK(fs::is_empty(directory / "locked"));
    }
    for (const char* place : {"taken", "full"})
      CHECK(std::distance(fs::directory_iterator(directory / place), fs::directory_iterator()) == 1);
  }
}

}  // namespace elbo
