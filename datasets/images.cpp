#include "datasets/images.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <new>
#include <numeric>
#include <optional>
#include <regex>
#include <set>
#include <system_error>
#include <vector>

#include "datasets/hash.h"
#include "datasets/image_cache.h"
#include "datasets/image_file.h"
#include "datasets/image_folder.h"
#include "datasets/image_partition.h"
#include "tensor/file.h"
#include "tensor/parallel.h"

namespace elbo {
namespace {

constexpr int64_t kLargestSize = 1024;

/// A matched group as a number, or what stands for it when it is not there.
int64_t number(const std::ssub_match& group, int64_t otherwise = 0) {
  return group.matched ? std::stoll(group.str()) : otherwise;
}

void set_crop(ImageOptions& options, const std::string& value) {
  static const std::regex form(R"((\d{1,5})(?:x(\d{1,5})(?:\+(\d{1,5})\+(\d{1,5}))?)?)");
  std::smatch match;
  if (std::regex_match(value, match, form)) {
    options.crop_width = number(match[1]);
    options.crop_height = number(match[2], options.crop_width);
    options.centred = !match[3].matched;
    options.crop_x = number(match[3]);
    options.crop_y = number(match[4]);
  }
  if (options.crop_width < 1 || options.crop_height < 1)
    fail("[images] crop={} is none of crop=N, crop=WIDTHxHEIGHT and crop=WIDTHxHEIGHT+X+Y, in pixels", value);
}

void set_size(ImageOptions& options, const std::string& value) {
  static const std::regex form(R"((\d{1,5})(?:x(\d{1,5}))?)");
  std::smatch match;
  options.width = 0;
  if (std::regex_match(value, match, form)) {
    options.width = number(match[1]);
    options.height = number(match[2], options.width);
  }
  if (options.width < 1 || options.height < 1 || options.width > kLargestSize ||
      options.height > kLargestSize)
    fail("[images] size={} is neither size=N nor size=WIDTHxHEIGHT, in pixels from 1 to {}", value,
         kLargestSize);
}

/// What became of a file.
struct Slot {
  std::vector<uint8_t> pixels;
  std::string problem;            // why it is skipped, or empty
  bool problem_may_pass = false;  // without a change to the file
};

void decode(const ImageOptions& options, const std::string& path, Slot& slot) {
  slot.problem.clear();
  slot.problem_may_pass = true;  // until the file has been read
  slot.pixels.resize(static_cast<size_t>(options.height * options.width * options.channels));
  try {
    const std::string file = read_image_file(path);
    slot.problem_may_pass = false;
    const Pixels image = decode_image(file, options.channels);
    area_resize(image.values.get(), image.width, image.channels,
                crop_window(options, image.height, image.width), options.height, options.width, slot.pixels);
  } catch (const Error& error) {
    slot.problem = error.what();
  } catch (const std::bad_alloc&) {
    slot.problem = "needs more memory than there is";
    slot.problem_may_pass = true;
  }
}

/// Whether any of the files that could not be used for a passing reason can be now.
bool any_can_be_read(const ImageFolder& folder, const ImageOptions& options,
                     const std::vector<int64_t>& unread) {
  Slot slot;
  return std::any_of(unread.begin(), unread.end(), [&](int64_t i) {
    decode(options, folder.root + "/" + folder.images.at(static_cast<size_t>(i)), slot);
    return !slot.problem_may_pass;
  });
}

/// Decodes files from `begin` on into the slots, until these are full or a moment has passed, so that
/// progress and giving up need not wait for large ones. Returns the first file that is not decoded.
int64_t decode_some(const ImageFolder& folder, const ImageOptions& options, int64_t begin,
                    std::vector<Slot>& slots) {
  using Clock = std::chrono::steady_clock;
  const auto until = Clock::now() + std::chrono::milliseconds(200);
  const int64_t end =
      std::min(static_cast<int64_t>(folder.images.size()), begin + static_cast<int64_t>(slots.size()));
  std::atomic<int64_t> next{begin};
  parallel_for(threads(), 1, [&](int64_t, int64_t) {
    // Each takes the next one: they take different times.
    for (int64_t i = next++; i < end; i = next++) {
      decode(options, folder.root + "/" + folder.images[static_cast<size_t>(i)],
             slots[static_cast<size_t>(i - begin)]);
      if (Clock::now() >= until) break;
    }
  });
  return std::min(next.load(), end);
}

[[noreturn]] void refuse(const std::string& skipped) {
  fail("[images] {}; without strict such files are skipped", skipped);
}

void build(const ImageFolder& folder, const ImageOptions& options, const LoadOptions& load,
           ImageCacheWriter& cache) {
  // Memory is bounded by the slots, however many images there are.
  constexpr int64_t kBytes = int64_t{64} << 20, kMostSlots = 1024;
  const int64_t size = options.height * options.width * options.channels;
  std::vector<Slot> slots(static_cast<size_t>(
      std::clamp<int64_t>(kBytes / size, threads(), std::max<int64_t>(kMostSlots, threads()))));
  const auto total = static_cast<int64_t>(folder.images.size());
  for (int64_t begin = 0; begin < total;) {
    const int64_t end = decode_some(folder, options, begin, slots);
    for (int64_t i = begin; i < end; ++i) {
      const Slot& slot = slots[static_cast<size_t>(i - begin)];
      const std::string& name = folder.images[static_cast<size_t>(i)];
      if (slot.problem.empty())
        cache.add({reinterpret_cast<const char*>(slot.pixels.data()), slot.pixels.size()},
                  folder.split_of(i));
      else if (options.strict)
        refuse(quote(name) + " " + slot.problem);
      else
        cache.skip(name, slot.problem, slot.problem_may_pass ? std::optional(i) : std::nullopt);
    }
    begin = end;
    if (load.progress && !load.progress(begin, total))
      fail("[images] stopped after {} of {} images; none were kept", begin, total);
  }
  cache.finish();
}

std::string cache_path(const ImageFolder& folder, const ImageOptions& options, const ImageCacheKey& key) {
  const std::string name = std::filesystem::path(folder.root).filename().string().substr(0, 60);
  return fmt::format("{}/{}-{}x{}x{}-{:016x}.images", image_cache_directory(), name, options.width,
                     options.height, options.channels, key.options);
}

}  // namespace

std::string ImageOptions::str() const {
  std::string crop = "largest";
  if (crop_width > 0) crop = fmt::format("{}x{}", crop_width, crop_height);
  if (!centred) crop += fmt::format("+{}+{}", crop_x, crop_y);
  return fmt::format("crop={},size={}x{},channels={}", crop, width, height, channels);
}

ImageArgument split_image_argument(const std::string& argument) {
  size_t end = argument.size();  // of the folder
  for (std::error_code ignored; !std::filesystem::is_directory(argument.substr(0, end), ignored);) {
    const size_t comma = end > 0 ? argument.rfind(',', end - 1) : std::string::npos;
    if (comma == std::string::npos) {
      end = std::min(argument.find(','), argument.size());
      break;
    }
    end = comma;
  }
  ImageArgument parts{argument.substr(0, end), {}};
  while (end < argument.size()) {
    const size_t begin = end + 1;
    end = std::min(argument.find(',', begin), argument.size());
    parts.options.push_back(argument.substr(begin, end - begin));
  }
  return parts;
}

ImageOptions parse_image_options(const std::string& argument) {
  ImageOptions options;
  const ImageArgument parts = split_image_argument(argument);
  options.directory = parts.directory;
  std::set<std::string> given;
  for (const std::string& part : parts.options) {
    const std::string name = part == "rgb" || part == "grey" ? "rgb or grey" : part.substr(0, part.find('='));
    if (!given.insert(name).second)
      fail("[images] {} stands twice in {}; give it once", name, quote(argument));
    if (part.starts_with("crop="))
      set_crop(options, part.substr(5));
    else if (part.starts_with("size="))
      set_size(options, part.substr(5));
    else if (part == "rgb" || part == "grey")
      options.channels = part == "rgb" ? 3 : 1;
    else if (part == "strict")
      options.strict = true;
    else
      fail(
          "[images] unknown option {}, and no folder of that name after {}; options are crop=N, "
          "crop=WIDTHxHEIGHT, crop=WIDTHxHEIGHT+X+Y, size=N, size=WIDTHxHEIGHT, rgb, grey and strict",
          quote(part), quote(parts.directory + ","));
  }
  return options;
}

Window crop_window(const ImageOptions& options, int64_t image_height, int64_t image_width) {
  int64_t width = options.crop_width, height = options.crop_height;
  if (width == 0) {
    const bool wider = image_width * options.height > image_height * options.width;
    width = wider ? std::max<int64_t>(image_height * options.width / options.height, 1) : image_width;
    height = wider ? image_height : std::max<int64_t>(image_width * options.height / options.width, 1);
  }
  const int64_t x = options.centred ? (image_width - width) / 2 : options.crop_x;
  const int64_t y = options.centred ? (image_height - height) / 2 : options.crop_y;
  if (width > image_width - x || height > image_height - y || width > image_width || height > image_height)
    fail("has {} x {} pixels, too few for the crop", image_width, image_height);
  return {.x = x, .y = y, .width = width, .height = height};
}

bool has_images_for(const std::string& argument, Split split) {
  const std::string directory = parse_image_options(argument).directory;
  return find_partition(directory) && list_images(directory).counts.at(static_cast<size_t>(split)) > 0;
}

Dataset load_images(const std::string& argument, const LoadOptions& load) {
  const ImageOptions options = parse_image_options(argument);
  const ImageFolder folder = list_images(options.directory);
  if (folder.images.empty())
    fail("[images] no PNG or JPEG file was found in {} and the folders below it{}{}", quote(folder.root),
         folder.partition.empty() ? "" : " that is named in ",
         folder.partition.empty() ? "" : quote(folder.partition));

  const ImageCacheKey key{.options = Hash().add(folder.root + "\n" + options.str()).value(),
                          .listing = folder.fingerprint,
                          .height = options.height,
                          .width = options.width,
                          .channels = options.channels};
  const std::string path = cache_path(folder, options, key);
  auto cache = open_image_cache(path, key);
  if (!cache || any_can_be_read(folder, options, cache->unread)) {
    {
      ImageCacheWriter writer(path, key);
      build(folder, options, load, writer);
    }
    cache = open_image_cache(path, key);
    if (!cache) fail("[images] {} was replaced while it was made; try again", quote(path));
  }
  if (cache->skipped > 0 && options.strict) refuse(cache->first_skipped);
  const auto split = static_cast<size_t>(load.split);
  const int64_t points = cache->points.at(split),
                begin = std::accumulate(cache->points.begin(), cache->points.begin() + split, int64_t{0});
  if (points == 0)
    fail("[images] {} has no {} image that could be used{}", quote(folder.root),
         load.split == Split::train ? "training" : name(load.split),
         cache->skipped > 0 ? "; " + cache->first_skipped : "");
  if (load.note) {
    for (const std::string& line : folder.notes) load.note(line);
    if (cache->skipped > 0)
      load.note(fmt::format(
          "[images] {} of {} files were skipped; {} says why{}", cache->skipped, folder.images.size(),
          quote(path + ".log"),
          cache->unread.empty()
              ? ""
              : fmt::format("; {} of them could not be read and will be tried again", cache->unread.size())));
  }

  Dataset data;
  data.height = options.height;
  data.width = options.width;
  data.channels = options.channels;
  const bool all = load.limit == 0 || load.limit >= points;
  data.x = cache->pixels.slice(begin, begin + (all ? points : load.limit));
  if (all) data.fingerprint = fmt::format("{:016x}", cache->fingerprints[split]);
  return data;
}

}  // namespace elbo
