// How a fit is steered: the callback, restarts, zero iterations, and options that do not fit.
#include "gaussmix/fit.hpp"
#include "gaussmix/instances.hpp"
#include "problems.hpp"

namespace {

using namespace problems;
using gaussmix::Data;
using gaussmix::FitOptions;
using gaussmix::Full;
using gaussmix::Initialization;
using gaussmix::Progress;

struct FitControl : testing::Test {
  Matrix x = clusters(300, 2, 1);
  FitOptions options;
  gaussmix::FitResult<Full> fit() const { return gaussmix::fit<Full>(Data(x), 3, options); }

  gaussmix::Start complete_start() const {
    const auto mixture = random_mixture<Full>(3, 2, 2);
    gaussmix::Start start;
    start.weights = mixture.weights;
    start.means = mixture.means;
    start.precisions = Matrix(3, 4);
    for (Index m = 0; m < 3; ++m) Full::precision(mixture.factor(m), 2, start.precisions->row(m).data());
    return start;
  }
};

TEST_F(FitControl, the_callback_sees_every_stage_in_order) {
  std::vector<Progress> seen;
  options.n_init = 2;
  options.max_iter = 4;
  options.tol = 0;
  options.callback = [&](const Progress& p) {
    if (p.stage != Progress::Stage::seeding) seen.push_back(p);
    return false;
  };
  const auto result = fit();
  ASSERT_EQ(seen.size(), 12u);  // start, 4 iterations, end; twice
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(seen[i].restart, i < 6 ? 0 : 1);
    EXPECT_EQ(seen[i].stage, i % 6 == 0   ? Progress::Stage::start
                             : i % 6 == 5 ? Progress::Stage::end
                                          : Progress::Stage::iteration);
    if (i % 6 > 1 && i % 6 < 5) {
      EXPECT_EQ(seen[i].iteration, seen[i - 1].iteration + 1);
      EXPECT_EQ(seen[i].change, seen[i].lower_bound - seen[i - 1].lower_bound);
    }
  }
  EXPECT_EQ(std::max(seen[5].lower_bound, seen[11].lower_bound), result.lower_bound);
}

TEST_F(FitControl, a_stop_after_an_iteration_gives_the_model_of_that_iteration) {
  options.tol = 0;
  options.max_iter = 3;
  const auto three = fit();
  options.max_iter = 100;
  options.callback = [](const Progress& p) { return p.iteration == 3; };
  const auto stopped = fit();
  EXPECT_TRUE(stopped.stopped);
  EXPECT_FALSE(three.stopped);
  EXPECT_EQ(stopped.n_iter(), 3);
  EXPECT_TRUE(same_bits(stopped.mixture, three.mixture));
  EXPECT_EQ(stopped.lower_bound, three.lower_bound);
}

TEST_F(FitControl, a_stop_in_a_later_restart_gives_the_best_so_far) {
  options.initialization = Initialization::random_from_data;
  options.tol = 0;
  options.max_iter = 10;
  const auto first = fit();
  options.n_init = 5;
  for (const auto stage : {Progress::Stage::start, Progress::Stage::seeding, Progress::Stage::iteration}) {
    options.initialization =
        stage == Progress::Stage::seeding ? Initialization::kmeans : Initialization::random_from_data;
    int restarts = 0;
    options.callback = [&](const Progress& p) {
      restarts = std::max(restarts, p.restart);
      return p.restart == 1 && p.stage == stage;
    };
    const auto result = fit();
    EXPECT_TRUE(result.stopped);
    EXPECT_EQ(restarts, 1);
    if (stage == Progress::Stage::start) {
      EXPECT_TRUE(same_bits(result.mixture, first.mixture));
    }
    EXPECT_GE(result.n_iter(), 1);
  }
}

TEST_F(FitControl, a_stop_before_there_is_a_model_throws) {
  options.callback = [](const Progress&) { return true; };
  EXPECT_THROW(fit(), gaussmix::Stopped);
  options.callback = [](const Progress& p) { return p.stage == Progress::Stage::seeding; };
  EXPECT_THROW(fit(), gaussmix::Stopped);
}

TEST_F(FitControl, a_single_stop_at_the_start_is_not_forgotten) {
  int after = 0;
  options.callback = [&](const Progress& p) {
    after += p.stage == Progress::Stage::iteration;
    return p.stage == Progress::Stage::start;
  };
  try {
    EXPECT_TRUE(fit().stopped);
  } catch (const gaussmix::Stopped&) {
  }
  EXPECT_LE(after, 1);
}

struct Trouble : std::invalid_argument {
  using std::invalid_argument::invalid_argument;
};

TEST_F(FitControl, exceptions_of_the_callback_propagate) {
  options.n_init = 3;
  for (const auto stage :
       {Progress::Stage::start, Progress::Stage::seeding, Progress::Stage::iteration, Progress::Stage::end}) {
    int thrown = 0;
    options.callback = [&](const Progress& p) {
      if (p.stage == stage) ++thrown, throw std::runtime_error("callback");
      return false;
    };
    EXPECT_THROW(fit(), std::runtime_error);
    EXPECT_EQ(thrown, 1);
  }
}

TEST_F(FitControl, an_invalid_argument_of_the_callback_is_not_taken_for_a_failed_restart) {
  options.n_init = 3;
  int thrown = 0;
  options.callback = [&](const Progress& p) {
    if (p.stage == Progress::Stage::iteration && p.restart == 0) ++thrown, throw Trouble("callback");
    return false;
  };
  EXPECT_THROW(fit(), Trouble);
  EXPECT_EQ(thrown, 1);
}

TEST_F(FitControl, the_best_restart_is_kept) {
  x = clusters(300, 2, 3);
  std::vector<double> bounds;
  options.n_init = 8;
  options.max_iter = 3;
  options.initialization = Initialization::random_from_data;
  options.callback = [&](const Progress& p) {
    if (p.stage == Progress::Stage::end) bounds.push_back(p.lower_bound);
    return false;
  };
  const auto result = fit();
  ASSERT_EQ(bounds.size(), 8u);
  EXPECT_GT(*std::max_element(bounds.begin(), bounds.end()), bounds.front());  // or the test shows nothing
  EXPECT_EQ(result.lower_bound, *std::max_element(bounds.begin(), bounds.end()));
  const auto m = reference::accumulate(result.mixture, x, {});
  EXPECT_NEAR(result.lower_bound, static_cast<double>(m.log_likelihood / m.total_weight), 1e-12);
}

TEST_F(FitControl, nothing_drawn_means_one_restart) {
  options.start = complete_start();
  options.n_init = 5;
  int starts = 0;
  options.callback = [&](const Progress& p) { return starts += p.stage == Progress::Stage::start, false; };
  fit();
  EXPECT_EQ(starts, 1);
}

TEST_F(FitControl, zero_iterations_give_the_start) {
  options.max_iter = 0;
  options.start = complete_start();
  const auto result = fit();
  EXPECT_EQ(result.n_iter(), 0);
  EXPECT_FALSE(result.converged);
  EXPECT_TRUE(result.mixture.means == *options.start.means);
  const auto m = reference::accumulate(result.mixture, x, {});
  EXPECT_NEAR(result.lower_bound, static_cast<double>(m.log_likelihood / m.total_weight), 1e-12);
}

TEST_F(FitControl, seeds_repeat_and_differ) {
  options.initialization = Initialization::random_from_data;
  options.max_iter = 2;
  const auto a = fit(), b = fit();
  options.seed = 1;
  const auto c = fit();
  EXPECT_TRUE(same_bits(a.mixture, b.mixture));
  EXPECT_FALSE(same_bits(a.mixture, c.mixture));
}

TEST_F(FitControl, options_that_do_not_fit) {
  const FitOptions good = options;
  const auto bad = [&](auto change) {
    options = good;
    change(options);
    EXPECT_THROW(fit(), std::invalid_argument);
  };
  bad([](auto& o) { o.tol = -1; });
  bad([](auto& o) { o.tol = std::nan(""); });
  bad([](auto& o) { o.reg_covar = -1; });
  bad([](auto& o) { o.max_iter = -1; });
  bad([](auto& o) { o.n_init = 0; });
  bad([](auto& o) { o.start.weights = Vector::Ones(2); });
  bad([](auto& o) { o.start.means = Matrix::Ones(3, 3); });
  bad([](auto& o) { o.start.precisions = Matrix::Ones(3, 3); });
  bad([](auto& o) { o.start.precisions = -Matrix::Ones(3, 4); });
  options = good;
  EXPECT_THROW(gaussmix::fit<Full>(Data(x), 301, options), std::invalid_argument);
  EXPECT_THROW(gaussmix::fit<Full>(Data(x), 0, options), std::invalid_argument);
}

TEST_F(FitControl, a_start_that_is_not_finite_is_an_error) {
  for (const int max_iter : {0, 3}) {
    options.max_iter = max_iter;
    options.start = {};
    options.start.means = complete_start().means;
    (*options.start.means)(1, 0) = std::nan("");
    EXPECT_THROW(fit(), std::invalid_argument) << max_iter << " iterations, means";
    options.start = {};
    options.start.weights = Vector(Eigen::Vector3d(0.5, -0.5, 1));
    EXPECT_THROW(fit(), std::invalid_argument) << max_iter << " iterations, weights";
  }
}

}  // namespace
