// Writes a file whole or not at all: into a new file in the same folder, which is flushed to the disk and then takes
// the place of the old one. A crash, a full disk or another writer leaves one whole file, old or new. The permissions and
// the group of an old file are kept, and a symbolic link goes on pointing to the file.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>
#include <system_error>

#ifdef _WIN32
#include <io.h>
#else
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif

#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {

namespace detail {

/// What went wrong last; the C library need not tell.
inline std::error_code last_error() { return {errno != 0 ? errno : EIO, std::generic_category()}; }

/// A new file for writing, or null and errno; it fails where there is one of that name.
inline std::FILE* create_file(const std::filesystem::path& path, [[maybe_unused]] unsigned mode) {
#ifdef _WIN32
  return ::_wfopen(path.c_str(), L"wbxN");
#else
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, static_cast<::mode_t>(mode));
  if (descriptor < 0) return nullptr;
  std::FILE* file = ::fdopen(descriptor, "wb");
  if (file) return file;
  const int error = errno;
  ::close(descriptor);
  ::unlink(path.c_str());
  errno = error;
  return nullptr;
#endif
}

/// Gives an open file the permissions and the group of another. Where it may not have the group, its own gets no more
/// than all others had, of whom it was one.
inline bool copy_permissions([[maybe_unused]] const std::filesystem::path& from, [[maybe_unused]] std::FILE* to) {
#ifdef _WIN32
  return true;
#else
  struct ::stat old{};
  if (::stat(from.c_str(), &old) != 0) return false;
  auto mode = static_cast<unsigned>(old.st_mode) & 0777u;
  if (::fchown(::fileno(to), static_cast<::uid_t>(-1), old.st_gid) != 0) mode &= 0707u | (mode & 7u) << 3;
  return ::fchmod(::fileno(to), static_cast<::mode_t>(mode)) == 0;
#endif
}

/// Waits until an open file is on the disk.
inline bool settle(std::FILE* file) {
  if (std::fflush(file) != 0) return false;
#ifdef _WIN32
  return ::_commit(::_fileno(file)) == 0;
#else
  return ::fsync(::fileno(file)) == 0;
#endif
}

/// Waits, where the system can, until a change of names in a folder is on the disk.
inline void settle_folder([[maybe_unused]] const std::filesystem::path& folder) {
#ifndef _WIN32
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return;
  ::fsync(descriptor);
  ::close(descriptor);
#endif
}

}  // namespace detail

/// Makes `bytes` the content of a file. \throws std::system_error if it cannot be written; then nothing has changed
inline void replace_file(std::filesystem::path path, std::string_view bytes) {
  namespace fs = std::filesystem;
  for (int links = 0; links < 40 && fs::is_symlink(path); ++links) path = path.parent_path() / fs::read_symlink(path);
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const fs::file_status old = fs::status(path);
  const bool exists = fs::exists(old);
  if (exists && !fs::is_regular_file(old))
    throw fs::filesystem_error("cannot save", path, std::make_error_code(std::errc::invalid_argument));
  const unsigned mode = exists ? 0600u : 0666u;  // nobody else's until it has the group that it should

  std::random_device random;
  fs::path fresh;
  std::FILE* file = nullptr;
  for (int tries = 0; tries < 100 && !file; ++tries) {
    fresh = folder / (".gaussmix-" + std::to_string(random()) + "-" + std::to_string(random()) + ".tmp");
    file = detail::create_file(fresh, mode);
    if (!file && errno != EEXIST) break;
  }
  if (!file) throw fs::filesystem_error("cannot save", path, detail::last_error());

  std::error_code error;
  errno = 0;
  if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() ||
      (exists && !detail::copy_permissions(path, file)) || !detail::settle(file))
    error = detail::last_error();
  if (std::fclose(file) != 0 && !error) error = detail::last_error();
  if (!error) fs::rename(fresh, path, error);
  if (error) {
    std::error_code ignored;
    fs::remove(fresh, ignored);
    throw fs::filesystem_error("cannot save", path, error);
  }
  detail::settle_folder(folder);
}

}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
