# Finds Eigen 3.4 or 5, which does not call itself a version 3: for a build of gaussmix and for its installed package.
# A folder that Eigen3_DIR names goes before all others, whichever of the two it holds; a search that fails forgets it.
# The target is what is asked for: a project's own FindEigen3.cmake may have set Eigen3_FOUND and made none.
if(NOT TARGET Eigen3::Eigen)
  set(gaussmix_eigen_hint "${Eigen3_DIR}")
  foreach(where IN ITEMS NO_DEFAULT_PATH "")
    foreach(version IN ITEMS 3.4 5)
      if(NOT TARGET Eigen3::Eigen)
        set(Eigen3_DIR "${gaussmix_eigen_hint}" CACHE PATH "The folder that holds Eigen3Config.cmake" FORCE)
        find_package(Eigen3 ${version} CONFIG QUIET ${where})
      endif()
    endforeach()
  endforeach()
endif()
