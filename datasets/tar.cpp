#include "datasets/tar.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>
#include <string_view>

#include "datasets/byte_reader.h"
#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

constexpr size_t kBlock = 512;

/// What stands before each file; numbers are octal digits.
struct Header {
  std::array<char, kBlock> bytes;

  /// A field up to its first zero.
  std::string_view text(size_t begin, size_t size) const {
    const std::string_view field(bytes.data() + begin, size);
    return field.substr(0, field.find('\0'));
  }
  std::string_view name() const {
    const std::string_view path = text(0, 100);
    return path.substr(path.rfind('/') + 1);
  }
  bool is_file() const { return bytes[156] == '0' || bytes[156] == '\0'; }
  bool is_end() const {
    return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
  }
};

uint64_t read_octal(const Header& header, size_t begin, size_t size, const std::string& archive) {
  std::string_view digits = header.text(begin, size);
  while (digits.starts_with(' ')) digits.remove_prefix(1);
  while (digits.ends_with(' ')) digits.remove_suffix(1);
  uint64_t value = 0;
  for (const char digit : digits) {
    if (digit < '0' || digit > '7')
      fail("[tar] {} is damaged or no tar archive: {} is no octal number", quote(archive), quote(digits));
    value = value * 8 + static_cast<uint64_t>(digit - '0');
  }
  return value;
}

/// Throws Error unless the header's sum is right, in which the sum itself counts as spaces.
void check_sum(const Header& header, const std::string& archive) {
  constexpr size_t kSum = 148, kSumSize = 8;
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i)
    sum += i >= kSum && i < kSum + kSumSize ? uint64_t{' '} : static_cast<unsigned char>(header.bytes[i]);
  if (header.text(257, 5) != "ustar" || sum != read_octal(header, kSum, kSumSize, archive))
    fail("[tar] {} is damaged or no tar archive: it has a header with a wrong sum", quote(archive));
}

void skip(ByteReader& file, uint64_t bytes) {
  std::array<std::byte, 1 << 14> ignored;
  while (bytes > 0) {
    const size_t count = std::min<uint64_t>(bytes, ignored.size());
    file.read(std::span(ignored).first(count));
    bytes -= count;
  }
}

}  // namespace

void unpack_tar(const std::string& archive, const std::string& folder,
                const std::vector<ArchiveMember>& members) {
  ByteReader file(archive);
  std::set<std::string> unpacked;
  Header header;
  while (true) {
    file.read(std::as_writable_bytes(std::span(header.bytes)));
    if (header.is_end()) break;
    check_sum(header, archive);
    const uint64_t bytes = read_octal(header, 124, 12, archive);
    const uint64_t padding = (kBlock - bytes % kBlock) % kBlock;
    const auto member = std::find_if(members.begin(), members.end(),
                                     [&](const ArchiveMember& m) { return m.name == header.name(); });
    if (!header.is_file() || member == members.end()) {
      skip(file, bytes);
    } else {
      if (bytes != member->bytes)
        fail("[tar] {} in {} has {} bytes, not {}", quote(member->name), quote(archive), bytes,
             member->bytes);
      if (unpacked.contains(member->name))
        fail("[tar] {} is in {} twice", quote(member->name), quote(archive));
      std::string contents(bytes, '\0');
      file.read(std::as_writable_bytes(std::span(contents)));
      write_file_atomically((std::filesystem::path(folder) / member->name).string(), contents);
      unpacked.insert(member->name);
    }
    skip(file, padding);
  }
  for (const ArchiveMember& member : members)
    if (!unpacked.contains(member.name)) fail("[tar] {} holds no {}", quote(archive), quote(member.name));
}

}  // namespace elbo
