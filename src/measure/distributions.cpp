// SPDX-License-Identifier: MIT
#include "measure/distributions.h"

#include <boost/math/distributions/beta.hpp>
#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/chi_squared.hpp>
#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

namespace bulkhead::measure {
namespace {

namespace policies = boost::math::policies;
using Quiet = policies::policy<
    policies::domain_error<policies::ignore_error>, policies::pole_error<policies::ignore_error>,
    policies::overflow_error<policies::ignore_error>, policies::evaluation_error<policies::ignore_error>,
    policies::rounding_error<policies::ignore_error>, policies::indeterminate_result_error<policies::ignore_error>>;
using Normal = boost::math::normal_distribution<double, Quiet>;
using StudentsT = boost::math::students_t_distribution<double, Quiet>;
using Binomial = boost::math::binomial_distribution<double, Quiet>;
using ChiSquared = boost::math::chi_squared_distribution<double, Quiet>;
using Beta = boost::math::beta_distribution<double, Quiet>;

}  // namespace

double normal_cdf(double z) {
  return boost::math::cdf(Normal(), z);
}

double normal_quantile(double p) {
  return boost::math::quantile(Normal(), p);
}

double student_t_cdf(double t, double degrees_of_freedom) {
  return boost::math::cdf(StudentsT(degrees_of_freedom), t);
}

double student_t_quantile(double p, double degrees_of_freedom) {
  return boost::math::quantile(StudentsT(degrees_of_freedom), p);
}

double chi_squared_survival(double x, double degrees_of_freedom) {
  return boost::math::cdf(boost::math::complement(ChiSquared(degrees_of_freedom), x));
}

double binomial_cdf(std::size_t successes, std::size_t trials, double p) {
  return boost::math::cdf(Binomial(static_cast<double>(trials), p), static_cast<double>(successes));
}

double beta_quantile(double p, double a, double b) {
  return boost::math::quantile(Beta(a, b), p);
}

}  // namespace bulkhead::measure
