// GradientsApart: a second set of gradients of a model's parameters, so that several threads can
// differentiate parts of one loss at the same time, each with its own tape and its own gradients.
//
//   std::vector<GradientsApart> apart;                      // one for each share of the work
//   parallel_for(..., { Tape tape(apart[share]); tape.backward(loss_of(share)); });
//   for (const GradientsApart& share : apart) share.add_to_parameters();    // in order: the same bits always
#pragma once

#include "autograd/variable.h"
#include "tensor/kept_vector.h"

namespace elbo {

class GradientsApart {
 public:
  struct Entry {
    Parameter* parameter;
    Tensor gradient;  ///< of the parameter's shape; made when it is first wanted
    bool has_gradient = false;
  };

  /// Of no parameter: a tape leaves all gradients where they belong.
  GradientsApart() = default;
  /// Of the trained ones among these.
  template <class Parameters>
  explicit GradientsApart(Parameters& parameters) {
    for (Parameter& parameter : parameters)
      if (parameter.trained) entries_.push_back({&parameter, Tensor()});
  }

  /// The parameter's entry, with memory for its gradient; null for a parameter that has no entry.
  Entry* find(const Parameter* parameter);
  /// Adds what was gathered to the parameters' own gradients.
  void add_to_parameters() const;

 private:
  KeptVector<Entry> entries_;
};

}  // namespace elbo
