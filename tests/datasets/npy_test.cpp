// .npy files: NumPy's own bytes are read to the values that NumPy shows, ours are NumPy's to the byte, and
// damaged ones are refused.
#include "datasets/npy.h"

#include "tests/datasets/helpers.h"

namespace elbo {
namespace {

/// A string literal with its zero bytes.
template <size_t N>
std::string bytes(const char (&literal)[N]) {
  return {literal, N - 1};
}

/// A .npy file as NumPy lays it out: `header` padded with spaces and a line feed to 128 bytes from the start.
std::string npy(int version, const std::string& header, const std::string& elements) {
  std::string start = bytes("\x93NUMPY") + static_cast<char>(version) + '\0';
  const size_t length = 128 - start.size() - (version == 1 ? 2 : 4);
  start += {static_cast<char>(length), '\0'};
  if (version > 1) start += {'\0', '\0'};
  return start + header + std::string(length - 1 - header.size(), ' ') + '\n' + elements;
}

// What numpy.save of NumPy 2.4 writes, before its padding.
const std::string kF4Header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
const std::string kF4Elements =
    bytes("\x00\x00\xc0?\x00\x00\x00\xc0\x00\x00@@\x00\x00\x80>\xca\xf2Iq\x00\x00\x00\x80");
const std::string kF8Header = "{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }";
const std::string kF8Elements = bytes(
    "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08@\x00\x00\x00\x00\x00\x00\xf0?"
    "\x00\x00\x00\x00\x00\x00\x10@\x00\x00\x00\x00\x00\x00\x00@\x00\x00\x00\x00\x00\x00\x14@");

Tensor read(const std::string& contents) {
  static const TemporaryDirectory directory;
  put(directory / "file", contents);
  return read_npy(directory / "file");
}

std::string refusal(const std::string& contents) {
  return error_of([&] { read(contents); });
}

std::string with_header(const std::string& header) { return npy(1, header, kF4Elements); }

}  // namespace

TEST_SUITE("datasets") {
  TEST_CASE("NumPy's files are read to NumPy's values") {
    const Tensor f4 = read(npy(1, kF4Header, kF4Elements));
    CHECK(f4.dtype() == DType::f32);
    CHECK(f4.shape() == Shape{2, 3});
    CHECK(f4.to_vector() == std::vector<double>{1.5, -2, 3, 0.25, 1e30f, -0.0});
    CHECK(std::signbit(f4.at(5)));

    const Tensor u1 =
        read(npy(2, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", bytes("\x00\x01\xff")));
    CHECK(u1.dtype() == DType::u8);
    CHECK(u1.shape() == Shape{3});
    CHECK(u1.to_vector() == std::vector<double>{0, 1, 255});

    const Tensor i8 = read(npy(3, "{'descr': '<i8', 'fortran_order': False, 'shape': (1, 1, 2), }",
                               bytes("\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00\x00\x01\x00\x00")));
    CHECK(i8.dtype() == DType::i64);
    CHECK(i8.shape() == Shape{1, 1, 2});
    CHECK(i8.to_vector() == std::vector<double>{-1, 1099511627776.0});

    const Tensor scalar = read(npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
                                   bytes("\x00\x00\x00\x00\x00\x00\x04@")));
    CHECK(scalar.rank() == 0);
    CHECK(scalar.item() == 2.5);
  }

  TEST_CASE("integers of every width and booleans are read to their values") {
    const auto values = [](const std::string& type, const std::string& elements, int64_t count) {
      const Tensor array =
          read(npy(1, fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({},), }}", type, count),
                   elements));
      CHECK(array.dtype() == DType::i64);
      return array.to_vector();
    };
    using Values = std::vector<double>;
    CHECK(values("|i1", bytes("\x80\xff\x7f"), 3) == Values{-128, -1, 127});
    CHECK(values("<i2", bytes("\x00\x80\xff\xff\x02\x01"), 3) == Values{-32768, -1, 258});
    CHECK(values("<u2", bytes("\x00\x80\xff\xff"), 2) == Values{32768, 65535});
    CHECK(values("<i4", bytes("\x00\x00\x00\x80\xff\xff\xff\xff\x04\x03\x02\x01"), 3) ==
          Values{-2147483648.0, -1, 16909060});
    CHECK(values("=u4", bytes("\x00\x00\x00\x80\xff\xff\xff\xff"), 2) == Values{2147483648.0, 4294967295.0});
    CHECK(values("<u8", bytes("\x00\x00\x00\x00\x00\x01\x00\x00"), 1) == Values{1099511627776.0});
    const Tensor truths =
        read(npy(1, "{'descr': '|b1', 'fortran_order': False, 'shape': (3,), }", bytes("\x00\x01\x01")));
    CHECK(truths.dtype() == DType::u8);
    CHECK(truths.to_vector() == Values{0, 1, 1});
    const std::string large = "{'descr': '<u8', 'fortran_order': False, 'shape': (1,), }";
    CHECK(mentions(refusal(npy(1, large, bytes("\x00\x00\x00\x00\x00\x00\x00\x80"))),
                   "holds 9223372036854775808, too large"));
    // More than are read at a time, in Fortran order, and cut short.
    std::string many;
    for (int i = 0; i < 3 * 4000; ++i) many += {static_cast<char>(i % 256), static_cast<char>(i / 256)};
    const std::string header = "{'descr': '<i2', 'fortran_order': True, 'shape': (4000, 3), }";
    const Tensor array = read(npy(1, header, many));
    bool right = true;
    for (int i = 0; i < 4000; ++i)
      for (int j = 0; j < 3; ++j) right = right && array.at(3 * i + j) == i + 4000 * j;
    CHECK(right);
    CHECK(mentions(refusal(npy(1, header, many.substr(1))), "cannot hold them"));
    CHECK(mentions(refusal(npy(1, header, many + "x")), "more bytes than its header announces"));
  }

  TEST_CASE("Fortran order is put into C order, in any number of axes") {
    const Tensor f8 = read(npy(1, kF8Header, kF8Elements));
    CHECK(f8.shape() == Shape{2, 3});
    CHECK(f8.to_vector() == std::vector<double>{0, 1, 2, 3, 4, 5});
    // Element (i, j, k) of shape (2, 3, 2) is stored at i + 2 j + 6 k.
    const Tensor cube =
        read(npy(1, "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 2), }", "abcdefghijkl"));
    std::string letters;
    for (const double letter : cube.to_vector()) letters += static_cast<char>(letter);
    CHECK(letters == "agciekbhdjfl");
  }

  TEST_CASE("a header written with other blanks, quotes and order is read too") {
    const Tensor array = read(with_header("{ \"shape\":(2,3) ,'fortran_order' :False,\"descr\":'=f4'}"));
    CHECK(array.to_vector() == read(npy(1, kF4Header, kF4Elements)).to_vector());
  }

  TEST_CASE("what is written is what NumPy writes, to the byte") {
    const TemporaryDirectory directory;
    write_npy(directory / "f4", read(npy(1, kF4Header, kF4Elements)));
    CHECK(read_file(directory / "f4") == npy(1, kF4Header, kF4Elements));
    write_npy(directory / "u1", Tensor::from<uint8_t>({3}, {0, 1, 255}));
    CHECK(read_file(directory / "u1") ==
          npy(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }", bytes("\x00\x01\xff")));
    write_npy(directory / "scalar", Tensor::scalar(2.5, DType::f64));
    CHECK(read_file(directory / "scalar") == npy(1, "{'descr': '<f8', 'fortran_order': False, 'shape': (), }",
                                                 bytes("\x00\x00\x00\x00\x00\x00\x04@")));
  }

  TEST_CASE("arrays of every element type and number of axes come back as they were written") {
    const TemporaryDirectory directory;
    for (const DType dtype : {DType::f32, DType::f64, DType::u8, DType::i64})
      for (const Shape& shape : {Shape{}, Shape{7}, Shape{3, 5}, Shape{2, 3, 4}, Shape{2, 1, 3, 2},
                                 Shape{3, 0}, Shape{1, 1, 1, 1, 1, 1, 1, 123456}}) {
        const Tensor array = Tensor::empty(shape, dtype);
        visit(dtype, [&](auto zero) {
          using T = decltype(zero);
          for (int64_t i = 0; i < array.elements(); ++i) array.data<T>()[i] = static_cast<T>(i * 37 % 255);
        });
        write_npy(directory / "file", array);
        CHECK(read_file(directory / "file").size() % 64 == static_cast<size_t>(array.byte_count()) % 64);
        const Tensor back = read_npy(directory / "file");
        CHECK(back.dtype() == dtype);
        CHECK(back.shape() == shape);
        CHECK(back.to_vector() == array.to_vector());
      }
  }

  TEST_CASE("a failed write leaves the old file") {
    const TemporaryDirectory directory;
    CHECK(mentions(error_of([&] { write_npy(directory / "no/file", Tensor::scalar(1)); }), "cannot write"));
    CHECK(directory.entries() == 0);
  }

  TEST_CASE("other element types and byte orders are refused, naming them") {
    const auto of_type = [](const std::string& type) {
      return refusal(with_header("{'descr': " + type + ", 'fortran_order': False, 'shape': (2, 3), }"));
    };
    REQUIRE(of_type("'<f4'") == "");
    CHECK(mentions(of_type("'>f4'"), "elements of type '>f4'; floats f4 and f8, integers"));
    for (const char* type :
         {"'<f2'", "'<c8'", "'|O'", "'<U3'", "'|S1'", "'f4'", "'<'", "'<i3'", "'<i16'", "'<b2'"})
      CHECK(mentions(of_type(type), "elements of type"));
    // The advice leads to a type that is read.
    for (const auto& [type, advice] : {std::pair{"'<f2'", "save array.astype('<f4')"},
                                       {"'>f4'", "save array.astype('<f4')"},
                                       {"'>f8'", "save array.astype('<f8')"},
                                       {"'<f16'", "save array.astype('<f8')"},
                                       {"'>i4'", "save array.astype('<i8')"},
                                       {"'>u2'", "save array.astype('<i8')"},
                                       {"'<c8'", "only real numbers are read"},
                                       {"'|O'", "only real numbers are read"},
                                       {"'<M8[ns]'", "only real numbers are read"}})
      CHECK(mentions(of_type(type), advice));
    CHECK(mentions(of_type("[('a', '<f4'), ('b', '<i4')]"), "named fields"));
    CHECK(mentions(of_type("''"), "missing"));
  }

  TEST_CASE("a damaged header is refused, saying how") {
    CHECK(mentions(refusal("no such format"), "not a .npy file"));
    CHECK(mentions(refusal("PK\x03\x04 an .npz archive"), "not a .npy file"));
    CHECK(mentions(refusal(npy(4, kF4Header, kF4Elements)), "unknown format version 4"));
    CHECK(mentions(refusal(bytes("\x93NUMPY\x02\x00\xff\xff\xff\xff{}")), "bytes long"));
    const auto broken = [](const std::string& header) { return refusal(with_header(header)); };
    CHECK(mentions(broken(""), "'{' was expected at byte"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), "),
                   "a quoted word was expected"));
    CHECK(mentions(broken("{'descr': '<f4, 'fortran_order': False, 'shape': (2, 3), }"), "is missing"));
    CHECK(mentions(broken("{'descr': '<f4"), "does not end"));
    CHECK(mentions(broken("{'fortran_order': False, 'shape': (2, 3), }"),
                   "descr, fortran_order or shape is missing"));
    CHECK(
        mentions(broken("{'descr': '<f4', 'shape': (2, 3), }"), "descr, fortran_order or shape is missing"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, }"),
                   "descr, fortran_order or shape is missing"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }"),
                   "neither True nor False"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': 6, }"), "'(' was expected"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }"), "not a tuple"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }"),
                   "other than a size"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (1e3,), }"), "not a tuple"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }"),
                   "impossible"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }"),
                   "damaged header: more than 8 axes"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'x': 1}"),
                   "unknown key 'x'"));
    CHECK(mentions(broken("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } x"), "text follows"));
  }

  TEST_CASE("a .npy file that is shorter or longer than its header says is refused") {
    const std::string whole = npy(1, kF4Header, kF4Elements);
    REQUIRE(refusal(whole) == "");
    for (size_t length = 0; length < whole.size(); ++length)
      CHECK(mentions(refusal(whole.substr(0, length)), "truncated"));
    CHECK(mentions(refusal(whole + "x"), "more bytes than its header announces"));
    CHECK(mentions(refusal(npy(1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0), }", "x")),
                   "more bytes"));
  }

  TEST_CASE("a huge shape on a small file allocates nothing") {
    for (const char* shape :
         {"(400000,)", "(9223372036854775,)", "(4294967296, 4294967296)", "(3037000500, 3037000500)",
          "(4611686018427387904, 2, 0)", "(922337203685477579,)"}) {
      const std::string contents = npy(
          1, "{'descr': '<f8', 'fortran_order': False, 'shape': " + std::string(shape) + ", }", "12345678");
      reset_peak_memory();
      const size_t before = memory_counters().peak;
      CHECK(mentions(refusal(contents), "cannot hold them"));
      CHECK(memory_counters().peak == before);
    }
  }

  TEST_CASE("no single wrong byte of a .npy file does worse than an error") {
    const std::string whole = npy(1, kF8Header, kF8Elements);
    for (size_t at = 0; at < whole.size(); ++at)
      for (const int mask : {1, 0x10, 0xff}) {
        std::string damaged = whole;
        damaged[at] = static_cast<char>(damaged[at] ^ mask);
        refusal(damaged);  // checks that an error, if any, is an Error of one line
      }
  }
}

}  // namespace elbo
