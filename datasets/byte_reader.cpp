#include "datasets/byte_reader.h"

#include <algorithm>

#include "tensor/error.h"

namespace elbo {
namespace {

constexpr uint64_t kMostExpansion = 1032;  // of deflate; zlib's technical notes derive it
constexpr int kGzipWindow = 16 + MAX_WBITS;

bool is_gzip(std::byte first, std::byte second) {
  return first == std::byte{0x1f} && second == std::byte{0x8b};
}

}  // namespace

ByteReader::ByteReader(const std::string& path) : file_(path) {
  std::array<std::byte, 2> magic{};
  gzip_ = file_.read_some(0, magic) == 2 && is_gzip(magic[0], magic[1]);
  if (gzip_ && inflateInit2(&stream_, kGzipWindow) != Z_OK)
    fail("[read] zlib cannot be started: out of memory");
}

ByteReader::~ByteReader() {
  if (gzip_) inflateEnd(&stream_);
}

size_t ByteReader::read_some(std::span<std::byte> into) {
  if (!gzip_) {
    const size_t count = file_.read_some(position_, into);
    position_ += count;
    return count;
  }
  size_t done = 0;
  while (done < into.size() && !gzip_ended_) {
    if (stream_.avail_in == 0) {
      const size_t count = file_.read_some(position_, packed_);
      if (count == 0) break;
      position_ += count;
      stream_.next_in = reinterpret_cast<Bytef*>(packed_.data());
      stream_.avail_in = static_cast<uInt>(count);
    }
    // zlib counts in 32 bits.
    const auto room = static_cast<uInt>(std::min<size_t>(into.size() - done, size_t{1} << 30));
    stream_.next_out = reinterpret_cast<Bytef*>(into.data() + done);
    stream_.avail_out = room;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    done += room - stream_.avail_out;
    gzip_ended_ = status == Z_STREAM_END && !next_member();
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR)
      fail("[read] {} is damaged gzip data: {}; get the file again", quote(path()),
           stream_.msg ? stream_.msg : "unknown error");
  }
  return done;
}

bool ByteReader::next_member() {
  if (stream_.avail_in < 2) {  // its first bytes may be on both sides of the end of what was read
    position_ -= stream_.avail_in;
    stream_.next_in = reinterpret_cast<Bytef*>(packed_.data());
    stream_.avail_in = static_cast<uInt>(file_.read_some(position_, packed_));
    position_ += stream_.avail_in;
  }
  if (stream_.avail_in < 2 || !is_gzip(std::byte{stream_.next_in[0]}, std::byte{stream_.next_in[1]}))
    return false;
  return inflateReset(&stream_) == Z_OK;
}

size_t ByteReader::read_up_to(std::span<std::byte> into) {
  const size_t count = read_some(into);
  delivered_ += count;
  return count;
}

void ByteReader::read(std::span<std::byte> into) {
  const size_t count = read_up_to(into);
  if (count < into.size())
    fail("[read] {} is truncated: its {} end after {} bytes, {} more were expected; get the file again",
         quote(path()), gzip_ ? "unpacked data" : "data", delivered_, into.size() - count);
}

void ByteReader::check_holds(const Shape& shape, int64_t element_bytes) const {
  const uint64_t left =
      gzip_ ? file_.size() * kMostExpansion : file_.size() - std::min(position_, file_.size());
  bool empty = false, fits = true;
  for (int axis = 0; axis < shape.rank(); ++axis) empty = empty || shape[axis] == 0;
  // Divides instead of multiplying, which could overflow; so could the number of elements of an empty shape.
  uint64_t elements = empty ? uint64_t{1} << 62 : left / static_cast<uint64_t>(element_bytes);
  for (int axis = 0; axis < shape.rank(); ++axis) {
    const uint64_t size = static_cast<uint64_t>(std::max<int64_t>(shape[axis], 1));
    fits = fits && size <= elements;
    elements /= size;
  }
  if (!fits)
    fail(
        "[read] {} is truncated or its header is damaged: it announces {} elements of {} bytes, and its {} "
        "bytes "
        "cannot hold them; get the file again",
        quote(path()), shape.str(), element_bytes, file_.size());
}

void ByteReader::expect_end() {
  std::array<std::byte, 1> more;
  if (read_some(more) > 0)
    fail("[read] {} has more bytes than its header announces ({}); get the file again", quote(path()),
         delivered_);
  if (gzip_ && !gzip_ended_)
    fail("[read] {} is truncated: the end of its gzip data is missing; get the file again", quote(path()));
  if (gzip_ && (stream_.avail_in > 0 || file_.read_some(position_, more) > 0))
    fail("[read] {} has bytes after its gzip data; get the file again", quote(path()));
}

}  // namespace elbo
