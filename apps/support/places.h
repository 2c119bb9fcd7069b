// Places: the processors that OpenMP binds a program's threads to (OMP_PROC_BIND, OMP_PLACES).
#pragma once

namespace elbo {

/// Lets the calling thread, and programs that it starts, run on all the processors that OpenMP has divided
/// into places: it keeps the first place for the program's first thread, and what that starts would find no
/// other.
void leave_place();

}  // namespace elbo
