// The two products of a pass, for every size of a tile, against sums in long double.
#include "gaussmix/panels.hpp"

#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Block;
using gaussmix::Coefficients;
using gaussmix::FeaturePanels;
using gaussmix::FeatureSums;

/// phi(z), one row of features a row.
template <class Covariance>
Block features(const Block& z) {
  const Index d = z.cols(), quadratic = Covariance::features(d) - 1 - d;
  Eigen::ArrayXXd phi(z.rows(), 1 + d + quadratic);
  phi.col(0) = 1;
  phi.middleCols(1, d) = z;
  if (quadratic > 0) Covariance::expand(z.array(), 0, phi.rightCols(quadratic));
  return phi.matrix();
}

template <class Scalar>
using TableOf = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

/// L = Phi Theta in `Scalar`, whole panels of rows.
template <class Covariance, class Scalar>
TableOf<Scalar> multiply(FeaturePanels<Covariance, Scalar>& panels, const Block& z, const Block& theta) {
  Coefficients<Scalar> tiled(theta.rows(), theta.cols());
  for (Index c = 0; c < theta.cols(); ++c) tiled.column(c) = theta.col(c).template cast<Scalar>();
  TableOf<Scalar> out(gaussmix::padded<Scalar>(z.rows()), theta.cols());
  panels.resize(z.rows(), z.cols());
  panels.for_panels([&](Index at, auto part) { part = z.middleRows(at, part.rows()).template cast<Scalar>(); });
  panels.multiply(tiled, out);
  return out;
}

template <class Covariance>
struct Panels : testing::Test {
  template <class Scalar>
  static void compare(Index n, Index d, Index k, Real tolerance) {
    const Block z = normals(n, d, 1).cast<float>().cast<double>();
    const Block phi = features<Covariance>(z);
    const Block theta = normals(phi.cols(), k, 2).cast<float>().cast<double>();
    const Block r = normals(n, k, 3).cwiseAbs().template cast<float>().cast<double>();
    const Vector w = normals(n, 1, 4).cwiseAbs().template cast<float>().cast<double>();
    FeaturePanels<Covariance, Scalar> panels;
    const auto out = multiply(panels, z, theta);
    Vector squares(n);
    panels.squared_norms(squares);
    EXPECT_TRUE(squares.isApprox(z.rowwise().squaredNorm(), static_cast<double>(tolerance)));
    const Table expected = reference::product(phi, theta);
    const Table magnitude = reference::product(Block(phi.cwiseAbs()), Block(theta.cwiseAbs()));
    for (Index c = 0; c < k; ++c)
      for (Index i = 0; i < n; ++i)
        ASSERT_LE(std::abs(Real{out(i, c)} - expected(i, c)), tolerance * magnitude(i, c)) << i << ", " << c;

    TableOf<Scalar> responsibilities = TableOf<Scalar>::Zero(out.rows(), k);
    responsibilities.topRows(n) = r.template cast<Scalar>();
    FeatureSums<Scalar> sums(phi.cols(), k);
    panels.accumulate(responsibilities, w, sums);
    for (Index c = 0; c < k; ++c) {
      const Vector own = sums.column(c);
      for (Index f = 0; f < phi.cols(); ++f) {
        Real sum = 0, size = 0;
        for (Index i = 0; i < n; ++i) {
          const Real term = Real{phi(i, f)} * Real{w(i)} * Real{r(i, c)};
          sum += term, size += std::abs(term);
        }
        ASSERT_LE(std::abs(Real{own(f)} - sum), tolerance * size) << f << ", " << c;
      }
    }
  }
};
TYPED_TEST_SUITE(Panels, AllTypes, TypeNames);

TYPED_TEST(Panels, products_equal_the_sums) {
  for (const Index n : {1, 7, 24, 50})
    for (const Index d : {1, 3, 10}) this->template compare<double>(n, d, 5, 1e-14L);
  // Every number of components in a tile, and of registers: 1, 2, 3, 2 + 2, 3 + 2, ...
  for (Index k = 1; k <= 66; ++k) this->template compare<double>(30, 2, k, 1e-14L);
  // Few components, whose sums are by rows: any number of them beside any number of features.
  for (Index k = 1; k <= 4; ++k)
    for (const Index d : {1, 4, 6, 9, 10}) this->template compare<double>(30, d, k, 1e-14L);
}

TYPED_TEST(Panels, more_features_than_a_slice_holds) {
  this->template compare<double>(60, 30, 3, 1e-13L);
  this->template compare<double>(25, 140, 9, 1e-13L);
}

TYPED_TEST(Panels, products_in_float) {
  for (const Index k : {1, 2, 3, 4, 9, 20, 50}) this->template compare<float>(100, 6, k, 1e-5L);
  this->template compare<float>(60, 30, 3, 1e-5L);
}

TYPED_TEST(Panels, bits_do_not_depend_on_the_place_of_a_component_or_a_row) {
  const Index n = 53, d = 24, k = 21;
  const Block z = normals(n, d, 5);
  const Block theta = normals(features<TypeParam>(z).cols(), k, 6);
  FeaturePanels<TypeParam, double> panels;
  const auto out = multiply(panels, z, theta);
  const auto reversed = multiply(panels, z.colwise().reverse(), theta.rowwise().reverse());
  for (Index c = 0; c < k; ++c)
    for (Index i = 0; i < n; ++i) EXPECT_EQ(out(i, c), reversed(n - 1 - i, k - 1 - c));
}

TYPED_TEST(Panels, that_are_filled_again_hold_nothing_of_before) {
  const Block theta = normals(TypeParam::features(5), 7, 3);
  FeaturePanels<TypeParam, double> used;
  for (const Index n : {50, 50, 13, 13, 50}) {
    const Block z = normals(n, 5, static_cast<unsigned>(n));
    FeaturePanels<TypeParam, double> fresh;
    EXPECT_EQ(multiply(used, z, theta), multiply(fresh, z, theta)) << n;
    used.for_panels([](Index, auto part) { part *= 2; });  // as rows that are whitened
  }
}

TYPED_TEST(Panels, distances_and_rows_of_another_type) {
  for (const Index n : {1, 12, 24, 37, 100})
    for (const Index d : {1, 2, 9}) {
      const Block z = normals(n, d, 4);
      const RowVector point = normals(1, d, 5);
      FeaturePanels<TypeParam, double> panels;
      panels.resize(n, d);
      panels.for_panels([&](Index at, auto part) { part = z.middleRows(at, part.rows()); });
      Vector found(n);
      panels.squared_distances(point.data(), found);
      EXPECT_TRUE(close(found, Table(Vector((z.rowwise() - point).rowwise().squaredNorm())), 1e-14L));
      FeaturePanels<TypeParam, float> rounded;
      rounded.resize(n, d);
      rounded.assign_rows(panels);
      Index rows = 0;
      rounded.for_panels([&](Index at, const auto& part) {
        EXPECT_EQ(part.matrix(), z.middleRows(at, part.rows()).template cast<float>());
        rows += part.rows();
      });
      EXPECT_EQ(rows, n);
    }
}

TYPED_TEST(Panels, sums_add_up) {
  const Index n = 40, d = 4, k = 5;
  const Block z = normals(n, d, 7);
  TableOf<double> r = TableOf<double>::Zero(gaussmix::padded<double>(n), k);
  r.topRows(n).setOnes();
  const Index count = TypeParam::features(d);
  FeatureSums<double> once(count, k), twice(count, k);
  FeaturePanels<TypeParam, double> panels;
  panels.resize(n, d);
  panels.for_panels([&](Index at, auto part) { part = z.middleRows(at, part.rows()); });
  panels.accumulate(r, Vector::Ones(n), once);
  panels.accumulate(r, Vector::Ones(n), twice);
  panels.accumulate(r, Vector::Ones(n), twice);
  once += once;
  for (Index c = 0; c < k; ++c) EXPECT_TRUE(once.column(c) == twice.column(c));
}

}  // namespace
