#include "apps/support/toml_quotes.h"

#include <doctest/doctest.h>

#include <string>

using namespace elbo;

TEST_SUITE_BEGIN("apps");

TEST_CASE("TOML: characters beyond ASCII are misplaced outside quotes and comments") {
  for (const char* text :
       {"", "a = 'é'", "# é\na = \"é\"", "a = \"\"\"é\n\\\n  b é\"\"\"", "a = '''é\n'é'''",
        "\xef\xbb\xbf"
        "a = 1",
        "a = \"\\\"é\"", "\"é\" = 'é\\'", "a = \"\"\"\\\"\"\"\"", "a = \"\"\"x\\\\\"\"\" # é", "'é",
        "a = [\n  'é',  # é\n  [\"é\", 1], 'é'\n]\n'é' = 'é'",
        "a = {\"é\" = 'é', b = {c = ['é']}, d = \"é\"}", "[\"é\"]\na = 'é'", "[['é']]\na = 1 # é"}) {
    CAPTURE(text);
    CHECK_FALSE(misplaced_character(text).has_value());
  }
  struct Case {
    const char* text;
    int line;
    const char* character;
    bool behind_backslash;
  };
  for (const Case& c : {Case{"é = 1", 1, "é", false},
                        Case{"[train]\na = 1 \u00a0", 2, "\u00a0", false},
                        Case{"a = 'é'\nb = ü", 2, "ü", false},
                        Case{"a = \"\ne", 0, "", false},
                        Case{"a = \"b\né", 2, "é", false},
                        Case{"a = '''\n''' é", 2, "é", false},
                        Case{"a = \"\"\"x\\\n  §\"\"\"", 2, "§", true},
                        Case{"a = \"\"\"x\\\\\"\"\"é", 1, "é", false},
                        Case{"a = 'b\\' é", 1, "é", false},
                        Case{"a = \"\"\"\\\"\"\"\" é", 1, "é", false},
                        Case{"a = \"\"\"\n\\é\"\"\"", 2, "é", true},
                        Case{"a = 0x.'é'", 1, "é", false},
                        Case{"a = 0x[b\"é\"", 1, "é", false},
                        Case{"a = 0[[\"\"\"é\"\"\"", 1, "é", false},
                        Case{"a = 0=\"é\"", 1, "é", false},
                        Case{"a = [b='é']", 1, "é", false},
                        Case{"a = 0{'é' = 1}", 1, "é", false},
                        Case{"a = 0,'é'", 1, "é", false},
                        Case{"a = ['b'\n'é']", 2, "é", false},
                        Case{"a = {b = 1} 'é'", 1, "é", false},
                        Case{"\xcc\xaa", 1, "\u032a", false},
                        Case{"a\xff", 1, "\ufffd", false}}) {
    CAPTURE(c.text);
    const auto found = misplaced_character(c.text);
    REQUIRE(found.has_value() == (c.line > 0));
    if (!found) continue;
    CHECK(found->line == c.line);
    CHECK(found->character == c.character);
    CHECK(found->behind_backslash == c.behind_backslash);
  }
}

TEST_SUITE_END();
