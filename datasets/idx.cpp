#include "datasets/idx.h"

#include "datasets/byte_reader.h"

namespace elbo {
namespace {

Shape read_header(ByteReader& file) {
  const std::string& path = file.path();
  // Two zero bytes, the element type (8 is unsigned byte), the number of axes; then one 32-bit size per axis.
  std::array<uint8_t, 4> magic;
  file.read(std::as_writable_bytes(std::span(magic)));
  if (magic[0] != 0 || magic[1] != 0 || magic[3] == 0 || magic[3] > Shape::kMaxRank)
    fail(
        "[idx] {} is not an IDX file: it starts with {:02x} {:02x} {:02x} {:02x}, not 00 00 08 and a number "
        "of axes",
        quote(path), magic[0], magic[1], magic[2], magic[3]);
  if (magic[2] != 8)
    fail("[idx] {} holds elements of type 0x{:02x}; only unsigned bytes (0x08) are read", quote(path),
         magic[2]);
  Shape shape;
  for (int axis = 0; axis < magic[3]; ++axis) {
    std::array<uint8_t, 4> size;
    file.read(std::as_writable_bytes(std::span(size)));
    shape.push_back(int64_t{size[0]} << 24 | int64_t{size[1]} << 16 | int64_t{size[2]} << 8 |
                    int64_t{size[3]});
    if (shape[axis] == 0) fail("[idx] {} is empty: its shape is {}", quote(path), shape.str());
  }
  file.check_holds(shape, 1);
  return shape;
}

}  // namespace

Shape read_idx_shape(const std::string& path) {
  ByteReader file(path);
  return read_header(file);
}

Tensor read_idx(const std::string& path) {
  ByteReader file(path);
  const Shape shape = read_header(file);
  Tensor array = Tensor::empty(shape, DType::u8);
  file.read(std::as_writable_bytes(array.span<uint8_t>()));
  file.expect_end();
  return array;
}

}  // namespace elbo
