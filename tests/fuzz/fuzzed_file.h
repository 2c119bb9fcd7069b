// FuzzedFile: what libFuzzer makes up, as a file that readers open by its path; and the one thing that all
// readers promise of damaged files.
//
//   FuzzedFile file(data, size);
//   reads_or_refuses([&] { look_at(read_npy(file.path())); });
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tensor/error.h"
#include "tensor/tensor.h"

namespace elbo {

class FuzzedFile {
 public:
  FuzzedFile(const uint8_t* data, size_t size) : file_(memfd_create("fuzzed", 0)) {
    for (size_t at = 0; at < size;) {
      const ssize_t written = write(file_, data + at, size - at);
      if (written <= 0) std::abort();
      at += static_cast<size_t>(written);
    }
  }
  ~FuzzedFile() { close(file_); }
  FuzzedFile(const FuzzedFile&) = delete;
  FuzzedFile& operator=(const FuzzedFile&) = delete;

  std::string path() const { return "/proc/self/fd/" + std::to_string(file_); }

 private:
  int file_;
};

/// Runs `read`. An Error of one line is what damaged files are for; anything else that is thrown ends the
/// program.
template <class Read>
void reads_or_refuses(const Read& read) {
  try {
    read();
  } catch (const Error& error) {
    const std::string said = error.what();
    if (said.empty() || said.find('\n') != std::string::npos) {
      std::fprintf(stderr, "an error must be one line: '%s'\n", said.c_str());
      std::abort();
    }
  }
}

/// Reads all bytes of a CPU tensor, which must be there.
inline void look_at(const Tensor& x) {
  const auto* bytes = static_cast<const volatile uint8_t*>(x.bytes());
  for (int64_t i = 0; i < x.byte_count(); ++i) (void)bytes[i];
}

}  // namespace elbo
