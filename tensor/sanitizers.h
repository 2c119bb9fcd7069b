// Which sanitizer this is compiled with: ELBO_ASAN and ELBO_TSAN, as g++ and clang say it.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#  define ELBO_ASAN 1
#elif defined(__has_feature)
#  if __has_feature(address_sanitizer)
#    define ELBO_ASAN 1
#  endif
#endif

#if defined(__SANITIZE_THREAD__)
#  define ELBO_TSAN 1
#elif defined(__has_feature)
#  if __has_feature(thread_sanitizer)
#    define ELBO_TSAN 1
#  endif
#endif
