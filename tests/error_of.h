// error_of: what an action complains of, for tests of bad input.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "tensor/error.h"

namespace elbo {

/// The message of the Error that `action` throws, which must be one line; empty when nothing is thrown.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    const std::string text = error.what();
    CHECK_MESSAGE(text.find('\n') == std::string::npos, text);
    return text;
  }
  return "";
}

inline bool mentions(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace elbo
