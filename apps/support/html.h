// html: text and bytes as a page can hold them.
//
// Uses the standard library only.
#pragma once

#include <string>
#include <string_view>

namespace elbo {

/// Text for HTML, between tags or in a quoted attribute: markup becomes letters, control characters blanks.
std::string escape_html(std::string_view text);

/// Bytes as letters that a page can hold (RFC 4648, with padding, on one line).
std::string base64(std::string_view bytes);

}  // namespace elbo
