// Transfers in builds without libcurl: there are none.
#include "apps/support/transfer.h"
#include "tensor/error.h"

namespace elbo {

bool can_transfer() { return false; }

std::string transfer(const Transfer& what) {
  fail("[download] this elbo was built without libcurl and cannot fetch {}; fetch it by other means",
       what.url);
}

}  // namespace elbo
