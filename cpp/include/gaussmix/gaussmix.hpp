// gaussmix: Gaussian mixture models. This header includes all others; each stands alone too.
#pragma once

#include "gaussmix/accumulate.hpp"
#include "gaussmix/any_mixture.hpp"
#include "gaussmix/covariance.hpp"
#include "gaussmix/criteria.hpp"
#include "gaussmix/data.hpp"
#include "gaussmix/fit.hpp"
#include "gaussmix/fit_options.hpp"
#include "gaussmix/initialize.hpp"
#include "gaussmix/kmeans.hpp"
#include "gaussmix/log_prob.hpp"
#include "gaussmix/maximize.hpp"
#include "gaussmix/mixture.hpp"
#include "gaussmix/normalize.hpp"
#include "gaussmix/panels.hpp"
#include "gaussmix/parallel.hpp"
#include "gaussmix/predict.hpp"
#include "gaussmix/product.hpp"
#include "gaussmix/random.hpp"
#include "gaussmix/sample.hpp"
#include "gaussmix/scorer.hpp"
#include "gaussmix/screen.hpp"
#include "gaussmix/seeding.hpp"
#include "gaussmix/spread.hpp"
#include "gaussmix/statistics.hpp"
#include "gaussmix/types.hpp"
#include "gaussmix/version.hpp"

#ifdef GAUSSMIX_COMPILED  // as for all who link gaussmix::compiled
#include "gaussmix/instances.hpp"
#endif
