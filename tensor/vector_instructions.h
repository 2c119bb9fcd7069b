// What the loops of this library were compiled for, in words.
#pragma once

namespace elbo {

/// "AVX-512", "AVX2 and FMA", "AArch64", ... or "plain loops" where nothing is known of the processor.
const char* vector_instructions();

}  // namespace elbo
