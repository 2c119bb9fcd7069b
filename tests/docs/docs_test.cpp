// The documentation's code compiles and does what the text says. extract_code.cmake cuts the pages' C++
// blocks into numbered files; each is included here where the page says that it belongs.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <set>
#include <vector>

#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/pointwise.h"
#include "datasets/generators.h"
#include "tensor/file.h"
#include "tensor/gemm.h"
#include "tests/source_file.h"

// ---- training-step.md

#include "docs_code/training-step.1.inc"

// ---- new-model.md

#include "docs_code/new-model.1.inc"
#include "docs_code/new-model.2.inc"

// ---- cuda.md, whose kernel needs a build with GPU code

#if defined(ELBO_HAS_CUDA)
#  include "tensor/cuda/kernel.h"
#  include "tensor/random.h"
#  include "tests/gpu/near.h"

namespace elbo {
namespace {
#  include "docs_code/cuda.1.inc"
#  include "docs_code/cuda.2.inc"
#  include "docs_code/cuda.3.inc"

TEST_SUITE("gpu") {
  TEST_CASE("the documented kernel does what its twin says") {
    for (DType dtype : {DType::f32, DType::f64})
      for (const Shape& shape : {Shape{5, 7}, Shape{70, 300}, Shape{1, 1}}) {
        const Tensor x = normal(shape, dtype, {.seed = 8});
        CHECK(near(rms_normalize(x.to(Device::cuda)), rms_normalize_twin(x).value()));
      }
  }
}

}  // namespace
}  // namespace elbo
#endif

// ---- add-an-op.md

namespace elbo {
namespace formulas {
#include "docs_code/add-an-op.1.inc"
}
#include "docs_code/add-an-op.2.inc"
// and the definition, as in ops_pointwise.cpp
#include "docs_code/add-an-op.3.inc"
// a fused op's twin, and the op itself
#include "docs_code/add-an-op.5.inc"
#include "docs_code/add-an-op.6.inc"
// an op that writes by gemm, and one with a constant
#include "docs_code/add-an-op.10.inc"
#include "docs_code/add-an-op.8.inc"

namespace {

/// As in op_table.cpp.
OpRow unary(const char* name, Variable (*op)(const Variable&), Domain domain) {
  return {name, op_function(op), {{3, 5}}, domain};
}

std::vector<OpRow> documented_rows() {
  return {
#include "docs_code/add-an-op.11.inc"
#include "docs_code/add-an-op.4.inc"
#include "docs_code/add-an-op.7.inc"
#include "docs_code/add-an-op.9.inc"
  };
}

std::vector<std::filesystem::path> pages() {
  const std::filesystem::path root = source_file("");
  std::vector<std::filesystem::path> all{root / "README.md"};
  for (const char* folder : {"docs", "docs/ladder"})
    for (const auto& entry : std::filesystem::directory_iterator(root / folder))
      if (entry.path().extension() == ".md") all.push_back(entry.path());
  return all;
}

/// What the expression's first group matches in `text`, each once.
std::set<std::string> matches(const std::string& text, const std::regex& expression) {
  std::set<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), expression), end; it != end; ++it)
    found.insert((*it)[1]);
  return found;
}

}  // namespace

TEST_SUITE("docs") {
  TEST_CASE("the training step of the documentation trains, up to but not beyond the closed form") {
    const Dataset digits = make_digits(256, 1);
    const DataMoments moments =
        data_moments(preprocess_all(digits, {.kind = Preprocessing::Kind::scale}, 0, 0));
    const double best = ppca_max_log_likelihood(principal_components(moments).values, 5);
    const double before = ::train(digits, 5, 0, 0.02), after = ::train(digits, 5, 150, 0.02);
    CAPTURE(before);
    CAPTURE(after);
    CHECK(after < best);
    CHECK(best - after < 0.05 * (best - before));
  }

  TEST_CASE("one training step records two entries, as the documentation says") {
    LinearVae vae({.dimensions = 4, .latent = 2}, 0);
    Tape tape;
    const Variable loss = -vae.analytic_elbo(Tensor::zeros({3, 4}));
    CHECK(tape.size() == 2);
  }

  TEST_CASE("the ops of the documentation pass their checks") {
    const std::vector<OpRow> rows = documented_rows();
    REQUIRE(rows.size() == 4);
    CHECK(std::count_if(rows.begin(), rows.end(), [](const OpRow& row) { return row.twin != nullptr; }) == 2);
    for (const OpRow& row : rows) {
      const OpCheck check = check_op(row);
      CAPTURE(check.name);
      for (const Comparison& comparison : comparisons(check)) {
        CAPTURE(comparison.str());
        CHECK(comparison.passes());
      }
    }
  }

  TEST_CASE("of the documented fault the checker says what the page says") {
    const auto wrong = [](const std::vector<Variable>& in) {
      return std::vector{
          Tape::record("gram", {&in[0]}, gram(in[0].value()).value(), [x = in[0].value()](Backward& pass) {
            const Backward::Target to = pass.target(0);
            gemm(to.tensor, x, Transpose::no, pass.dy(), Transpose::no, false);
            gemm(to.tensor, x, Transpose::no, pass.dy(), Transpose::yes, true);
          })};
    };
    const OpCheck check = check_op({"gram", wrong, {{4, 3}}});
    const std::string line =
        fmt::format("{} {}, {}\n", check.name, check.shapes, comparisons(check)[1].str());
    CAPTURE(line);
    CHECK(read_file(source_file("docs/add-an-op.md")).find("```\n" + line + "```\n") != std::string::npos);
  }

  TEST_CASE("the documented model of one's own learns, with data for each of its members or for all") {
    for (const Shape& shape : {Shape{60, 2}, Shape{2, 60, 2}}) {
      const Tensor x = (0.3 * Variable(normal(shape, DType::f64, {.seed = 8}))).value();
      const std::vector<double> before = train_cubic(x, 2, 0), after = train_cubic(x, 2, 200);
      for (size_t m = 0; m < 2; ++m) CHECK(after[m] > before[m] + 0.5);
    }
    ParameterStore store(DType::f64, 2);
    const Network network = scaled(store, "s", 3);
    store.initialise(1);
    store.at("s").value.slice(1).fill(std::log(2));
    const Tensor y = network(Tensor::full({2, 4, 5, 3}, 1, DType::f64), Mode::evaluate).value();
    for (int64_t i = 0; i < 120; ++i) CHECK(y.at(i) == doctest::Approx(i < 60 ? 1 : 2));
  }

  TEST_CASE("every C++ block of the documentation is compiled in this folder") {
    std::set<std::string> compiled;
    for (const char* file : {"docs_test.cpp", "new_experiment_test.cpp", "autograd_test.cpp"})
      compiled.merge(matches(read_file(source_file(std::string("tests/docs/") + file)),
                             std::regex(R"re(\n# *include "docs_code/([^"]+)")re")));
    size_t blocks = 0;
    for (const auto& page : pages()) {
      const std::string text = read_file(page.string());
      int number = 0;
      for (size_t at = text.find("```cpp"); at != std::string::npos; at = text.find("```cpp", at + 1)) {
        const std::string block = fmt::format("{}.{}.inc", page.stem().string(), ++number);
        CAPTURE(block);
        CHECK(compiled.contains(block));
        ++blocks;
      }
    }
    CHECK(compiled.size() == blocks);
  }

  TEST_CASE("every file that the documentation names exists") {
    const std::regex file(
        R"(((?:apps|autograd|bench|cmake|datasets|docs|nn|scripts|tensor|tests|vae)/[\w./-]*\w))");
    int named = 0;
    for (const auto& page : pages())
      for (const std::string& name : matches(read_file(page.string()), file)) {
        CAPTURE(page);
        CAPTURE(name);
        CHECK(std::filesystem::exists(source_file(name)));
        ++named;
      }
    CHECK(named > 20);
  }
}

}  // namespace elbo
