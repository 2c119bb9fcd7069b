// transfer: one request to a web server, http or https, for a file from a given byte on.
//
// libcurl does the work (transfer_curl_found.cpp); builds without it say that they cannot
// (transfer_curl_missing.cpp). Redirects are followed within http and https; nothing else is ever asked for.
// Proxies are those of the environment (https_proxy, no_proxy). Knows nothing of where the bytes go.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace elbo {

struct Transfer {
  std::string url;
  uint64_t from = 0;     ///< the first byte that is wanted
  double patience = 30;  ///< seconds that may pass without a byte
  /// Told once, before the bytes: the first byte that the server sends, 0 where it knows only whole files,
  /// and how many the file has, where it says so. Returns why they are not wanted; empty: they are.
  std::function<std::string(uint64_t begin, std::optional<uint64_t> size)> accept;
  /// Given the bytes in order; returns whether more are wanted.
  std::function<bool(std::string_view bytes)> receive;
  /// Called at least once a second, whether bytes come or not.
  std::function<void()> meanwhile;
};

/// What went wrong, in words that go on from the URL ("answered 404"); empty when everything that the server
/// had from there on was received. What one of the functions throws ends the transfer and is thrown on.
std::string transfer(const Transfer& what);

/// Whether this build can. Where it cannot, `transfer` throws Error.
bool can_transfer();

}  // namespace elbo
