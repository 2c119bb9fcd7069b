// folder_files: the files of a folder as one thing, copied or packed to be sent, while somebody may be
// writing into it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace elbo {

/// Copies a folder and those below it to `to`, which is not there yet. False where files changed meanwhile
/// each time it was tried, and nothing is left. Throws Error where `to` cannot be written.
bool copy_at_rest(const std::string& from, const std::string& to);

/// All files of a folder and those below it, in one piece. Nothing where they changed meanwhile each time.
std::optional<std::string> pack_at_rest(const std::string& folder);
/// Makes `folder` hold what was packed and nothing else. Throws Error for what pack_at_rest did not make.
void unpack(std::string_view packed, const std::string& folder);

}  // namespace elbo
