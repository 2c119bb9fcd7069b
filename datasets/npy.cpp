#include "datasets/npy.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <limits>
#include <optional>
#include <utility>

#include "datasets/byte_reader.h"

namespace elbo {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are copied as they lie in the file");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr uint32_t kLongestHeader = 65536;  // of arrays without named fields a hundred bytes are usual

struct Header {
  std::string descr;  // NumPy's element type, "<f4"
  std::optional<bool> fortran_order;
  std::optional<Shape> shape;
};

/// Reads the Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Header parse() {
    Header header;
    expect('{');
    while (!accept('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr")
        header.descr = string();
      else if (key == "fortran_order")
        header.fortran_order = boolean();
      else if (key == "shape")
        header.shape = tuple();
      else
        damaged("it has the unknown key " + quote(key));
      if (!accept(',') && peek() != '}') damaged("',' or '}' is missing");
    }
    if (peek() != '\0') damaged("text follows the dictionary");
    if (header.descr.empty() || !header.fortran_order || !header.shape)
      damaged("descr, fortran_order or shape is missing");
    return header;
  }

 private:
  [[noreturn]] void damaged(const std::string& what) const {
    fail("[npy] {} has a damaged header: {}; write the file again", quote(path_), what);
  }
  char peek() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool accept(char wanted) {
    if (peek() != wanted) return false;
    ++at_;
    return true;
  }
  void expect(char wanted) {
    if (!accept(wanted)) damaged(fmt::format("'{}' was expected at byte {}", wanted, at_));
  }
  std::string string() {
    const char mark = peek();
    if (mark == '[') fail("[npy] {} has named fields; only plain arrays are read", quote(path_));
    if (mark != '\'' && mark != '"') damaged(fmt::format("a quoted word was expected at byte {}", at_));
    const size_t end = text_.find(mark, at_ + 1);
    if (end == std::string_view::npos) damaged("a quoted word does not end");
    const std::string word(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return word;
  }
  bool boolean() {
    peek();
    for (const std::string_view word : {"True", "False"}) {
      if (text_.substr(at_, word.size()) != word) continue;
      at_ += word.size();
      return word == "True";
    }
    damaged("fortran_order is neither True nor False");
  }
  int64_t number() {
    if (!std::isdigit(static_cast<unsigned char>(peek()))) damaged("shape holds something other than a size");
    int64_t value = 0;
    for (; at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])); ++at_) {
      if (value > std::numeric_limits<int64_t>::max() / 10 - 1) damaged("shape holds an impossible size");
      value = 10 * value + (text_[at_] - '0');
    }
    return value;
  }
  Shape tuple() {
    Shape shape;
    expect('(');
    while (!accept(')')) {
      const int64_t size = number();
      if (shape.rank() == Shape::kMaxRank) damaged(fmt::format("more than {} axes", Shape::kMaxRank));
      shape.push_back(size);
      if (!accept(',') && peek() != ')') damaged("shape is not a tuple");
    }
    return shape;
  }

  std::string_view text_;
  const std::string& path_;
  size_t at_ = 0;
};

/// What an element type's numbers become, and how they are stored.
struct ElementType {
  DType dtype;
  int64_t bytes;          // of a stored element
  bool is_signed = true;  // of an integer
};

/// How to save the same numbers so that they can be read.
const char* advice(const std::string& type) {
  if (type == "f8" || type == "f16") return "save array.astype('<f8')";
  if (type.starts_with('f')) return "save array.astype('<f4')";
  if (type.starts_with('i') || type.starts_with('u')) return "save array.astype('<i8')";
  return "only real numbers are read";
}

ElementType element_type(const std::string& descr, const std::string& path) {
  const std::string type = descr.substr(1);
  const bool one_byte = type == "i1" || type == "u1" || type == "b1";
  if (descr[0] == '<' || descr[0] == '=' || descr[0] == '|' || one_byte) {
    if (type == "f4") return {DType::f32, 4};
    if (type == "f8") return {DType::f64, 8};
    if (type == "u1" || type == "b1") return {DType::u8, 1};
    for (const int64_t bytes : {1, 2, 4, 8})
      if (const char sign = type.empty() ? '\0' : type[0];
          (sign == 'i' || sign == 'u') && type.substr(1) == std::to_string(bytes))
        return {DType::i64, bytes, sign == 'i'};
  }
  fail(
      "[npy] {} holds elements of type {}; floats f4 and f8, integers and booleans, little-endian, are read: "
      "{}",
      quote(path), quote(descr), advice(type));
}

/// Reads integers of any width, block by block, into i64.
template <class Stored>
void read_widened(ByteReader& file, const Tensor& array) {
  std::array<Stored, 4096> block;
  for (auto left = array.span<int64_t>(); !left.empty();) {
    const auto part = std::span(block).first(std::min(block.size(), left.size()));
    file.read(std::as_writable_bytes(part));
    for (size_t i = 0; i < part.size(); ++i) {
      if (!std::in_range<int64_t>(part[i]))
        fail("[npy] {} holds {}, too large for a signed integer of 64 bits; save array.astype('<f8')",
             quote(file.path()), part[i]);
      left[i] = static_cast<int64_t>(part[i]);
    }
    left = left.subspan(part.size());
  }
}

void read_elements(ByteReader& file, const ElementType& type, const Tensor& array) {
  const auto widen = [&](auto with_sign, auto without) {
    type.is_signed ? read_widened<decltype(with_sign)>(file, array)
                   : read_widened<decltype(without)>(file, array);
  };
  if (type.bytes == size_of(array.dtype()) && type.is_signed)
    file.read(std::span(static_cast<std::byte*>(array.bytes()), static_cast<size_t>(array.byte_count())));
  else if (type.bytes == 1)
    widen(int8_t{}, uint8_t{});
  else if (type.bytes == 2)
    widen(int16_t{}, uint16_t{});
  else if (type.bytes == 4)
    widen(int32_t{}, uint32_t{});
  else
    widen(int64_t{}, uint64_t{});
}

/// The same array in C order; `stored` holds its elements with the first axis running fastest.
Tensor from_fortran_order(const Tensor& stored) {
  const Shape& shape = stored.shape();
  Tensor array = Tensor::empty(shape, stored.dtype());
  visit(stored.dtype(), [&](auto zero) {
    using T = decltype(zero);
    const T* from = stored.data<T>();
    for (T& to : array.span<T>()) {
      const int64_t flat = &to - array.data<T>();
      int64_t rest = flat, offset = 0, stride = stored.elements();
      for (int axis = shape.rank() - 1; axis >= 0; --axis) {
        stride /= shape[axis];
        offset += rest % shape[axis] * stride;
        rest /= shape[axis];
      }
      to = from[offset];
    }
  });
  return array;
}

const char* descr_of(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::f64:
      return "<f8";
    case DType::u8:
      return "|u1";
    case DType::i64:
      break;
  }
  return "<i8";
}

Header read_header(ByteReader& file) {
  const std::string& path = file.path();
  std::array<char, 8> start;  // magic, major and minor version
  file.read(std::as_writable_bytes(std::span(start)));
  if (std::string_view(start.data(), kMagic.size()) != kMagic)
    fail("[npy] {} is not a .npy file; write it with numpy.save", quote(path));
  const int major = static_cast<unsigned char>(start[6]);
  if (major < 1 || major > 3) fail("[npy] {} has the unknown format version {}", quote(path), major);
  uint32_t length = 0;
  file.read(std::as_writable_bytes(std::span(&length, 1)).first(major == 1 ? 2 : 4));
  if (length > kLongestHeader) fail("[npy] {} has a damaged header: {} bytes long", quote(path), length);
  std::string text(length, '\0');
  file.read(std::as_writable_bytes(std::span(text)));

  return HeaderParser(text, path).parse();
}

}  // namespace

DType npy_type(const std::string& path) {
  ByteReader file(path);
  return element_type(read_header(file).descr, path).dtype;
}

Tensor read_npy(const std::string& path, int64_t most) {
  ByteReader file(path);
  const Header header = read_header(file);
  const ElementType type = element_type(header.descr, path);
  file.check_holds(*header.shape, type.bytes);
  const bool mixed = *header.fortran_order && header.shape->rank() > 1 && header.shape->elements() > 0;
  Shape shape = *header.shape;
  const bool in_part = most > 0 && shape.rank() > 0 && shape[0] > most;
  if (in_part && !mixed) shape[0] = most;
  Tensor array = Tensor::empty(shape, type.dtype);
  read_elements(file, type, array);
  if (!in_part || mixed) file.expect_end();
  if (!mixed) return array;
  array = from_fortran_order(array);
  return in_part ? array.slice(0, most).clone() : array;
}

std::string npy_header(DType dtype, const Shape& shape) {
  std::string sizes;
  for (int axis = 0; axis < shape.rank(); ++axis) sizes += fmt::format("{}, ", shape[axis]);
  if (shape.rank() > 1) sizes.resize(sizes.size() - 2);
  if (shape.rank() == 1) sizes.resize(sizes.size() - 1);  // a tuple of one keeps its comma
  std::string header =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr_of(dtype), sizes);
  // Spaces and a line feed bring the elements to a multiple of 64 bytes.
  const size_t before = kMagic.size() + 4;
  header.append(63 - (before + header.size()) % 64, ' ');
  header += '\n';
  std::string start(kMagic);
  start += {1, 0, static_cast<char>(header.size() % 256), static_cast<char>(header.size() / 256)};
  return start + header;
}

void write_npy(const std::string& path, const Tensor& array) {
  const std::string header = npy_header(array.dtype(), array.shape());
  const std::string_view elements(static_cast<const char*>(array.bytes()),
                                  static_cast<size_t>(array.byte_count()));
  write_file_atomically(path, std::array<std::string_view, 2>{header, elements});
}

}  // namespace elbo
