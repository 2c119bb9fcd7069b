#include "datasets/zip_parts.h"

#include <algorithm>

namespace elbo {
namespace {

constexpr uint64_t kNone32 = 0xFFFFFFFF, kNone16 = 0xFFFF;  // "see ZIP64's field"
constexpr uint64_t kVersion = 20, kVersion64 = 45;          // of the format that a reader has to know
constexpr uint64_t kUnix = 3 << 8;                          // who made it, which says what attributes mean
constexpr uint64_t kPlainFile = uint64_t{0100644} << 16;
constexpr uint64_t kFirstDay = (1 << 5) | 1;  // 1980-01-01

/// Little-endian numbers one after the other.
class Fields {
 public:
  Fields& add(int bytes, uint64_t value) {
    for (int i = 0; i < bytes; ++i) text_ += static_cast<char>(value >> 8 * i & 0xFF);
    return *this;
  }
  Fields& add(const std::string& text) {
    text_ += text;
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

bool is_large(uint64_t value) { return value >= kNone32; }
uint64_t in_32(uint64_t value) { return std::min(value, kNone32); }

/// The extra field with those of the values that 32 bits do not hold.
std::string extra_field(const std::vector<uint64_t>& values) {
  Fields large;
  for (const uint64_t value : values)
    if (is_large(value)) large.add(8, value);
  const std::string& text = large.text();
  return text.empty() ? "" : Fields().add(2, 1).add(2, text.size()).add(text).text();
}

/// What header and directory say alike: from the flags to the lengths of name and extra field.
std::string description(const ZipEntry& entry, const std::string& extra) {
  return Fields()
      .add(2, 0)  // flags
      .add(2, 0)  // stored
      .add(2, 0)  // midnight
      .add(2, kFirstDay)
      .add(4, entry.crc)
      .add(4, in_32(entry.size))
      .add(4, in_32(entry.size))
      .add(2, entry.name.size())
      .add(2, extra.size())
      .text();
}

uint64_t version_for(const std::string& extra) { return extra.empty() ? kVersion : kVersion64; }

}  // namespace

std::string zip_header(const ZipEntry& entry) {
  const std::string extra = extra_field({entry.size, entry.size});
  return Fields()
      .add("PK\3\4")
      .add(2, version_for(extra))
      .add(description(entry, extra))
      .add(entry.name)
      .add(extra)
      .text();
}

std::string zip_directory(const std::vector<ZipEntry>& entries, uint64_t at) {
  Fields out;
  for (const ZipEntry& entry : entries) {
    const std::string extra = extra_field({entry.size, entry.size, entry.offset});
    out.add("PK\1\2").add(2, kUnix | version_for(extra)).add(2, version_for(extra));
    out.add(description(entry, extra)).add(2, 0).add(2, 0).add(2, 0);  // no comment, first disk, binary
    out.add(4, kPlainFile).add(4, in_32(entry.offset)).add(entry.name).add(extra);
  }
  const uint64_t size = out.text().size(), count = entries.size();
  if (is_large(at) || is_large(size) || count >= kNone16) {
    out.add("PK\6\6").add(8, 44).add(2, kUnix | kVersion64).add(2, kVersion64).add(4, 0).add(4, 0);
    out.add(8, count).add(8, count).add(8, size).add(8, at);
    out.add("PK\6\7").add(4, 0).add(8, at + size).add(4, 1);
  }
  out.add("PK\5\6").add(2, 0).add(2, 0).add(2, std::min(count, kNone16)).add(2, std::min(count, kNone16));
  return out.add(4, in_32(size)).add(4, in_32(at)).add(2, 0).text();
}

}  // namespace elbo
