// IDX files: what is whole is read, and whatever is not is refused in one line and without a large
// allocation.
#include "datasets/idx.h"

#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

std::string bytes_of(const Tensor& array) {
  return {static_cast<const char*>(array.bytes()), static_cast<size_t>(array.byte_count())};
}

/// The error that reading a file of these bytes gives; "" when it is read.
std::string refusal(const std::string& bytes) {
  static const TemporaryDirectory directory;
  put(directory / "file", bytes);
  return error_of([&] { read_idx(directory / "file"); });
}

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("an IDX file is read, plain or gzip, whatever its name") {
    const TemporaryDirectory directory;
    const std::string images = idx_bytes({1, 2, 3}, std::string("\0\1\x7f\x80\xfe\xff", 6));
    for (const std::string& bytes : {images, gzip(images)}) {
      put(directory / "file", bytes);
      const Tensor array = read_idx(directory / "file");
      CHECK(array.dtype() == DType::u8);
      CHECK(array.shape() == Shape{1, 2, 3});
      CHECK(bytes_of(array) == std::string("\0\1\x7f\x80\xfe\xff", 6));
    }
    put(directory / "labels", idx_bytes({3}, "abc"));
    CHECK(bytes_of(read_idx(directory / "labels")) == "abc");
  }

  TEST_CASE("an IDX file larger than any buffer is read whole") {
    const TemporaryDirectory directory;
    std::string elements(700000, '\0');
    for (size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<char>(i * i % 251);
    for (const bool packed : {false, true}) {
      const std::string bytes = idx_bytes({700, 1000}, elements);
      put(directory / "file", packed ? gzip(bytes) : bytes);
      CHECK(bytes_of(read_idx(directory / "file")) == elements);
    }
  }

  TEST_CASE("gzip data in several members are read on to the last") {
    const TemporaryDirectory directory;
    std::string elements(200000, '\0');
    uint32_t state = 1;
    for (char& c : elements) c = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
    const std::string bytes = idx_bytes({200, 1000}, elements);
    const auto read = [&](const std::string& packed) {
      put(directory / "file", packed);
      return bytes_of(read_idx(directory / "file")) == elements;
    };
    CHECK(read(gzip(bytes.substr(0, 7)) + gzip(bytes.substr(7, 90000)) + gzip(bytes.substr(90007))));
    CHECK(read(gzip("") + gzip(bytes) + gzip("") + gzip("")));
    // A member may begin anywhere within what is read at a time, which is 65536 bytes; these hardly shrink.
    const std::string end = gzip(bytes.substr(66000));
    std::string start;
    for (size_t first = 65400; first < 65600; ++first) {
      start = gzip(bytes.substr(0, first)) + gzip(bytes.substr(first, 66000 - first));
      const size_t border = gzip(bytes.substr(0, first)).size();
      if (border < 65530 || border > 65540) continue;
      CAPTURE(border);
      CHECK(read(start + end));
    }
    std::string many;
    for (size_t at = 0; at < bytes.size(); at += 100) many += gzip(bytes.substr(at, 100));
    CHECK(read(many));

    const std::string whole = idx_bytes({2, 3}, "abcdef");
    const std::string one = gzip(whole.substr(0, 14)), two = gzip(whole.substr(14));
    REQUIRE(refusal(one + two) == "");
    for (size_t length = 2; length < one.size() + two.size(); ++length)
      if (length != one.size() + 1) CHECK(mentions(refusal((one + two).substr(0, length)), "truncated"));
    CHECK(mentions(refusal(one + two + "g"), "bytes after its gzip data"));
    CHECK(mentions(refusal(one + two + gzip("g")), "more bytes than its header announces"));
    for (const size_t last : {one.size(), one.size() + two.size()})
      for (size_t at = last - 8; at < last; ++at) {  // checksum and length of either
        std::string damaged = one + two;
        damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
        CHECK(mentions(refusal(damaged), "damaged gzip data"));
      }
  }

  TEST_CASE("what is no IDX file of bytes is refused") {
    CHECK(mentions(error_of([] { read_idx("/no/such/file"); }), "No such file"));
    CHECK(mentions(refusal(""), "truncated"));
    CHECK(mentions(refusal("garbage, and more of it"), "not an IDX file: it starts with 67 61 72 62"));
    CHECK(mentions(refusal(std::string("\0\0\x0d\1\0\0\0\1abcd", 12)), "elements of type 0x0d"));
    const std::string whole = idx_bytes({3}, "abc");
    for (const size_t at : {0, 1, 3}) {
      std::string damaged = whole;
      damaged[at] = '\x40';
      CHECK(mentions(refusal(damaged), "not an IDX file"));
    }
    CHECK(mentions(refusal(std::string("\0\0\x08\0", 4)), "not an IDX file"));
    CHECK(mentions(refusal(std::string("\0\0\x08\x09", 4)), "not an IDX file"));
    CHECK(mentions(refusal(idx_bytes({5, 0}, "")), "is empty: its shape is (5, 0)"));
  }

  TEST_CASE("an IDX file cut off anywhere is refused") {
    const std::string whole = idx_bytes({2, 3}, "abcdef"), packed = gzip(whole);
    REQUIRE(refusal(whole) == "");
    REQUIRE(refusal(packed) == "");
    for (size_t length = 0; length < whole.size(); ++length)
      CHECK(mentions(refusal(whole.substr(0, length)), "truncated"));
    for (size_t length = 2; length < packed.size(); ++length)
      CHECK(mentions(refusal(packed.substr(0, length)), "truncated"));
  }

  TEST_CASE("an IDX file with bytes too many is refused") {
    const std::string whole = idx_bytes({2, 3}, "abcdef");
    CHECK(mentions(refusal(whole + "g"), "more bytes than its header announces"));
    CHECK(mentions(refusal(gzip(whole + "g")), "more bytes than its header announces"));
    CHECK(mentions(refusal(gzip(whole) + "g"), "bytes after its gzip data"));
  }

  TEST_CASE("damage to gzip data is noticed") {
    const std::string packed = gzip(idx_bytes({2, 3}, "abcdef"));
    for (size_t at = packed.size() - 8; at < packed.size(); ++at) {  // checksum and length
      std::string damaged = packed;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
      CHECK(mentions(refusal(damaged), "damaged gzip data"));
    }
  }

  TEST_CASE("a huge header on a small file allocates nothing") {
    for (const auto& sizes : {std::vector<uint32_t>{0xffffffff, 0xffff},
                              {1u << 31, 28, 28},
                              {400000},
                              {1u << 16, 1u << 16, 1u << 16, 1u << 16},
                              std::vector<uint32_t>(8, 0xffffffff)}) {
      const std::string bytes = idx_bytes(sizes, "abcdef");
      reset_peak_memory();
      const size_t before = memory_counters().peak;
      CHECK(mentions(refusal(bytes), "cannot hold them"));
      CHECK(mentions(refusal(gzip(bytes)), "cannot hold them"));
      CHECK(memory_counters().peak == before);
    }
  }

  TEST_CASE("a gzip file that packs as tightly as deflate can is still read") {
    const TemporaryDirectory directory;
    put(directory / "file", gzip(idx_bytes({4000, 1000}, std::string(4000000, '\0'))));
    CHECK(read_idx(directory / "file").shape() == Shape{4000, 1000});
  }

  TEST_CASE("no single wrong byte of an IDX file does worse than an error") {
    const std::string whole = idx_bytes({2, 3}, "abcdef");
    for (const std::string& bytes : {whole, gzip(whole)})
      for (size_t at = 0; at < bytes.size(); ++at)
        for (const int mask : {1, 0x80, 0xff}) {
          std::string damaged = bytes;
          damaged[at] = static_cast<char>(damaged[at] ^ mask);
          refusal(damaged);  // checks that an error, if any, is an Error of one line
        }
  }
}

}  // namespace elbo
