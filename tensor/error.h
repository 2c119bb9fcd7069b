// How every part of elbo reports that something is wrong.
//
// `fail` throws an `Error` whose text is one line: what was wrong, where, and what to do about it.
// The command-line program prints that line and exits with status 2. May use fmt only.
//
//   if (x.rank() != 2) fail("[centre] x {} must be (N, D)", x.shape().str());
//   try { run(); } catch (const Error& error) { fmt::print(stderr, "{}\n", error.what()); }
#pragma once

#if defined(__CUDACC__)
#  define FMT_USE_CONSTEXPR \
    1  // fmt 9 turns constexpr off under nvcc, but not all of it, which does not compile
#endif
#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace elbo {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Memory that could not be had. Whoever catches it knows what could be made smaller.
struct OutOfMemory : Error {
  using Error::Error;
};

/// Throws Error with a formatted one-line message, e.g. fail("[matmul] inner sizes differ: {}", shape).
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace elbo
