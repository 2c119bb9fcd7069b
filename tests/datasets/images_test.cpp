// Folders of images: which files are taken, how they are cut and resized, and which are refused and why.
#include "datasets/images.h"

#include <cmath>

#include "datasets/image_file.h"
#include "datasets/image_folder.h"
#include "tests/datasets/pictures.h"

namespace elbo {
namespace {

std::string refusal(const std::string& spec, const LoadOptions& options = {}) {
  return error_of([&] { load_dataset(spec, options); });
}

std::string undecodable(const std::string& bytes) {
  return error_of([&] { decode_image(bytes, 3); });
}

/// The first pixel's red of every image.
std::vector<int> firsts(const Dataset& data) {
  std::vector<int> values;
  for (int64_t i = 0; i < data.points(); ++i) values.push_back(data.x.data<uint8_t>()[i * data.dimensions()]);
  return values;
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("resizing is the mean over exact areas, whatever the ratio") {
    struct Case {
      int64_t height, width, channels;
      Window window;
      int64_t new_height, new_width;
    };
    for (const Case& c :
         {Case{12, 12, 3, {0, 0, 12, 12}, 4, 4}, Case{12, 12, 1, {0, 0, 12, 12}, 12, 12},
          Case{37, 29, 3, {0, 0, 29, 37}, 16, 16}, Case{37, 29, 3, {5, 7, 20, 23}, 11, 13},
          Case{9, 7, 1, {1, 2, 5, 6}, 17, 16}, Case{50, 50, 3, {49, 49, 1, 1}, 3, 3},
          Case{218, 178, 3, {15, 35, 148, 148}, 64, 64}, Case{40, 60, 1, {0, 0, 60, 40}, 1, 1}}) {
      const Picture8 picture = make_picture(c.height, c.width, c.channels);
      std::vector<uint8_t> out(static_cast<size_t>(c.new_height * c.new_width * c.channels));
      area_resize(picture.values.data(), c.width, c.channels, c.window, c.new_height, c.new_width, out);
      double worst = 0;
      const uint8_t* value = out.data();
      for (int64_t y = 0; y < c.new_height; ++y)
        for (int64_t x = 0; x < c.new_width; ++x)
          for (int64_t k = 0; k < c.channels; ++k) {
            const double mean =
                area_mean(picture, static_cast<double>(c.window.x), static_cast<double>(c.window.y),
                          static_cast<double>(c.window.width), static_cast<double>(c.window.height),
                          c.new_height, c.new_width, y, x, k);
            worst = std::max(worst, std::abs(*value++ - mean));
          }
      CAPTURE(c.width);
      CAPTURE(c.new_width);
      CHECK(worst <= 0.5 + 1e-4);  // rounded to the nearest
    }
  }

  TEST_CASE("PNG files become the pixels of their largest centred square") {
    const ImageFiles files;
    const Picture8 wide = make_picture(20, 33), high = make_picture(31, 16, 3, 1);
    files.put("a.png", png(wide));
    files.put("b.png", png(high));
    const Dataset data = load_dataset(files.spec(",size=8"));
    REQUIRE(data.x.shape() == Shape{2, 192});
    CHECK(std::array{data.height, data.width, data.channels} == std::array<int64_t, 3>{8, 8, 3});
    CHECK_FALSE(data.labels.defined());
    const uint8_t* value = data.x.data<uint8_t>();
    for (const Picture8& picture : {wide, high}) {
      const auto side = static_cast<double>(std::min(picture.height, picture.width));
      const double left = std::floor((static_cast<double>(picture.width) - side) / 2);
      const double top = std::floor((static_cast<double>(picture.height) - side) / 2);
      for (int64_t y = 0; y < 8; ++y)
        for (int64_t x = 0; x < 8; ++x)
          for (int64_t c = 0; c < 3; ++c)
            CHECK(std::abs(*value++ - area_mean(picture, left, top, side, side, 8, 8, y, x, c)) <= 0.501);
    }
  }

  TEST_CASE("crop=N and crop=WxH cut the middle, crop=WxH+X+Y a window, and size may differ in its sides") {
    const ImageFiles files;
    const Picture8 picture = make_picture(21, 18);
    files.put("a.png", png(picture));
    const auto pixel = [&](const std::string& options, int64_t y, int64_t x) {
      const Dataset data = load_dataset(files.spec(options));
      return std::vector{data.height, data.width,
                         int64_t{data.x.data<uint8_t>()[(y * data.width + x) * 3 + 1]}};
    };
    const auto stored = [&](int64_t y, int64_t x) { return int64_t{picture.at(y, x, 1)}; };
    CHECK(pixel(",crop=4,size=4", 1, 2) == std::vector{int64_t{4}, int64_t{4}, stored(8 + 1, 7 + 2)});
    CHECK(pixel(",crop=6x5,size=6x5", 4, 5) == std::vector{int64_t{5}, int64_t{6}, stored(8 + 4, 6 + 5)});
    CHECK(pixel(",crop=6x5+3+16,size=6x5", 4, 0) == std::vector{int64_t{5}, int64_t{6}, stored(20, 3)});
    CHECK(pixel(",crop=18x21+0+0,size=18x21", 20, 17) ==
          std::vector{int64_t{21}, int64_t{18}, stored(20, 17)});
    // Without crop, the largest window of the size's proportions: 18 x 9 from row 6 on.
    CHECK(pixel(",size=18x9", 0, 0) == std::vector{int64_t{9}, int64_t{18}, stored(6, 0)});
    CHECK(pixel(",size=10x21", 0, 0) == std::vector{int64_t{21}, int64_t{10}, stored(0, 4)});
    CHECK(pixel("", 0, 0)[0] == 64);
  }

  TEST_CASE("grey is the luma, of grey files the value itself") {
    const ImageFiles files;
    const Picture8 colour = make_picture(8, 8), grey = make_picture(8, 8, 1, 5);
    files.put("a.png", png(colour));
    files.put("b.png", png(grey));
    const Dataset data = load_dataset(files.spec(",size=8,grey"));
    CHECK(data.channels == 1);
    const uint8_t* value = data.x.data<uint8_t>();
    for (int64_t i = 0; i < 64; ++i, ++value) {
      const double luma =
          0.299 * colour.at(0, i, 0) + 0.587 * colour.at(0, i, 1) + 0.114 * colour.at(0, i, 2);
      CHECK(std::abs(*value - luma) < 1.5);
    }
    for (int64_t i = 0; i < 64; ++i) CHECK(*value++ == grey.at(0, i, 0));
    const Dataset rgb = load_dataset(files.spec(",size=8"));
    for (int64_t i = 0; i < 192; ++i) CHECK(rgb.x.data<uint8_t>()[192 + i] == grey.at(0, i / 3, 0));
  }

  TEST_CASE("a JPEG file becomes nearly the pixels that were packed") {
    const ImageFiles files;
    Picture8 smooth{64, 64, 3, {}};
    for (int64_t i = 0; i < 64 * 64; ++i)
      for (int64_t c = 0; c < 3; ++c)
        smooth.values.push_back(static_cast<uint8_t>(c == 0   ? 2 * (i % 64) + 20
                                                     : c == 1 ? 3 * (i / 64)
                                                              : 128));
    files.put("a.jpg", jpeg(smooth));
    const Dataset data = load_dataset(files.spec());
    double worst = 0;
    for (int64_t i = 0; i < data.x.elements(); ++i)
      worst = std::max(worst, std::abs(data.x.at(i) - smooth.values[static_cast<size_t>(i)]));
    CHECK(worst <= 8);
  }

  TEST_CASE(
      "files come in the order of their names' bytes, from all folders below, whatever the ending's case") {
    const ImageFiles files;
    int value = 0;
    for (const char* name : {"B.PNG", "a.png", "b/c.Jpeg", "b/d/e.JPG", "b0.png", "\xc3\xa9.png"})
      files.put(name, std::string(name).find('J') == std::string::npos
                          ? png(plain_picture(4, 4, static_cast<uint8_t>(10 * ++value)))
                          : jpeg(plain_picture(4, 4, static_cast<uint8_t>(10 * ++value)), 100));
    files.put("notes.txt", "nothing");
    files.put("a.png.bak", "nothing");
    files.put("png", "nothing");
    std::filesystem::create_directories(files.folder() + "/folder.png");
    const auto found = firsts(load_dataset(files.spec(",size=2")));
    REQUIRE(found.size() == 6);
    for (size_t i = 0; i < 6; ++i) CHECK(std::abs(found[i] - 10 * static_cast<int>(i + 1)) <= 1);
    CHECK(list_images(files.folder()).images ==
          std::vector<std::string>{"B.PNG", "a.png", "b/c.Jpeg", "b/d/e.JPG", "b0.png", "\xc3\xa9.png"});
  }

  TEST_CASE("CelebA's partition decides the split, in the folder or above it") {
    const ImageFiles files;
    for (int i = 1; i <= 7; ++i)
      files.put(fmt::format("img/00000{}.png", i), png(plain_picture(4, 4, static_cast<uint8_t>(i))));
    const std::string train_only = "images:" + files.folder() + "/img,size=1";
    CHECK(mentions(refusal(train_only, {.split = Split::test}), "no test split"));
    CHECK(mentions(refusal(train_only, {.split = Split::test}), "list_eval_partition.txt"));
    // A line for a file that is not there, none for the seventh, and Windows' ends of lines.
    files.put(
        "list_eval_partition.txt",
        "000001.png 2\r\n000002.png 0\r\n000003.png 1\r\n000004.png 0\r\n000005.png 2\r\n000006.png 0\r\n"
        "000099.png 0\r\n");
    for (const std::string& spec : {files.spec(",size=1"), train_only}) {
      CHECK(firsts(load_dataset(spec)) == std::vector{2, 4, 6});
      const Dataset test = load_dataset(spec, {.split = Split::test});
      CHECK(firsts(test) == std::vector{1, 5});
      CHECK(test.fingerprint == fingerprint(test.x));
      CHECK(firsts(load_dataset(spec, {.limit = 1, .split = Split::test})) == std::vector{1});
    }
    files.put("list_eval_partition.txt", "000001.png 0\n000002.png\n");
    CHECK(mentions(refusal(train_only), "line 2 of"));
    files.put("list_eval_partition.txt", "000001.png 3\n");
    CHECK(mentions(refusal(train_only), "'000001.png 3'"));
    files.put("list_eval_partition.txt", "000001.png 0\n");
    CHECK(mentions(refusal(train_only, {.split = Split::test}), "no test split of its own"));
    files.put("list_eval_partition.txt", "000009.png 0\n");
    CHECK(mentions(refusal(train_only), "that is named in "));
  }

  TEST_CASE("what cannot be decoded as it should is refused, each with its reason") {
    const std::string good_png = png(make_picture(9, 7)), good_jpeg = jpeg(make_picture(9, 7));
    CHECK(undecodable(good_png) == "");
    CHECK(undecodable(good_jpeg) == "");
    CHECK(undecodable("") == "is empty");
    CHECK(undecodable("just text") == "is neither a PNG nor a JPEG file");
    CHECK(undecodable("GIF89a") == "is neither a PNG nor a JPEG file");
    CHECK(undecodable(cmyk_jpeg()) == "is a CMYK JPEG");
    // Sizes that would take gigabytes, and no pixels to go with them.
    CHECK(mentions(undecodable(png_of(60000, 60000, 8, 2, "")), "60000 x 60000 pixels; more than"));
    CHECK(mentions(undecodable(png_of(0xffffffff, 0xffffffff, 8, 2, "")), "pixels; more than"));
    CHECK(mentions(undecodable(png_of(4, 4, 8, 2, "")), "cannot be decoded"));
    // A chunk that must be understood, whose name is no text.
    CHECK(undecodable(good_png.substr(0, 33) + png_chunk("A\nB\1", "") + good_png.substr(33)) ==
          "cannot be decoded: 'A\\x0aB\\x01 PNG chunk not known'");
    std::string huge = good_jpeg;
    const size_t frame = huge.find("\xff\xc0");
    REQUIRE(frame != std::string::npos);
    huge.replace(frame + 5, 4, "\xff\xff\xff\xff");
    CHECK(mentions(undecodable(huge), "65535 x 65535 pixels; more than"));
    // Four pixels that unpack to 64 megabytes.
    CHECK(mentions(undecodable(png_of(2, 2, 8, 0, std::string(size_t{64} << 20, '\0'))),
                   "holds more than its 2 x 2 pixels need"));
    std::string damaged = good_png;
    damaged[damaged.find("IDAT") + 9] ^= 1;
    CHECK(mentions(undecodable(damaged), "a checksum is wrong"));
    std::string codes = good_jpeg;
    const size_t table = codes.find("\xff\xc4");
    REQUIRE(table != std::string::npos);
    codes[table + 20] = '\xff';
    CHECK(undecodable(codes) == "is a damaged JPEG: a code table is too long");
    // A further table that holds what it announces: 128 codes of 15 bits, and 127 or 128 of 16.
    for (const int last : {127, 128}) {
      const int length = 2 + 17 + 128 + last;
      const std::string segment = std::string("\xff\xc4") + static_cast<char>(length >> 8) +
                                  static_cast<char>(length & 0xff) + "\x03" + std::string(14, '\0') + "\x80" +
                                  static_cast<char>(last) +
                                  std::string(static_cast<size_t>(128 + last), '\1');
      const std::string with_table = good_jpeg.substr(0, 2) + segment + good_jpeg.substr(2);
      CHECK(undecodable(with_table) == (last == 127 ? "" : "is a damaged JPEG: a code table is too long"));
    }
    // A scan of zero bytes after which the end-of-image marker is missing.
    CHECK(undecodable(good_jpeg.substr(0, good_jpeg.size() - 20) + std::string(4000, '\0')) ==
          "is truncated");
    CHECK(undecodable("\xff\xd8\xff\xd9") == "is a damaged JPEG: it holds no picture");
  }

  TEST_CASE("a file cut short anywhere is refused, and a wrong byte does no worse") {
    for (const std::string& whole : {png(make_picture(9, 7)), jpeg(make_picture(9, 7))}) {
      for (size_t length = 1; length < whole.size(); ++length)
        if (undecodable(whole.substr(0, length)) != "is truncated") FAIL("decoded or misjudged at ", length);
      for (size_t at = 0; at < whole.size(); ++at)
        for (const int mask : {1, 0x10, 0xff}) {
          std::string damaged = whole;
          damaged[at] = static_cast<char>(damaged[at] ^ mask);
          undecodable(damaged);  // checks that an error, if any, is an Error of one line
        }
    }
  }

  TEST_CASE("bytes after the end, a thumbnail within and a wrong ending are no reason to refuse") {
    const std::string picture = jpeg(make_picture(9, 7)), thumbnail = jpeg(make_picture(2, 2));
    CHECK(undecodable(picture + "trailing") == "");
    const auto length = static_cast<uint16_t>(thumbnail.size() + 2);
    const std::string with_thumbnail = picture.substr(0, 2) + "\xff\xe1" + static_cast<char>(length >> 8) +
                                       static_cast<char>(length & 0xff) + thumbnail + picture.substr(2);
    CHECK(undecodable(with_thumbnail) == "");
    CHECK(undecodable(with_thumbnail.substr(0, with_thumbnail.size() - 30)) == "is truncated");
    const ImageFiles files;
    files.put("a.jpg", png(plain_picture(4, 4, 77)));
    CHECK(firsts(load_dataset(files.spec(",size=2,strict"))) == std::vector{77});
  }

  TEST_CASE("of 16 bits the upper 8 are taken, and transparency is dropped") {
    std::string raw;
    for (int y = 0; y < 2; ++y) {
      raw += '\0';  // no filter
      for (int x = 0; x < 2; ++x) raw += std::string{static_cast<char>(0x40 + 0x20 * y + x), '\xff'};
    }
    const Pixels deep = decode_image(png_of(2, 2, 16, 0, raw), 1);
    CHECK(std::vector<int>(deep.values.get(), deep.values.get() + 4) == std::vector{0x40, 0x41, 0x60, 0x61});
    const Pixels clear = decode_image(png_of(1, 1, 8, 6, std::string("\0\x01\x02\x03\0", 5)), 3);
    CHECK(std::vector<int>(clear.values.get(), clear.values.get() + 3) == std::vector{1, 2, 3});
  }

  TEST_CASE("colours that a palette does not have are black, whatever was decoded before") {
    std::string raw(1, '\0');
    for (int index = 0; index < 256; ++index) raw += static_cast<char>(index);
    const auto with_palette = [&](const std::string& palette) {
      std::string file = png_of(256, 1, 8, 3, raw);
      return file.insert(33, png_chunk("PLTE", palette));  // after the header
    };
    std::string whole;
    for (int i = 0; i < 3 * 256; ++i) whole += static_cast<char>(i % 255 + 1);
    const auto pixels_of = [](const std::string& file) {
      const Pixels pixels = decode_image(file, 3);
      return std::string(reinterpret_cast<const char*>(pixels.values.get()), 3 * 256);
    };
    for (const size_t colours : {256, 1, 17, 255}) {
      std::string expected = whole.substr(0, 3 * colours);
      expected.resize(3 * 256, '\0');
      CHECK(pixels_of(with_palette(whole)) == whole);
      CHECK(pixels_of(with_palette(whole.substr(0, 3 * colours))) == expected);
    }
    for (const size_t bytes : {4, 5, 767})
      CHECK(undecodable(with_palette(whole.substr(0, bytes))) == "cannot be decoded: 'invalid PLTE'");
    const auto with_alphas = [&](size_t alphas) {  // after the header and a palette of two colours
      return with_palette(whole.substr(0, 6)).insert(33 + 18, png_chunk("tRNS", std::string(alphas, '\1')));
    };
    CHECK(undecodable(with_alphas(2)) == "");
    CHECK(mentions(undecodable(with_alphas(3)), "transparent"));
  }

  TEST_CASE("bad files are skipped, counted and listed, or refused with strict") {
    const ImageFiles files;
    files.put("1.png", png(plain_picture(9, 9, 1)));
    files.put("2.jpg", cmyk_jpeg());
    files.put("3.png", png(plain_picture(9, 9, 3)).substr(0, 60));
    files.put("4.jpg", "text");
    files.put("5.png", png(plain_picture(9, 8, 5)));
    files.put("6.png", "");
    files.put("7.png", png(plain_picture(10, 12, 7)));
    std::filesystem::create_symlink("nowhere", files.folder() + "/8.png");
    std::filesystem::create_directories(files.folder() + "/sub");
    std::vector<std::string> notes;
    const LoadOptions options{.note = [&](const std::string& line) { notes.push_back(line); }};
    const auto load = [&] { return load_dataset(files.spec(",crop=9,size=3"), options); };
    for (int time = 0; time < 2; ++time) {  // decoded, and from the cache
      notes.clear();
      const Dataset data = load();
      CHECK(firsts(data) == std::vector{1, 7});
      CHECK(data.fingerprint == fingerprint(data.x));
      REQUIRE(notes.size() == 1);
      CHECK(mentions(notes[0], "6 of 8 files were skipped"));
      const auto logs = files.cached(".log");
      REQUIRE(logs.size() == 1);
      CHECK(mentions(notes[0], quote(logs[0])));
      const std::string log = read_file(logs[0]);
      CHECK(log.starts_with(
          "'2.jpg' is a CMYK JPEG\n'3.png' is truncated\n'4.jpg' is neither a PNG nor a JPEG file\n"
          "'5.png' has 8 x 9 pixels, too few for the crop\n'6.png' is empty\n'8.png' "));
      CHECK(mentions(log, "cannot open"));
      const std::string strict = refusal(files.spec(",crop=9,size=3,strict"));
      CHECK(mentions(strict, "'2.jpg' is a CMYK JPEG; without strict such files are skipped"));
    }
    CHECK(mentions(refusal(files.spec(",crop=8,size=3,strict")),
                   "'2.jpg' is a CMYK JPEG"));  // before any cache
    CHECK(files.cached(".images").size() == 1);
    for (const char* bad : {"2.jpg", "3.png", "4.jpg", "5.png", "6.png", "8.png"})
      std::filesystem::remove(files.folder() + "/" + bad);
    notes.clear();
    CHECK(firsts(load()) == std::vector{1, 7});
    CHECK(notes.empty());
    CHECK(files.cached(".log").empty());
    CHECK(refusal(files.spec(",crop=9,size=3,strict")) == "");
  }

  TEST_CASE("a folder without usable images, and options that make no sense, are refused") {
    const ImageFiles files;
    CHECK(mentions(refusal("images"), "give images:DIR[,OPTION...]"));
    CHECK(mentions(refusal("images:/no/such/folder"), "no folder '/no/such/folder'"));
    CHECK(mentions(refusal("images:,size=3"), "no folder ''"));
    CHECK(mentions(refusal(files.spec()), "no PNG or JPEG file was found"));
    files.put("a.png", "text");
    CHECK(mentions(refusal(files.spec()), "no training image that could be used; 'a.png' is neither"));
    CHECK(mentions(refusal("images:" + files.folder() + "/a.png"), "no folder"));
    for (const char* option : {"crop=", "crop=0", "crop=4x", "crop=4x4+1", "crop=4+1+1", "crop=-4",
                               "crop=4x4-1-1", "crop=1234567", "crop=4x0"})
      CHECK(mentions(refusal(files.spec(std::string(",") + option)), "is none of crop=N"));
    for (const char* option : {"size=", "size=0", "size=4x", "size=0x4", "size=4x4x4", "size=5000", "size=a"})
      CHECK(mentions(refusal(files.spec(std::string(",") + option)), "neither size=N nor"));
    for (const char* option : {"szie=64", "gray", "crop", "Strict", "", " grey"})
      CHECK(mentions(refusal(files.spec(std::string(",") + option + ",grey")), "unknown option"));
    const ImageOptions options =
        parse_image_options("a folder/x:y,crop=128x120+25+45,size=32x16,grey,strict");
    CHECK(options.directory == "a folder/x:y");
    CHECK(options.str() == "crop=128x120+25+45,size=32x16,channels=1");
    CHECK(options.strict);
  }
}

}  // namespace elbo
