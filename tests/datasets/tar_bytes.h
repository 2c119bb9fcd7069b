// The bytes of tar archives, for tests: headers as POSIX 1003.1-1988 lays them out.
#pragma once

#include <fmt/format.h>

#include <string>

namespace elbo {

/// A header of that type ('0' a file, '5' a folder, '2' a link), and the contents in whole blocks.
inline std::string tar_entry(const std::string& name, const std::string& contents, char type = '0',
                             const std::string& link = "") {
  std::string header(512, '\0');
  const auto set = [&](size_t at, const std::string& text) { header.replace(at, text.size(), text); };
  set(0, name);
  set(100, "0000644");
  set(108, "0001750");
  set(116, "0001750");
  set(124, fmt::format("{:011o}", contents.size()));
  set(136, "11212033401");
  set(148, std::string(8, ' '));
  header[156] = type;
  set(157, link);
  set(257, std::string("ustar\0"
                       "00",
                       8));
  unsigned sum = 0;
  for (const char byte : header) sum += static_cast<unsigned char>(byte);
  set(148, fmt::format("{:06o}", sum) + '\0');
  return header + contents + std::string((512 - contents.size() % 512) % 512, '\0');
}

inline std::string tar_end() { return std::string(1024, '\0'); }

}  // namespace elbo
