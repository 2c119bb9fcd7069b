// zip: the bytes between the files of a ZIP archive whose files are stored as they are (PKWARE's APPNOTE
// 6.3), with ZIP64's fields where a size or a place needs more than 32 bits.
//
//   entry.offset = 0;                         // where its header begins
//   zip_header(entry) + contents              // of each entry, one after the other
//   zip_directory(entries, at)                // at the end, which is at byte `at`
//
// A header is as long whatever the checksum, so that files can be laid out before their contents are known.
// Dates are ZIP's first, 1 January 1980: the same contents make the same archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace elbo {

struct ZipEntry {
  std::string name;
  uint64_t size = 0;    ///< bytes of its contents
  uint64_t offset = 0;  ///< of its header in the archive
  uint32_t crc = 0;     ///< CRC-32 of its contents
};

std::string zip_header(const ZipEntry& entry);
std::string zip_directory(const std::vector<ZipEntry>& entries, uint64_t at);

}  // namespace elbo
