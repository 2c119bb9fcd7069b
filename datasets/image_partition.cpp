#include "datasets/image_partition.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <vector>

#include "tensor/error.h"
#include "tensor/file.h"

namespace elbo {
namespace {

namespace fs = std::filesystem;

constexpr std::array kNames{"list_eval_partition.txt", "list_eval_partition.csv"};
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::string_view trimmed(std::string_view text) {
  const auto blank = [](char c) { return c == ' ' || c == '\t' || c == '\r'; };
  while (!text.empty() && blank(text.back())) text.remove_suffix(1);
  while (!text.empty() && blank(text.front())) text.remove_prefix(1);
  return text;
}

std::string_view unquoted(std::string_view field) {
  field = trimmed(field);
  const bool quoted = field.size() >= 2 && field.front() == '"' && field.back() == '"';
  return quoted ? field.substr(1, field.size() - 2) : field;
}

bool is_header(std::string_view line) {
  return unquoted(line.substr(line.rfind(',') + 1)) == "partition";  // image_id,partition
}

/// Takes "000001.jpg 0" or "000001.jpg,0" apart; nothing when it is neither.
std::optional<std::pair<std::string, Split>> parse_line(std::string_view line, bool csv) {
  const size_t joint = csv ? line.rfind(',') : line.find_last_of(" \t");
  if (joint == std::string_view::npos) return std::nullopt;
  const std::string_view name = unquoted(line.substr(0, joint)), split = unquoted(line.substr(joint + 1));
  if (name.empty() || split.size() != 1 || split[0] < '0' || split[0] > '2') return std::nullopt;
  return std::pair{std::string(name), static_cast<Split>(split[0] - '0')};
}

void parse(ImagePartition& partition) {
  const bool csv = partition.path.ends_with(".csv");
  std::string_view text = partition.text;
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || (csv && number == 1 && is_header(line))) continue;
    const auto entry = parse_line(line, csv);
    if (!entry)
      fail(
          "[images] line {} of {} is {}; a file name{} and 0 (training), 1 (validation) or 2 (test) are "
          "needed",
          number, quote(partition.path), quote(line), csv ? ", a comma" : "");
    const auto [found, is_new] = partition.splits.insert(*entry);
    if (!is_new && found->second != entry->second)
      fail("[images] line {} of {} gives {} another split than a line above", number, quote(partition.path),
           quote(entry->first));
  }
}

/// Where a partition of the images in `directory` may lie, the nearest first.
std::vector<fs::path> places(const std::string& directory) {
  std::error_code ignored;
  fs::path as_named = fs::absolute(directory, ignored).lexically_normal();
  if (!as_named.has_filename()) as_named = as_named.parent_path();
  std::vector<fs::path> found;
  // A link to a folder has one place, what it leads to another.
  for (const fs::path& folder : {as_named, fs::canonical(directory, ignored)}) {
    const fs::path above = folder.parent_path(), name = above.filename();
    const bool nested = name == folder.filename() || name == "Img";
    for (const fs::path& place : {folder, above, nested ? above.parent_path() : above})
      found.insert(found.end(), {place, place / "Eval"});
  }
  return found;
}

}  // namespace

bool is_partition_name(const std::string& name) {
  return std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

std::optional<ImagePartition> find_partition(const std::string& directory) {
  for (const fs::path& place : places(directory))
    for (const char* name : kNames) {
      const fs::path path = place / name;
      std::error_code ignored;
      if (!fs::is_regular_file(path, ignored)) continue;
      ImagePartition partition{.path = path.string(), .text = read_file(path.string()), .splits = {}};
      parse(partition);
      return partition;
    }
  return std::nullopt;
}

}  // namespace elbo
