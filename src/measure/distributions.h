// SPDX-License-Identifier: MIT
// Distributions that the tests and intervals of this room need, from Boost.Math. No exception: what is undefined is
// NaN, what has no bound is infinite. Pure functions, for any thread.
#pragma once

#include <cstddef>

namespace bulkhead::measure {

[[nodiscard]] double normal_cdf(double z);
[[nodiscard]] double normal_quantile(double p);  // -infinity at 0, infinity at 1

[[nodiscard]] double student_t_cdf(double t, double degrees_of_freedom);
[[nodiscard]] double student_t_quantile(double p, double degrees_of_freedom);

// P(X > x); x >= 0.
[[nodiscard]] double chi_squared_survival(double x, double degrees_of_freedom);

// P(X <= successes) of `trials` draws of probability p.
[[nodiscard]] double binomial_cdf(std::size_t successes, std::size_t trials, double p);

// The x below which a share p of Beta(a, b) lies; a, b > 0.
[[nodiscard]] double beta_quantile(double p, double a, double b);

}  // namespace bulkhead::measure
