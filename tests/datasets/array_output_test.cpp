// Arrays that are written by and by: the bytes of .npy files, archives as the ZIP format lays them out, and
// nothing written over or left behind.
#include "datasets/array_output.h"

#include <zlib.h>

#include <cstring>

#include "datasets/npy.h"
#include "tests/datasets/helpers.h"
#include "tests/file_size_limit.h"

namespace elbo {
namespace {

using Format = ArrayOutput::Format;

/// Little-endian number in an archive.
uint64_t number(const std::string& bytes, uint64_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes.at(at + i));
  return value;
}

/// The files of an archive without ZIP64, read by its directory as APPNOTE 4.3 describes it.
std::map<std::string, std::string> unzip(const std::string& archive) {
  const size_t end = archive.rfind("PK\5\6");
  REQUIRE(end + 22 == archive.size());
  std::map<std::string, std::string> files;
  uint64_t at = number(archive, end + 16, 4);
  for (uint64_t left = number(archive, end + 10, 2); left > 0; --left) {
    REQUIRE(archive.substr(at, 4) == "PK\1\2");
    CHECK(number(archive, at + 10, 2) == 0);  // stored
    const uint64_t name = number(archive, at + 28, 2), size = number(archive, at + 24, 4),
                   header = number(archive, at + 42, 4);
    REQUIRE(archive.substr(header, 4) == "PK\3\4");
    CHECK(archive.substr(header + 14, 12) == archive.substr(at + 16, 12));  // checksum and sizes
    const uint64_t begin = header + 30 + number(archive, header + 26, 2) + number(archive, header + 28, 2);
    const std::string contents = archive.substr(begin, size);
    CHECK(number(archive, at + 16, 4) ==
          ::crc32(0, reinterpret_cast<const Bytef*>(contents.data()), static_cast<uInt>(contents.size())));
    files[archive.substr(at + 46, name)] = contents;
    at += 46 + name + number(archive, at + 30, 2);
  }
  CHECK(at == end);
  CHECK(number(archive, end + 12, 4) == end - number(archive, end + 16, 4));
  return files;
}

Tensor counting(const Shape& shape) {
  const Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.elements(); ++i) x.data<float>()[i] = 0.5f * static_cast<float>(i);
  return x;
}

const Tensor kCodes = counting({5, 3}), kImages = counting({5, 2, 2, 1}),
             kLabels = Tensor::from<uint8_t>({5}, {4, 0, 255, 1, 2});
const std::vector<ArrayPlan> kPlans{
    {"codes", DType::f32, {5, 3}}, {"images", DType::f32, {5, 2, 2, 1}}, {"labels", DType::u8, {5}}};

/// Writes the three arrays in parts of two rows, each array in its own order.
void write_all(const std::string& path, Format format) {
  ArrayOutput out(path, format, kPlans);
  for (int64_t begin = 0; begin < 5; begin += 2) {
    const int64_t end = std::min<int64_t>(begin + 2, 5);
    out.append(2, kLabels.slice(begin, end));
    out.append(0, kCodes.slice(begin, end));
    out.append(1, kImages.slice(begin, end));
  }
  out.finish();
}

std::string npy_bytes(const TemporaryDirectory& directory, const Tensor& array) {
  write_npy(directory / "npy", array);
  return read_file(directory / "npy");
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("arrays written in parts are the .npy files that they are in one, in a folder or an archive") {
    const TemporaryDirectory directory;
    write_all(directory / "a/b.npz", Format::npz);
    write_all(directory / "c/d", Format::npy);
    const std::map<std::string, std::string> files = unzip(read_file(directory / "a/b.npz"));
    CHECK(files.size() == 3);
    for (const auto& entry : std::map<std::string, Tensor>{
             {"codes.npy", kCodes}, {"images.npy", kImages}, {"labels.npy", kLabels}}) {
      const auto& [name, array] = entry;
      CAPTURE(entry.first);
      CHECK(files.at(name) == npy_bytes(directory, array));
      CHECK(read_file(directory / ("c/d/" + name)) == npy_bytes(directory, array));
    }
  }

  TEST_CASE("nothing is written over, and what is not finished leaves nothing") {
    const TemporaryDirectory directory;
    put(directory / "there.npz", "mine");
    CHECK(mentions(error_of([&] { ArrayOutput(directory / "there.npz", Format::npz, kPlans); }),
                   "nothing is written over"));
    CHECK(
        mentions(error_of([&] { ArrayOutput(directory / "there.npz", Format::npy, kPlans); }), "is a file"));
    CHECK(mentions(error_of([&] { ArrayOutput(directory.path().string(), Format::npy, kPlans); }),
                   "nothing is written over"));
    { ArrayOutput given_up(directory / "x/y/z.npz", Format::npz, kPlans); }
    { ArrayOutput given_up(directory / "x/y", Format::npy, kPlans); }
    CHECK(directory.entries() == 1);
    {
      ArrayOutput late(directory / "late.npz", Format::npz, {{"labels", DType::u8, {5}}});
      late.append(0, kLabels);
      put(directory / "late.npz", "mine");
      CHECK(mentions(error_of([&] { late.finish(); }), "nothing is written over"));
    }
    CHECK(read_file(directory / "late.npz") == "mine");
    CHECK(read_file(directory / "there.npz") == "mine");
    CHECK(directory.entries() == 2);
  }

  TEST_CASE("a full disk is an error that leaves nothing") {
    const TemporaryDirectory directory;
    {
      const FileSizeLimit limit(4096);
      ArrayOutput out(directory / "full.npz", Format::npz, {{"x", DType::f32, {3000}}});
      CHECK(mentions(error_of([&] { out.append(0, counting({3000})); }), "free some space"));
    }
    CHECK(directory.entries() == 0);
  }

  TEST_CASE("rows that do not fit the plan, or are too many or too few, are errors") {
    const TemporaryDirectory directory;
    ArrayOutput out(directory / "x.npz", Format::npz, kPlans);
    for (const Tensor& wrong :
         {kCodes.reshape({3, 5}), kCodes.slice(0, 2).to(DType::f64), kCodes.reshape({15})})
      CHECK(mentions(error_of([&] { out.append(0, wrong); }), "codes"));
    out.append(0, kCodes);
    CHECK(mentions(error_of([&] { out.append(0, kCodes.slice(0, 1)); }), "codes"));
    CHECK(mentions(error_of([&] { out.finish(); }), "images is not complete"));
  }

  TEST_CASE("sizes and places beyond 32 bits are in ZIP64's fields, and in no others") {
    const uint64_t five = uint64_t{5} << 30, none = 0xFFFFFFFF;
    const ZipEntry large{.name = "large", .size = five, .offset = 0, .crc = 7},
        behind{.name = "behind", .size = 10, .offset = five + 55, .crc = 8};
    const std::string header = zip_header(large);
    CHECK(header.size() == 30 + 5 + 4 + 16);
    CHECK(number(header, 4, 2) == 45);
    CHECK(number(header, 18, 4) == none);
    CHECK(number(header, 22, 4) == none);
    CHECK(number(header, 28, 2) == 20);
    CHECK(number(header, 35, 2) == 1);
    CHECK(number(header, 37, 2) == 16);
    CHECK(number(header, 39, 8) == five);
    CHECK(number(header, 47, 8) == five);
    CHECK(zip_header(behind).size() == 30 + 6);
    CHECK(number(zip_header(behind), 4, 2) == 20);

    const uint64_t at = five + 101;
    const std::string directory = zip_directory({large, behind}, at);
    const size_t second = 46 + 5 + 20;
    CHECK(number(directory, 46 + 5 + 4, 8) == five);
    CHECK(directory.substr(second, 4) == "PK\1\2");
    CHECK(number(directory, second + 24, 4) == 10);
    CHECK(number(directory, second + 42, 4) == none);
    CHECK(number(directory, second + 46 + 6 + 2, 2) == 8);
    CHECK(number(directory, second + 46 + 6 + 4, 8) == five + 55);
    const size_t end64 = second + 46 + 6 + 12;
    CHECK(directory.substr(end64, 4) == "PK\6\6");
    CHECK(number(directory, end64 + 4, 8) == 44);
    CHECK(number(directory, end64 + 32, 8) == 2);
    CHECK(number(directory, end64 + 40, 8) == end64);
    CHECK(number(directory, end64 + 48, 8) == at);
    CHECK(directory.substr(end64 + 56, 4) == "PK\6\7");
    CHECK(number(directory, end64 + 64, 8) == at + end64);
    CHECK(directory.substr(end64 + 76, 4) == "PK\5\6");
    CHECK(number(directory, end64 + 76 + 16, 4) == none);
    CHECK(directory.size() == end64 + 76 + 22);

    // The sizes, of which there are two, come before the place.
    const std::string both =
        zip_directory({{.name = "both", .size = five, .offset = five + 1, .crc = 9}}, at);
    CHECK(number(both, 46 + 4 + 2, 2) == 24);
    CHECK(number(both, 46 + 4 + 4, 8) == five);
    CHECK(number(both, 46 + 4 + 20, 8) == five + 1);
  }
}

}  // namespace elbo
