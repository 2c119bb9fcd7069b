// checkpoint: everything that resuming a training run needs, in one safetensors file that is replaced
// atomically.
//
// Because all randomness is a function of (seed, step), parameters, Adam's moments and the number of steps
// are the whole state: a resumed run equals an unbroken one bit for bit.
//
//   save_checkpoint("state.safetensors", store, adam, {{"epoch", "12"}});
//   const auto extra = load_checkpoint("state.safetensors", store, adam);     // of the same model
#pragma once

#include "nn/optimizer.h"
#include "nn/safetensors.h"

namespace elbo {

/// The parameters by name, as the model file holds them.
std::vector<NamedTensor> model_tensors(const ParameterStore& store);

/// The first parameter or moment with a NaN or an infinity, of each member or of the one model; empty where
/// there is none.
std::vector<std::string> first_not_finite(const ParameterStore& store, const Adam& adam);

/// Whether save_checkpoint takes them: the numbers of at least one member are all finite.
bool has_finite_member(const ParameterStore& store, const Adam& adam);

/// Writes parameters, moments, step count, `extra` text and `more` tensors, which are on the CPU; a previous
/// file stays until the new one is whole. Throws, and leaves the previous file, when no member's numbers are
/// all finite: one can always go on from the last checkpoint.
void save_checkpoint(const std::string& path, const ParameterStore& store, const Adam& adam,
                     const std::map<std::string, std::string>& extra,
                     const std::vector<NamedTensor>& more = {});

/// Restores what save_checkpoint wrote into a store and an optimiser of the same model; returns `extra`. (The
/// `more` tensors are read from the file.) Throws when names, shapes or types do not match, leaving both as
/// they were.
std::map<std::string, std::string> load_checkpoint(const std::string& path, ParameterStore& store,
                                                   Adam& adam);
std::map<std::string, std::string> load_checkpoint(SafetensorsFile file, ParameterStore& store, Adam& adam);

}  // namespace elbo
