// Transfers by libcurl.
#include <curl/curl.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <chrono>
#include <exception>
#include <memory>

#include "apps/support/result.h"
#include "apps/support/text.h"
#include "apps/support/transfer.h"
#include "tensor/error.h"

namespace elbo {
namespace {

using Clock = std::chrono::steady_clock;

constexpr long kMostRedirects = 10;
constexpr int kPartOfFile = 206;

/// Exceptions must not pass through libcurl's C: they wait here until it has returned.
struct State {
  const Transfer& what;
  CURL* curl;
  bool begun = false;
  std::string refusal = {};
  std::exception_ptr thrown = {};
  Clock::time_point last_byte = Clock::now();
};

/// The first byte and the size in "bytes 500-999/1000"; a size of "*" is not known.
std::optional<std::pair<uint64_t, std::optional<uint64_t>>> read_content_range(std::string_view text) {
  const auto number = [&](uint64_t& value) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return error == std::errc{};
  };
  const auto skip = [&](std::string_view word) {
    if (!text.starts_with(word)) return false;
    text.remove_prefix(word.size());
    return true;
  };
  uint64_t first = 0, last = 0, size = 0;
  if (!skip("bytes ") || !number(first) || !skip("-") || !number(last) || !skip("/")) return std::nullopt;
  if (text == "*") return std::pair(first, std::nullopt);
  if (!number(size)) return std::nullopt;
  return std::pair(first, std::optional(size));
}

/// Looks at the answer before the first of its bytes is taken. Returns why it is not wanted.
std::string begin(const State& state) {
  long status = 0;
  curl_easy_getinfo(state.curl, CURLINFO_RESPONSE_CODE, &status);
  if (status == kPartOfFile) {
    curl_header* header = nullptr;
    const bool there =
        curl_easy_header(state.curl, "Content-Range", 0, CURLH_HEADER, -1, &header) == CURLHE_OK;
    const auto range = read_content_range(there ? header->value : "");
    if (!range) return "answered with a part of the file without saying which";
    return state.what.accept(range->first, range->second);
  }
  if (status != 200) return fmt::format("answered {}", status);
  curl_off_t size = -1;
  curl_easy_getinfo(state.curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
  return state.what.accept(0, size < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(size)));
}

/// Runs `action` for libcurl; false, and the transfer is to end, when it refuses or throws.
template <class Action>
bool guarded(State& state, const Action& action) {
  try {
    return action();
  } catch (...) {
    state.thrown = std::current_exception();
    return false;
  }
}

bool begin_once(State& state) {
  if (!state.begun) state.refusal = begin(state);
  state.begun = true;
  return state.refusal.empty();
}

size_t on_bytes(char* bytes, size_t, size_t count, void* user) {
  State& state = *static_cast<State*>(user);
  const bool taken = guarded(state, [&] {
    if (!begin_once(state)) return false;
    if (state.what.receive({bytes, count})) return true;
    state.refusal = "was stopped";
    return false;
  });
  state.last_byte = Clock::now();
  return taken ? count : CURL_WRITEFUNC_ERROR;
}

int on_time(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  State& state = *static_cast<State*>(user);
  const bool goes_on = guarded(state, [&] {
    state.what.meanwhile();
    if (std::chrono::duration<double>(Clock::now() - state.last_byte).count() < state.what.patience)
      return true;
    state.refusal = fmt::format("sent nothing for {}", format_duration(state.what.patience));
    return false;
  });
  return goes_on ? 0 : 1;
}

}  // namespace

bool can_transfer() { return true; }

std::string transfer(const Transfer& what) {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, void (*)(CURL*)> curl(started == CURLE_OK ? curl_easy_init() : nullptr,
                                                    curl_easy_cleanup);
  if (!curl) fail("[download] libcurl cannot be started");
  State state{what, curl.get()};
  std::array<char, CURL_ERROR_SIZE> words{};
  const auto set = [&](CURLoption option, auto value) {
    if (curl_easy_setopt(curl.get(), option, value) != CURLE_OK)
      fail("[download] libcurl {} does not know its option {}", curl_version(), static_cast<int>(option));
  };
  set(CURLOPT_URL, what.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");  // of redirects, too
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, kMostRedirects);
  set(CURLOPT_USERAGENT, fmt::format("elbo/{}", version()).c_str());
  set(CURLOPT_ERRORBUFFER, words.data());
  if (what.from > 0) set(CURLOPT_RANGE, fmt::format("{}-", what.from).c_str());
  set(CURLOPT_WRITEFUNCTION, &on_bytes);
  set(CURLOPT_WRITEDATA, &state);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &on_time);
  set(CURLOPT_XFERINFODATA, &state);

  const CURLcode code = curl_easy_perform(curl.get());
  // A file without bytes, or an error page without, has not called on_bytes.
  if (code == CURLE_OK) guarded(state, [&] { return begin_once(state); });
  if (state.thrown) std::rethrow_exception(state.thrown);
  if (!state.refusal.empty()) return state.refusal;
  if (code == CURLE_OK) return "";
  return "failed: " + on_one_line(words[0] ? words.data() : curl_easy_strerror(code));
}

}  // namespace elbo
