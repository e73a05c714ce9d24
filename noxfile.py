"""The tests and checks, each in an environment of its own: `nox -s tests` runs one, `nox -l` lists them all."""

import itertools
import os
import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["tests"]
nox.options.envdir = "build/nox"
nox.options.reuse_venv = "yes"

PYPROJECT = nox.project.load_toml("pyproject.toml")
ISAS = ["baseline", "avx2", "avx512"]
# The options of the two wider ones, as the extension modules have them.
WIDE = {"avx2": "-mavx2 -mfma", "avx512": "-mavx2 -mfma -mavx512f -mavx512dq -mavx512bw -mavx512vl"}

# Hides the system's Eigen from CMake, so that a build shows that the one from PyPI is enough. Elsewhere tools might be
# hidden with it.
NO_SYSTEM_EIGEN = [
    "-Ccmake.define.CMAKE_FIND_USE_CMAKE_SYSTEM_PATH=OFF",
    "-Ccmake.define.CMAKE_FIND_USE_SYSTEM_ENVIRONMENT_PATH=OFF",
    "-Ccmake.define.CMAKE_FIND_USE_PACKAGE_REGISTRY=OFF",
]
if sys.platform != "linux":
    NO_SYSTEM_EIGEN = []


def all_but(*subjects: str) -> list[str]:
    """Return pytest's options that leave out the files of some subjects."""
    return [f"--ignore-glob=tests/python/test_{subject}.py" for subject in subjects]


def only(*subjects: str) -> list[str]:
    """Return the test files of some subjects."""
    return sorted(str(path) for subject in subjects for path in Path("tests/python").glob(f"test_{subject}.py"))


def has_package(session: nox.Session, name: str) -> bool:
    """Tell whether CMake finds a package: GTest, benchmark."""
    probe = Path(session.create_tmp()) / "probe"
    shutil.rmtree(probe, ignore_errors=True)
    probe.mkdir()
    (probe / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(probe CXX)\nfind_package(Threads)\n"
        f'find_package({name})\nmessage(STATUS "found: ${{{name}_FOUND}}")\n'
    )
    command = ["cmake", "-G", "Ninja", "-S", str(probe), "-B", str(probe / "build")]
    output = session.run(*command, silent=True, log=False, success_codes=[0, 1])
    return any(f"found: {yes}" in str(output) for yes in ("1", "TRUE"))


def clang_builds(session: nox.Session, source: str, *options: str) -> bool:
    """Tell whether Clang is here with the headers and libraries that a program needs."""
    if not shutil.which("clang++"):
        return False
    program = Path(session.create_tmp()) / "probe"
    program.unlink(missing_ok=True)
    program.with_suffix(".cpp").write_text(source)
    command = ["clang++", *options, str(program.with_suffix(".cpp")), "-o", str(program)]
    session.run(*command, silent=True, log=False, external=True, success_codes=range(256))
    return program.exists()


def run_cpp_tests(session: nox.Session, preset: str, *options: str) -> None:
    """Configure, build and run the C++ tests of a CMake preset."""
    python = shutil.which("python", path=session.bin)
    session.run("cmake", "--preset", preset, "--no-warn-unused-cli", f"-DPython_EXECUTABLE={python}", *options)
    session.run("cmake", "--build", "--preset", preset)
    session.run("ctest", "--preset", preset)


def build_wheel(session: nox.Session) -> Path:
    """Build the sdist, and from it the wheel with Eigen from PyPI."""
    # Its environments are filled as this one was.
    installer = "uv" if session.venv_backend == "uv" else "pip"
    session.install("build[uv]" if installer == "uv" else "build")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--installer", installer, "--outdir", "dist", *NO_SYSTEM_EIGEN)
    (made,) = Path("dist").glob("*.whl")
    return made


def run_python_tests(session: nox.Session, *arguments: str, **environment: str) -> None:
    """Run pytest in two processes. Threads that wait are not to keep a processor from the other one."""
    environment["OMP_WAIT_POLICY"] = "passive"
    # A test that hangs fails, and shows where.
    session.run("pytest", "-n", "2", "--dist", "worksteal", "--timeout", "600", *arguments, env=environment)


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests: C++ where GoogleTest is to be had, then Python on the wheel. Arguments go to pytest."""
    session.install("cmake", "ninja", "cmeel-eigen")
    wheel = build_wheel(session)
    # One of the same version that was installed before would be kept.
    session.install("--force-reinstall", "--no-deps", str(wheel))
    session.install(f"{wheel}[test]")
    cpp = has_package(session, "GTest")
    try:
        if cpp:
            run_cpp_tests(session, "release")
        elif os.environ.get("CI"):
            session.error("GoogleTest was not found; in CI the C++ tests may not be left out.")
    finally:
        run_python_tests(session, *session.posargs)
    if not cpp:
        session.warn("The C++ tests were NOT RUN: GoogleTest was not found.")
        session.warn("Install it (apt install libgtest-dev | dnf install gtest-devel | brew install googletest).")


@nox.session
def lint(session: nox.Session) -> None:
    """Run ruff, mypy and clang-format. `-- --fix` mends what can be mended."""
    session.install(*nox.project.dependency_groups(PYPROJECT, "lint"))
    roots = ["cpp", "python/bindings", "tests/cpp", "tests/data", "bench/cpp", "examples/cpp"]
    sources = sorted(str(p) for root in roots for p in Path(root).rglob("*") if p.suffix in {".hpp", ".cpp"})
    if "--fix" in session.posargs:
        session.run("ruff", "check", "--fix", ".")
        session.run("ruff", "format", ".")
        session.run("clang-format", "-i", *sources, log=False)
    failed = []
    for command in (
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["mypy"],
        ["clang-format", "--dry-run", "--Werror", *sources],
    ):
        try:
            session.log(" ".join(command[:3]))
            session.run(*command, log=False)
        except nox.command.CommandFailed:
            failed.append(" ".join(command[:2]))
    if failed:
        session.error(f"Failed: {', '.join(failed)}")


def processor_has(flags: str) -> bool:
    """Tell whether this processor has the instructions that compiler options ask for; False where it is not known."""
    cpuinfo = Path("/proc/cpuinfo")
    has = set(cpuinfo.read_text().split()) if cpuinfo.exists() else set()
    return {flag.removeprefix("-m") for flag in flags.split()} <= has


@nox.session
def sanitize(session: nox.Session) -> None:
    """Run the C++ tests under AddressSanitizer and UndefinedBehaviorSanitizer, with AVX2 where the processor has it.

    `tests` runs them with the registers of the baseline: panels and packets are of other sizes.
    """
    session.install("cmake", "ninja", "cmeel-eigen")
    # Clang compiles the heavy templates in half the time of GCC, which `simd` uses.
    probe = "#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n"
    clang = clang_builds(session, probe, "-fsanitize=address,undefined", "-fopenmp")
    options = ["-DCMAKE_CXX_COMPILER=clang++"] if clang else []
    if processor_has(WIDE["avx2"]):
        options.append(f"-DCMAKE_CXX_FLAGS={WIDE['avx2']}")
    run_cpp_tests(session, "sanitize", *options)
    if "-fsanitize=address,undefined" not in Path("build/sanitize/compile_commands.json").read_text():
        session.error("The tests were not compiled with the sanitizers.")


@nox.session
def simd(session: nox.Session) -> None:
    """Run the C++ tests as `sanitize` does, compiled for AVX2 and AVX-512: panels and packets are of other sizes."""
    session.install("cmake", "ninja", "cmeel-eigen")
    python = shutil.which("python", path=session.bin)
    for name, flags in WIDE.items():
        if not processor_has(flags):
            session.warn(f"The C++ tests with {name} were NOT RUN: this processor does not have it.")
            continue
        build = Path("build") / f"simd-{name}"
        options = [f"-DCMAKE_CXX_FLAGS={flags}", f"-DPython_EXECUTABLE={python}"]
        session.run("cmake", "--preset", "sanitize", "-B", str(build), "--no-warn-unused-cli", *options)
        session.run("cmake", "--build", str(build), "--target", "gaussmix_tests")
        program = build.absolute() / "tests" / "cpp" / "gaussmix_tests"
        session.run(str(program), "--gtest_brief=1", env={"GAUSSMIX_PROPERTY_TRIALS": "300"}, external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz the C++ reader of model files. Argument: seconds (10)."""
    probe = 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n'
    if not clang_builds(session, probe, "-fsanitize=fuzzer,address,undefined"):
        session.warn("The fuzz target was NOT RUN: clang++ with libFuzzer was not found.")
        session.warn("Install it (apt install clang libclang-rt-14-dev, say); the tests replay its corpus.")
        return
    session.install("cmake", "ninja", "cmeel-eigen")
    build, seconds = Path("build/fuzz"), session.posargs[0] if session.posargs else "10"
    python = shutil.which("python", path=session.bin)
    options = ["-DCMAKE_CXX_COMPILER=clang++", "-DGAUSSMIX_FUZZ=ON", "-DGAUSSMIX_OPENMP=OFF"]
    session.run("cmake", "-G", "Ninja", "-S", ".", "-B", str(build), *options, f"-DPython_EXECUTABLE={python}")
    session.run("cmake", "--build", str(build), "--target", "gaussmix_fuzz")
    # What is found goes to the first folder; an input that is worth keeping is copied to the corpus by hand.
    found = build / "found"
    found.mkdir(exist_ok=True)
    limits = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=1024", "-timeout=5"]
    limits += ["-dict=tests/cpp/fuzz/words.dict", f"-artifact_prefix={build}/"]
    program = str(build.absolute() / "tests" / "cpp" / "fuzz" / "gaussmix_fuzz")
    session.run(program, *limits, "-print_final_stats=1", str(found), "tests/cpp/fuzz/corpus", external=True)


@nox.session
def threads(session: nox.Session) -> None:
    """Run the C++ suite of threads under ThreadSanitizer, with Clang and its OpenMP."""
    if shutil.which("clang++") is None or not list(Path("/usr/lib").glob("llvm-*/lib/libarcher.so")):
        # Without libarcher the sanitizer does not know what OpenMP's threads wait for, and finds races where none are.
        session.warn("The threads were NOT RUN under ThreadSanitizer: needs Clang and libarcher.")
        session.warn("Install them (apt install clang libomp-dev).")
        return
    session.install("cmake", "ninja", "cmeel-eigen")
    run_cpp_tests(session, "threads")


@nox.session
def compilers(session: nox.Session) -> None:
    """Compile all of the core in each standard with each compiler, and every header alone, warnings as errors.

    `tests` compiles the core with GCC in C++20, `sanitize` with Clang in C++23.
    """
    session.install("cmake", "ninja", "cmeel-eigen")
    where = "import importlib.metadata as m; print(m.distribution('cmeel-eigen').locate_file('cmeel.prefix'))"
    eigen = Path(str(session.run("python", "-c", where, silent=True)).strip()) / "include" / "eigen3"
    flags = ["-fsyntax-only", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
    # What users instantiate: for them the headers are a system's, whose warnings nobody sees.
    sources = ["tests/cpp/conversions.cpp", *sorted(map(str, Path("examples/cpp").glob("*.cpp")))]
    compilers, standards = ["g++", "clang++"], ["c++17", "c++20", "c++23"]
    for compiler, standard, openmp in itertools.product(compilers, standards, [True, False]):
        if shutil.which(compiler) is None:
            session.warn(f"{compiler} in {standard} was NOT RUN: there is no {compiler}.")
            continue
        # Clang 14 calls it by the name that the standard had before.
        flag = f"-std={'c++2b' if standard == 'c++23' else standard}"
        others = ["-fopenmp"] if openmp else []
        if compiler == "clang++":  # which knows what the comments should name
            others.append("-Wdocumentation")
        # Every header, and the heavy templates instantiated for every type.
        command = [compiler, flag, *flags, *others, "-Icpp/include", "-isystem", str(eigen)]
        session.run(*command, "-include", "gaussmix/gaussmix.hpp", "cpp/src/instances.cpp", external=True)
        if standard == "c++17" and openmp:
            session.run(*command, *sources, external=True)
    python, made = shutil.which("python", path=session.bin), Path(session.create_tmp()).absolute()
    if has_package(session, "GTest"):  # without it there is no build of the tests
        alone, options = made / "alone", ["--no-warn-unused-cli", f"-DPython_EXECUTABLE={python}"]
        session.run("cmake", "--preset", "release", "-B", str(alone), *options)
        session.run("cmake", "--build", str(alone), "--target", "gaussmix_headers_alone")
    else:
        session.warn("The headers alone were NOT RUN: GoogleTest was not found.")
    # gaussmix::compiled, and a project that finds it where it is installed.
    prefix = [f"-DCMAKE_PREFIX_PATH={made / 'prefix'}", f"-DEigen3_ROOT={eigen.parents[1]}"]
    options = ["-DGAUSSMIX_COMPILED=ON", f"-DPython_EXECUTABLE={python}"]
    session.run("cmake", "-S", ".", "-B", str(made / "library"), "-G", "Ninja", *options, *prefix)
    session.run("cmake", "--build", str(made / "library"))
    session.run("cmake", "--install", str(made / "library"), "--prefix", str(made / "prefix"))
    consumer = ["-S", "tests/cpp/consumer", "-B", str(made / "consumer"), "-DCONSUMER_COMPILED=ON"]
    session.run("cmake", *consumer, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", *prefix)
    session.run("cmake", "--build", str(made / "consumer"))
    session.run(str(made / "consumer" / "consumer"), external=True)


@nox.session
def wheel(session: nox.Session) -> None:
    """Build the sdist, from it the wheel, and try it without compiler or Eigen. Argument: a wheel to try."""
    made = (Path(session.posargs[0]) if session.posargs else build_wheel(session)).absolute()
    # One of the same version that was installed before would be kept.
    session.install("--force-reinstall", "--no-deps", str(made))
    session.install("--only-binary=:all:", str(made), "pytest")
    test, bare = Path("tests/python/test_minimal.py").absolute(), {"PATH": session.bin}
    with session.chdir(session.create_tmp()):
        session.run("python", "-c", "import gaussmix; gaussmix.show_config()", env=bare)
        session.run("python", "-m", "pytest", str(test), env=bare)


@nox.session
def lowest(session: nox.Session) -> None:
    """Run the Python tests with the lowest NumPy, scikit-learn, matplotlib, safetensors. Argument: a wheel to test.

    With `quick` those that meet these packages most: the interface, scikit-learn's checks, plots.
    """
    if sys.version_info >= (3, 13):
        session.error("NumPy 1.26 exists for Python 3.11 and 3.12 only; run nox with one of them.")
    wheels = [argument for argument in session.posargs if argument != "quick"]
    lowest = ["numpy==1.26.*", "scikit-learn==1.6.*", "matplotlib==3.8.*", "pyarrow==19.*", "safetensors==0.4.3"]
    session.install(f"{wheels[0] if wheels else '.'}[test]", *lowest)
    versions = "import importlib.metadata as m; print(*sorted({f'{d.name}=={d.version}' for d in m.distributions()}))"
    session.run("python", "-c", versions)
    # Scripts, linters and types are for the newest, and the threads are those of the compiled core.
    chosen = all_but("bench", "examples", "stress", "style", "threads")
    if "quick" in session.posargs:
        chosen = only("estimator_checks", "interface", "minimal", "parity", "plot_*", "sklearn_suite")
    run_python_tests(session, *chosen)


@nox.session
def isa(session: nox.Session) -> None:
    """Run the Python tests with the instruction sets below the widest, which `tests` uses. Argument: as for lowest.

    With `quick` only those of numbers: the smoke test, parity with scikit-learn, precision, random numbers, the screen.
    """
    wheels = [argument for argument in session.posargs if argument != "quick"]
    session.install(f"{wheels[0] if wheels else '.'}[test]")
    # Without what tests the interface and not the numbers.
    chosen = all_but("bench", "estimator_checks", "examples", "plot*", "sklearn_suite", "stress", "style")
    if "quick" in session.posargs:
        chosen = only("minimal", "parity", "precision", "random", "screen")
    output = session.run("python", "-c", "from gaussmix import _cpu; print(*_cpu.supported())", silent=True)
    supported = str(output).split()
    failed = []
    for name in supported[:-1]:
        try:
            run_python_tests(session, *chosen, GAUSSMIX_ISA=name)
        except nox.command.CommandFailed:
            failed.append(name)
    for name in ISAS:
        if name not in supported:
            session.warn(f"The tests with {name} were NOT RUN: this processor does not have it.")
    if failed:
        session.error(f"Failed: {', '.join(failed)}")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation; warnings are errors. Arguments: as for lowest; `links` follows the links too."""
    wheels = [argument for argument in session.posargs if argument != "links"]
    session.install(f"{wheels[0] if wheels else '.'}[docs]")
    # An example that has not changed would not be run again, whatever its size was.
    for made in ("docs/gallery", "docs/generated"):
        shutil.rmtree(made, ignore_errors=True)
    # In CI the tests run the examples.
    options = ["-D", "plot_gallery=0"] if os.environ.get("CI") else []
    session.run("sphinx-build", "-W", "--keep-going", *options, "-b", "html", "docs", "build/docs")
    if "links" in session.posargs:
        session.run("sphinx-build", *options, "-b", "linkcheck", "docs", "build/links")


@nox.session(name="bench-cpp")
def bench_cpp(session: nox.Session) -> None:
    """Compile the native benchmarks and run the shortest, of each library that is here. Arguments go to the script."""
    session.install("cmake", "ninja", "cmeel-eigen")
    if not has_package(session, "benchmark"):
        session.warn("The native benchmarks were NOT RUN: Google Benchmark was not found.")
        session.warn("Install it (apt install libbenchmark-dev).")
        return
    shortest = [
        "--filter",
        "<(Full|Diagonal)>.*n:5000/.*layout:1|vlfeat.*n:5000/.*layout:1",
        "--benchmark_min_time=0.001",
    ]
    session.run("python", "-m", "bench.cpp.run", *(session.posargs or shortest))


@nox.session
def full(session: nox.Session) -> None:
    """Run all of the above."""
    for name in (
        "tests",
        "lint",
        "compilers",
        "sanitize",
        "simd",
        "threads",
        "fuzz",
        "wheel",
        "lowest",
        "isa",
        "docs",
        "bench-cpp",
    ):
        session.notify(name)
