// Information criteria against numbers worked out by hand.
#include "gaussmix/criteria.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Criteria, formulas) {
  // log L = -2.5 * 40 = -100, p = 7, log 40 = 3.6888794541139363
  EXPECT_DOUBLE_EQ(gaussmix::aic(-2.5, 7, 40), 200 + 14);
  EXPECT_DOUBLE_EQ(gaussmix::bic(-2.5, 7, 40), 200 + 7 * 3.6888794541139363);
  // rows that are assigned with a probability of e^-0.25 on average: 2 * 40 * 0.25 more
  EXPECT_DOUBLE_EQ(gaussmix::icl(-2.5, -0.25, 7, 40), gaussmix::bic(-2.5, 7, 40) + 20);
  EXPECT_DOUBLE_EQ(gaussmix::icl(-2.5, 0, 7, 40), gaussmix::bic(-2.5, 7, 40));
}

}  // namespace
