// safetensors: what is written reads back, here and in the reference implementation, and no file, however
// damaged, does worse than one clean Error.
#include "nn/safetensors.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "tensor/file.h"
#include "tensor/random.h"
#include "tests/error_of.h"
#include "tests/temporary_directory.h"

namespace elbo {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.bytes(), b.bytes(), static_cast<size_t>(a.byte_count())) == 0;
}

std::string length_of(uint64_t length) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes;
}

/// A file with any header text and any data.
std::string file_of(const std::string& header, const std::string& data = "") {
  return length_of(header.size()) + header + data;
}

/// A file with these bytes, without the wait for the disk that an atomic write takes.
void put(const std::string& path, const std::string& bytes) {
  std::filesystem::remove(path);  // truncating it instead makes some file systems wait as well
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

SafetensorsFile read_bytes(const std::string& bytes) {
  const TemporaryDirectory directory;
  put(directory / "file.safetensors", bytes);
  return read_safetensors(directory / "file.safetensors");
}

/// Why a file with this header and `zeros` zero bytes of data is refused.
std::string refusal(const std::string& header, size_t zeros = 0) {
  return error_of([&] { read_bytes(file_of(header, std::string(zeros, '\0'))); });
}

/// A header of one f32 tensor `x`.
std::string entry(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  return R"({"x":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}";
}

/// One tensor of every dtype and of every kind of shape, with a u8 one first to upset alignment.
std::vector<NamedTensor> examples() {
  return {{"image", Tensor::from<uint8_t>({3}, {0, 7, 255})},
          {"decoder.0.weight", Tensor::from<float>({2, 1, 2}, {1.5f, -0.0f, kNaN, -INFINITY})},
          {"scalar", Tensor::scalar(3.25, DType::f64)},
          {"labels", Tensor::from<int64_t>({2}, {INT64_MIN, INT64_MAX})},
          {"empty", Tensor::empty({0, 3})},
          {"eight axes", Tensor::zeros({1, 1, 1, 1, 1, 1, 1, 2})},
          {"names \"quoted\"\n\xc3\xbc", Tensor::scalar(1)}};
}
const std::map<std::string, std::string> kExampleMetadata = {{"framework", "elbo"},
                                                             {"", "a\tb\\\xe2\x82\xac"}};

std::string bytes_of(const std::vector<NamedTensor>& tensors,
                     const std::map<std::string, std::string>& metadata = {}) {
  const TemporaryDirectory directory;
  write_safetensors(directory / "file", tensors, metadata);
  return read_file(directory / "file");
}

}  // namespace

TEST_SUITE("nn") {
  TEST_CASE("safetensors: every dtype and shape comes back bit for bit, in order, with its metadata") {
    const TemporaryDirectory directory;
    const std::string path = directory / "model.safetensors";
    const std::vector<NamedTensor> tensors = examples();
    write_safetensors(path, tensors, kExampleMetadata);
    const SafetensorsFile file = read_safetensors(path);
    REQUIRE(file.tensors.size() == tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      CAPTURE(tensors[i].name);
      CHECK(file.tensors[i].name == tensors[i].name);
      CHECK(same_bits(file.tensors[i].value, tensors[i].value));
    }
    CHECK(file.metadata == kExampleMetadata);
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("safetensors: the bytes written are these") {
    const std::string header =
        R"({"__metadata__":{"k":"v"},"u":{"dtype":"U8","shape":[1],"data_offsets":[12,13]},)"
        R"("f":{"dtype":"F32","shape":[1],"data_offsets":[8,12]},)"
        R"("i":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})"
        "      ";
    REQUIRE(header.size() % 8 == 0);
    const std::string data("\x01\x02\0\0\0\0\0\x80\0\0\x80\x3f\xc8", 13);  // widest first, little-endian
    const std::string bytes = bytes_of({{"u", Tensor::full({1}, 200, DType::u8)},
                                        {"f", Tensor::full({1}, 1)},
                                        {"i", Tensor::from<int64_t>({}, {INT64_MIN + 0x201})}},
                                       {{"k", "v"}});
    CHECK(bytes == file_of(header, data));
  }

  TEST_CASE("safetensors: the data begins 8-byte aligned whatever the length of the header") {
    for (int length = 1; length <= 9; ++length) {
      const std::string bytes =
          bytes_of({{std::string(static_cast<size_t>(length), 'n'), Tensor::scalar(1)}});
      uint64_t header = 0;
      std::memcpy(&header, bytes.data(), 8);
      CHECK(header % 8 == 0);
      CHECK(bytes.size() == 8 + header + 4);
    }
  }

  TEST_CASE("safetensors: a file without tensors is a file") {
    CHECK(bytes_of({}) == file_of("{}      "));
    CHECK(read_bytes(bytes_of({})).tensors.empty());
    CHECK(read_bytes(bytes_of({}, {{"k", "v"}})).metadata.at("k") == "v");
  }

  TEST_CASE("safetensors: a file written by the reference implementation (0.8.0) is read") {
    const std::string header = R"({"__metadata__":{"k":")"
                               "\xc3\xbc"
                               R"(","framework":"np"},"i":{"dtype":"I64","shape":[2],"data_offsets":[0,16]},)"
                               R"("d":{"dtype":"F64","shape":[],"data_offsets":[16,24]},)"
                               R"("e":{"dtype":"F32","shape":[0,3],"data_offsets":[24,24]},)"
                               R"("w":{"dtype":"F32","shape":[1,3],"data_offsets":[24,36]},)"
                               R"("h":{"dtype":"F16","shape":[3],"data_offsets":[36,42]},)"
                               R"("u":{"dtype":"U8","shape":[3],"data_offsets":[42,45]}} )";
    const std::string data(
        "\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\x40\x18\x2d\x44\x54\xfb\x21\x09\x40"
        "\0\0\xc0\x3f\0\0\0\xc0\0\0\xc0\x7f\0\x3c\0\xb8\xff\x7b\0\x01\x02",
        45);
    const SafetensorsFile file = read_bytes(file_of(header, data));
    CHECK(file.tensors.size() == 6);
    CHECK(file.metadata.at("k") == "\xc3\xbc");
    CHECK(same_bits(file.at("i"), Tensor::from<int64_t>({2}, {-1, int64_t{1} << 62})));
    CHECK(same_bits(file.at("d"), Tensor::scalar(3.14159265358979323846, DType::f64)));
    CHECK(same_bits(file.at("e"), Tensor::empty({0, 3})));
    CHECK(same_bits(file.at("w"), Tensor::from<float>({1, 3}, {1.5f, -2.0f, kNaN})));
    CHECK(same_bits(file.at("h"), Tensor::from<float>({3}, {1.0f, -0.5f, 65504.0f})));
    CHECK(same_bits(file.at("u"), Tensor::from<uint8_t>({3}, {0, 1, 2})));
  }

  TEST_CASE("safetensors: every half-precision number is read exactly") {
    std::string data(2 * 65536, '\0');
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      data[2 * bits] = static_cast<char>(bits & 0xff);
      data[2 * bits + 1] = static_cast<char>(bits >> 8);
    }
    const SafetensorsFile f16 = read_bytes(file_of(entry("[65536]", "[0,131072]", "F16"), data));
    const SafetensorsFile bf16 = read_bytes(file_of(entry("[65536]", "[0,131072]", "BF16"), data));
    const auto value = [](int sign, int exponent, int exponent_bits, int fraction, int fraction_bits) {
      const int bias = (1 << (exponent_bits - 1)) - 1;
      double magnitude = std::ldexp(fraction, -fraction_bits);
      if (exponent == (1 << exponent_bits) - 1)
        magnitude = fraction ? NAN : INFINITY;
      else if (exponent == 0)
        magnitude = std::ldexp(magnitude, 1 - bias);
      else
        magnitude = std::ldexp(1 + magnitude, exponent - bias);
      return static_cast<float>(sign ? -magnitude : magnitude);
    };
    const auto differs = [](float got, float expected) {
      if (std::isnan(expected)) return !std::isnan(got);
      return std::bit_cast<uint32_t>(got) != std::bit_cast<uint32_t>(expected);
    };
    int wrong_f16 = 0, wrong_bf16 = 0;
    for (int bits = 0; bits < 65536; ++bits) {
      wrong_f16 +=
          differs(f16.at("x").data<float>()[bits], value(bits >> 15, bits >> 10 & 31, 5, bits & 1023, 10));
      wrong_bf16 +=
          differs(bf16.at("x").data<float>()[bits], value(bits >> 15, bits >> 7 & 255, 8, bits & 127, 7));
    }
    CHECK(wrong_f16 == 0);
    CHECK(wrong_bf16 == 0);
  }

  TEST_CASE("safetensors: a name that is not there is an error that lists those that are") {
    const SafetensorsFile file = read_bytes(bytes_of({{"a", Tensor::scalar(1)}, {"b", Tensor::scalar(2)}}));
    CHECK(file.at("b").item() == 2);
    CHECK(file.contains("a"));
    CHECK_FALSE(file.contains("c"));
    CHECK(mentions(error_of([&] { file.at("c"); }), "has no tensor 'c'; it has 'a', 'b'"));
    CHECK(mentions(error_of([&] { read_bytes(bytes_of({})).at("c"); }), "it has none"));
    std::vector<NamedTensor> many;
    for (int i = 0; i < 25; ++i) many.push_back({std::to_string(i), Tensor::scalar(i)});
    CHECK(mentions(error_of([&] { read_bytes(bytes_of(many)).at("c"); }), "'19' and 5 more"));
  }

  TEST_CASE("safetensors: what cannot be written is refused and the old file stays") {
    const TemporaryDirectory directory;
    const std::string path = directory / "file";
    write_safetensors(path, {{"a", Tensor::scalar(1)}});
    const std::string before = read_file(path);
    const Tensor one = Tensor::scalar(1);
    const auto refused = [&](const std::vector<NamedTensor>& tensors,
                             const std::map<std::string, std::string>& meta) {
      return error_of([&] { write_safetensors(path, tensors, meta); });
    };
    CHECK(mentions(refused({{"a", one}, {"b", one}, {"a", one}}, {}), "two tensors are named 'a'"));
    CHECK(mentions(refused({{"__metadata__", one}}, {}), "reserved"));
    CHECK(mentions(refused({{"a", one}, {"b", Tensor()}}, {}), "'b' has no value"));
    CHECK(mentions(refused({{"\xff", one}}, {}), "not UTF-8"));
    CHECK(mentions(refused({}, {{"k", "\xc3"}}), "not UTF-8"));
    CHECK(mentions(refused({}, {{"k", std::string(100'000'000, 'v')}}), "over the format's limit"));
    CHECK(mentions(error_of([&] { write_safetensors(path + "/x", {{"a", one}}); }), "Not a directory"));
    CHECK(mentions(error_of([&] { write_safetensors("/dev/full", {{"a", one}}); }), "No space left"));
    CHECK(read_file(path) == before);
    CHECK(directory.entries() == 1);
  }

  TEST_CASE("safetensors: a file cut anywhere, or with bytes after its end, is refused") {
    const std::string whole = bytes_of(examples(), kExampleMetadata);
    const TemporaryDirectory directory;
    const std::string path = directory / "cut";
    int accepted = 0;
    for (size_t length = 0; length < whole.size(); ++length) {
      put(path, whole.substr(0, length));
      accepted += error_of([&] { read_safetensors(path); }).empty();
    }
    CHECK(accepted == 0);
    CHECK(mentions(error_of([&] { read_bytes(whole.substr(0, 7)); }), "has 7 bytes, too few"));
    CHECK(mentions(error_of([&] { read_bytes(whole + '\0'); }), "is it complete?"));
    CHECK(error_of([&] { read_bytes(whole); }) == "");
    CHECK(mentions(error_of([&] { read_safetensors(directory / "absent"); }), "No such file"));
    CHECK(mentions(error_of([&] { read_safetensors(directory.path()); }), "a directory"));
  }

  TEST_CASE("safetensors: a header length beyond the file or the format's limit asks for no memory") {
    for (uint64_t length : {uint64_t{11}, uint64_t{1} << 40, uint64_t{1} << 63, ~uint64_t{0}, ~uint64_t{7}})
      CHECK(mentions(error_of([&] { read_bytes(length_of(length) + "{}        "); }), "cannot be in a file"));
    // The file is as long as it says, but takes no disk space.
    const TemporaryDirectory directory;
    const std::string path = directory / "sparse";
    put(path, length_of(100'000'001) + "{}");
    std::filesystem::resize_file(path, 200'000'000);
    CHECK(mentions(error_of([&] { read_safetensors(path); }), "cannot be in a file"));
  }

  TEST_CASE("safetensors: a header that is not a JSON object is refused") {
    for (const char* header : {"", " {}", "[]", "1", "\"text\"", "null", "\xef\xbb\xbf{}", "x"})
      CHECK(mentions(refusal(header), "not a JSON object"));
    CHECK(mentions(refusal(std::string("{}\0\0", 4)), "not a JSON object"));
    for (const char* header :
         {"{", "{}}", "{} x", "{\"a\"", "{\"a\":", "{\"a\":{", "{\"\xff\":{}}", "{'a':{}}", "{,}"})
      CHECK(mentions(refusal(header), "not valid JSON at its byte"));
    CHECK(refusal("{ }\n\t ") == "");
  }

  TEST_CASE("safetensors: a header of the wrong structure is refused, with the name of the culprit") {
    CHECK(refusal(entry("[2]", "[0,8]"), 8) == "");
    for (const char* value : {"1", "null", "true", "\"s\"", "[]", "-1", "1.5"})
      CHECK(mentions(refusal(R"({"x":)" + std::string(value) + "}"), "'x'"));
    CHECK(mentions(refusal(R"({"x":{}})"), "lacks a dtype"));
    CHECK(mentions(refusal(R"({"x":{"dtype":"F32","data_offsets":[0,4]}})", 4), "lacks a shape"));
    CHECK(mentions(refusal(R"({"x":{"dtype":"F32","shape":[1]}})", 4), "lacks data_offsets"));
    CHECK(mentions(refusal(R"({"x":{"dtype":1}})"), "the dtype of tensor 'x' may not be a number"));
    CHECK(mentions(refusal(R"({"x":{"dtype":["F32"]}})"), "may not be a list"));
    CHECK(mentions(refusal(R"({"x":{"dtype":{}}})"), "may not be an object"));
    CHECK(mentions(refusal(R"({"x":{"shape":"1"}})"), "the shape of tensor 'x' may not be a string"));
    CHECK(mentions(refusal(R"({"x":{"shape":[[1]]}})"), "may not be a list"));
    CHECK(mentions(refusal(R"({"x":{"shape":[{}]}})"), "may not be an object"));
    CHECK(mentions(refusal(R"({"x":{"shape":["1"]}})"), "may not be a string"));
    CHECK(mentions(refusal(R"({"x":{"shape":[null]}})"), "may not be null"));
    CHECK(mentions(refusal(R"({"x":{"strides":[1]}})"), "unknown field 'strides'"));
    CHECK(mentions(refusal(R"({"x":{"dtype":"F32","dtype":"F32"}})"), "its dtype twice"));
    CHECK(mentions(refusal(R"({"x":{"shape":[],"shape":[]}})"), "its shape twice"));
    CHECK(mentions(refusal(R"({"x":{"data_offsets":[],"data_offsets":[]}})"), "its data_offsets twice"));
    const std::string empty = R"("x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
    CHECK(mentions(refusal("{" + empty + "," + empty + "}"), "the name 'x' comes twice"));
    CHECK(mentions(refusal(R"({"__metadata__":{},"__metadata__":{}})"), "'__metadata__' comes twice"));
    CHECK(mentions(refusal(R"({"__metadata__":{"k":"a","k":"b"}})"), "metadata key 'k' comes twice"));
    CHECK(mentions(refusal(R"({"__metadata__":{"k":1}})"), "the metadata 'k' may not be a number"));
    CHECK(mentions(refusal(R"({"__metadata__":{"k":{}}})"), "the metadata 'k' may not be an object"));
    CHECK(mentions(refusal(R"({"__metadata__":[]})"), "'__metadata__' may not be a list"));
    CHECK(mentions(refusal(R"({"a\nb":1})"), "a\\x0ab"));
  }

  TEST_CASE("safetensors: shapes, dtypes and offsets that do not fit each other or the file are refused") {
    CHECK(mentions(refusal(entry("[1]", "[0,1]", "I8"), 1), "tensor 'x' has dtype 'I8'; elbo reads F32"));
    CHECK(mentions(refusal(entry("[1]", "[0,4]", "f32"), 4), "dtype 'f32'"));
    CHECK(
        mentions(refusal(entry("[-1]", "[0,4]"), 4), "the shape of tensor 'x' holds -1, which is negative"));
    CHECK(mentions(refusal(entry("[1]", "[-4,0]"), 4), "holds -4, which is negative"));
    CHECK(mentions(refusal(entry("[1.0]", "[0,4]"), 4), "'1.0', which is no integer"));
    CHECK(mentions(refusal(entry("[1e400]", "[0,4]"), 4), "not valid JSON"));
    CHECK(mentions(refusal(entry("[18446744073709551616]", "[0,0]")), "which is no integer of 64 bits"));
    CHECK(mentions(refusal(entry("[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4), "at most 8 axes"));
    CHECK(mentions(refusal(entry("[1]", "[0,4,8,12,16,20,24,28,32]"), 4), "more than 8 numbers"));
    for (const char* shape : {"[18446744073709551615]", "[9223372036854775808]", "[4294967296,4294967296]",
                              "[4611686018427387904]", "[0,4611686018427387904]", "[4294967296,4294967296,0]",
                              "[4294967296,0,4294967296]"})
      CHECK(mentions(refusal(entry(shape, "[0,0]")), "overflows"));
    CHECK(refusal(entry("[1000000000000,0]", "[0,0]")) == "");
    for (const char* offsets : {"[]", "[0]", "[0,8,8]", "[8,0]", "[0,7]", "[0,9]", "[0,18446744073709551615]",
                                "[18446744073709551612,4]"})
      CHECK(mentions(refusal(entry("[2]", offsets), 8), "do not span the 8 bytes of F32 (2,)"));
    // Claims far beyond the file: refused by comparison with its size, before memory is asked for.
    CHECK(mentions(refusal(entry("[1000000000000]", "[0,4000000000000]"), 8), "the file has 8"));
    CHECK(mentions(refusal(entry("[2]", "[4,12]"), 12), "leaves a gap from 0"));
    CHECK(mentions(refusal(entry("[2]", "[0,8]"), 9), "the file has 9"));
    CHECK(mentions(refusal(entry("[2]", "[0,8]"), 7), "the file has 7"));
    const auto two = [](const std::string& first, const std::string& second) {
      return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
             R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
    };
    CHECK(refusal(two("[0,4]", "[4,8]"), 8) == "");
    CHECK(refusal(two("[4,8]", "[0,4]"), 8) == "");
    CHECK(mentions(refusal(two("[0,4]", "[3,7]"), 7), "'b' starts at byte 3 of the data, which overlaps"));
    CHECK(mentions(refusal(two("[0,4]", "[0,4]"), 4), "overlaps"));
    CHECK(mentions(refusal(two("[0,4]", "[5,9]"), 9), "leaves a gap from 4"));
    CHECK(mentions(refusal(two("[0,4]", "[18446744073709551612,18446744073709551616]"), 8), "no integer"));
    CHECK(mentions(refusal(two("[0,4]", "[18446744073709551611,18446744073709551615]"), 8), "leaves a gap"));
  }

  TEST_CASE("safetensors: hostile depth and length of JSON cost nothing") {
    const size_t many = 300'000;
    std::string objects;
    for (size_t i = 0; i < many; ++i) objects += "{\"dtype\":";
    CHECK(mentions(refusal(objects), "may not be an object"));
    CHECK(mentions(refusal("{\"x\":" + std::string(many, '[')), "may not be a list"));
    std::string list = "[1";
    for (size_t i = 0; i < many; ++i) list += ",1";
    CHECK(mentions(refusal(entry(list + "]", "[0,4]"), 4), "more than 8 numbers"));
    CHECK(refusal("{\"" + std::string(many, 'n') + "\":1}").size() < 500);
    CHECK(refusal(entry("[1]", "[0,4]", std::string(many, 'F')), 4).size() < 500);
    CHECK(refusal(entry("[" + std::string(many, '1') + "]", "[0,4]"), 4).size() < 500);
  }

  TEST_CASE("safetensors: random damage ends in success or an Error, never in anything else") {
    const std::string whole = bytes_of(examples(), kExampleMetadata);
    uint64_t header = 0;
    std::memcpy(&header, whole.data(), 8);
    const TemporaryDirectory directory;
    const std::string path = directory / "damaged";
    constexpr uint32_t kTrials = 4000;
    // Bytes of JSON, so that some damage gets past the parser.
    const std::string json = "{}[]\",:0123456789-.eF \\\n";
    int read = 0, refused = 0;
    for (uint32_t trial = 0; trial < kTrials; ++trial) {
      const RandomKey key{.seed = 5, .stream = kTestInput, .step = trial};
      const PhiloxBlock plan = random_block(key, 0);
      std::string bytes = whole;
      const uint32_t changes = 1 + plan.word[0] % 4;
      for (uint32_t change = 1; change <= changes; ++change) {
        const PhiloxBlock draw = random_block(key, change);
        // Half of the changes hit the header's text, where the structure is.
        const size_t at = draw.word[0] % 2 ? 8 + draw.word[1] % header : draw.word[1] % bytes.size();
        const char random = static_cast<char>(draw.word[2] & 0xff);
        switch (draw.word[3] % 5) {
          case 0:
            bytes[at] = random;
            break;
          case 1:
            bytes[at] = static_cast<char>(bytes[at] ^ 1 << draw.word[2] % 8);
            break;
          case 2:
            bytes[at] = json[draw.word[2] % json.size()];
            break;
          case 3:
            bytes.erase(at, 1 + draw.word[2] % 8);
            break;
          case 4:
            bytes.insert(at, bytes.substr(draw.word[2] % bytes.size(), 1 + draw.word[2] % 16));
            break;
        }
        if (bytes.size() <= 8 + header) bytes = whole;
      }
      put(path, bytes);
      try {
        int64_t total = 0;
        for (const NamedTensor& tensor : read_safetensors(path).tensors) total += tensor.value.byte_count();
        CHECK(total <= static_cast<int64_t>(bytes.size()));
        ++read;
      } catch (const Error& error) {
        if (std::strchr(error.what(), '\n')) FAIL_CHECK(error.what());
        ++refused;
      }
    }
    // Both happen: damage to a value's bytes cannot be seen, damage to the structure must be.
    CHECK(read > 50);
    CHECK(refused > 1000);
    CHECK(read + refused == kTrials);
  }
}

}  // namespace elbo
