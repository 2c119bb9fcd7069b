// FunctionRef: a reference to a callable, which must outlive the reference. A function that takes one is
// compiled once, and not once for each callable.
#pragma once

namespace elbo {

template <class Signature>
class FunctionRef;

template <class Result, class... Arguments>
class FunctionRef<Result(Arguments...)> {
 public:
  template <class F>
  FunctionRef(const F& callable)  // NOLINT: given where a function is expected
      : callable_(&callable), call_([](const void* self, Arguments... arguments) -> Result {
          return (*static_cast<const F*>(self))(arguments...);
        }) {}
  Result operator()(Arguments... arguments) const { return call_(callable_, arguments...); }

 private:
  const void* callable_;
  Result (*call_)(const void*, Arguments...);
};

}  // namespace elbo
