// Student's t distribution, for intervals and tests of means of few runs. Degrees of freedom need not be
// whole, as Welch's are not; infinite ones give the normal distribution. Uses the standard library only.
#pragma once

namespace elbo {

/// P(T <= t), to some 1e-12 for up to 1e4 degrees of freedom and to 1e-6 for more. Throws Error where
/// `degrees` is not above 0.
double student_t_probability(double t, double degrees);
/// The t below which T lies with this probability, 0 < probability < 1, to some 1e-10 of itself.
double student_t_quantile(double probability, double degrees);

}  // namespace elbo
