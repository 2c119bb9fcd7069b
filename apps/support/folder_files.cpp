#include "apps/support/folder_files.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <system_error>
#include <tuple>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr int kTries = 5;

/// What changes when a file below a folder is written: its size and time, by its name.
auto state_of(const std::string& folder) {
  std::map<std::string, std::tuple<uintmax_t, fs::file_time_type>> state;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file())
      state[entry.path().lexically_relative(folder).string()] = {entry.file_size(), entry.last_write_time()};
  return state;
}

void put(std::string& packed, uint64_t number) {
  packed.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::string_view take(std::string_view& packed, uint64_t bytes) {
  if (bytes > packed.size()) fail("[files] what a process sent of its files ends too early");
  const std::string_view piece = packed.substr(0, bytes);
  packed.remove_prefix(bytes);
  return piece;
}

std::string_view take_piece(std::string_view& packed) {
  uint64_t bytes = 0;
  std::memcpy(&bytes, take(packed, sizeof bytes).data(), sizeof bytes);
  return take(packed, bytes);
}

}  // namespace

bool copy_at_rest(const std::string& from, const std::string& to) {
  const std::string half = to + ".half";
  for (int attempt = 0; attempt < kTries; ++attempt) {
    try {
      fs::remove_all(half);
      const auto before = state_of(from);
      fs::copy(from, half, fs::copy_options::recursive);
      if (before != state_of(from)) continue;
      fs::rename(half, to);
      return true;
    } catch (const fs::filesystem_error& error) {
      if (error.code() == std::errc::no_such_file_or_directory) continue;  // a file went meanwhile
      std::error_code ignored;
      fs::remove_all(half, ignored);
      fail("[file] cannot copy {}: {}; free some space; nothing was changed", quote(from),
           error.code().message());
    }
  }
  std::error_code ignored;
  fs::remove_all(half, ignored);
  return false;
}

std::optional<std::string> pack_at_rest(const std::string& folder) {
  for (int attempt = 0; attempt < kTries; ++attempt) {
    try {
      const auto before = state_of(folder);
      std::string packed;
      for (const auto& [name, about] : before) {
        const std::string bytes = read_file((fs::path(folder) / name).string());
        put(packed, name.size());
        packed += name;
        put(packed, bytes.size());
        packed += bytes;
      }
      if (before == state_of(folder)) return packed;
    } catch (const fs::filesystem_error&) {
    } catch (const Error&) {  // a file went meanwhile
    }
  }
  return std::nullopt;
}

void unpack(std::string_view packed, const std::string& folder) {
  const fs::path half = folder + ".half";
  std::error_code error;
  fs::remove_all(half, error);
  fs::create_directories(half, error);
  while (!packed.empty()) {
    const fs::path name(take_piece(packed));
    const std::string_view bytes = take_piece(packed);
    if (name.empty() || name.is_absolute() || *name.lexically_normal().begin() == "..")
      fail("[files] a process sent a file that belongs elsewhere: {}", quote(name.string()));
    fs::create_directories((half / name).parent_path(), error);
    write_file_atomically((half / name).string(), bytes);
  }
  fs::remove_all(folder, error);
  fs::rename(half, folder, error);
  if (error) fail("[file] cannot make {}: {}", quote(folder), error.message());
}

}  // namespace elbo
