// The container of model files, safetensors (https://github.com/huggingface/safetensors, "Format"): eight bytes with the
// length of a header, little-endian; the header, a JSON object that gives strings (`__metadata__`) and, for each tensor,
// dtype, shape and place; the numbers, without gaps.
//
// The header is parsed as the small language that it is, not as general JSON: nothing nests, so nothing recurses, names
// and keys are unique, numbers are unsigned, text is UTF-8, and lengths have limits. What is read allocates no more than
// a small multiple of the bytes that are there.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <istream>
#include <limits>
#include <locale>
#include <map>
#include <ostream>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "gaussmix/types.hpp"

namespace gaussmix {
inline namespace GAUSSMIX_ABI {
namespace safetensors {

inline constexpr std::uint64_t max_header = std::uint64_t{1} << 24;  ///< bytes
inline constexpr std::size_t max_entries = 1024;                     ///< tensors, and strings of metadata
inline constexpr std::size_t max_rank = 8;                           ///< dimensions of a tensor

/// Where the numbers of a tensor lie, in bytes after the header.
struct Tensor {
  std::string dtype;                 ///< F64, F32 or I64
  std::vector<std::uint64_t> shape;  ///< at most `max_rank` numbers; none, of a single number
  std::uint64_t begin = 0;           ///< the first byte
  std::uint64_t end = 0;             ///< the one after the last
};

/// What is before the numbers: strings by key, and tensors by name.
struct Header {
  std::map<std::string, std::string> metadata;  ///< UTF-8
  std::map<std::string, Tensor> tensors;        ///< by name
};

/// Bytes of one number. \throws ModelFileError for a dtype that no model file holds
inline std::uint64_t item_size(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32") return 4;
  throw ModelFileError("a tensor has a dtype other than F64, F32 and I64");
}

namespace detail {

inline void expect(bool condition, const char* message) {
  if (!condition) throw ModelFileError(message);
}

/// Reads n bytes. \throws ModelFileError if there are fewer; std::system_error if the stream failed to read them
inline void read_bytes(std::istream& in, void* bytes, std::size_t n) {
  errno = 0;
  if (in.read(static_cast<char*>(bytes), static_cast<std::streamsize>(n))) return;
  if (in.bad()) throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), "cannot read the stream");
  throw ModelFileError("the file is too short");
}

inline void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&](std::uint32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

/// Reads the tokens of a header one after the other.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  /// Calls member(key) for each member of an object, with the value next.
  template <class Member>
  void object(const Member& member) {
    take('{');
    if (accept('}')) return;
    do {
      const std::string key = string();
      take(':');
      member(key);
    } while (accept(','));
    take('}');
  }

  std::vector<std::uint64_t> integers() {
    std::vector<std::uint64_t> values;
    list([&] {
      expect(values.size() < max_rank, "the header has a list that is too long");
      values.push_back(integer());
    });
    return values;
  }

  std::vector<std::string> strings(std::size_t most) {
    std::vector<std::string> values;
    list([&] {
      expect(values.size() < most, "the header has a list that is too long");
      values.push_back(string());
    });
    return values;
  }

  std::string string() {
    take('"');
    std::string value;
    for (;;) {
      const unsigned char c = next();
      if (c == '"') return value;
      expect(c >= 0x20, "the header has a control character in a string");
      if (c == '\\')
        append_utf8(value, escaped());
      else
        append_utf8(value, c < 0x80 ? c : multibyte(c));
    }
  }

  void end() {
    skip_space();
    expect(at_ == text_.size(), "the header does not end after its object");
  }

 private:
  /// Calls element() for each element of a list.
  template <class Element>
  void list(const Element& element) {
    take('[');
    if (accept(']')) return;
    do element();
    while (accept(','));
    take(']');
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  unsigned char next() {
    expect(at_ < text_.size(), "the header ends too early");
    return static_cast<unsigned char>(text_[at_++]);
  }

  bool accept(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void take(char c) { expect(accept(c), "the header is not of the form that safetensors has"); }

  std::uint64_t integer() {
    skip_space();
    const std::size_t first = at_;
    std::uint64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<std::uint64_t>(text_[at_] - '0');
      expect(value <= (std::numeric_limits<std::uint64_t>::max() - digit) / 10, "the header has a number too large");
      value = 10 * value + digit;
    }
    expect(at_ > first && (text_[first] != '0' || at_ == first + 1), "the header has a number that is not an integer");
    return value;
  }

  std::uint32_t hex4() {
    std::uint32_t value = 0;
    for (int i = 0; i < 4; ++i) {
      const auto digit = std::string_view("0123456789abcdefABCDEF").find(static_cast<char>(next()));
      expect(digit != std::string_view::npos, "the header has a wrong \\u escape");
      value = 16 * value + static_cast<std::uint32_t>(digit < 16 ? digit : digit - 6);
    }
    return value;
  }

  std::uint32_t escaped() {
    const char c = static_cast<char>(next());
    if (c == 'u') {
      const std::uint32_t high = hex4();
      if (high < 0xD800 || high > 0xDFFF) return high;
      expect(high < 0xDC00 && next() == '\\' && next() == 'u', "the header has half a surrogate pair");
      const std::uint32_t low = hex4();
      expect(low >= 0xDC00 && low <= 0xDFFF, "the header has half a surrogate pair");
      return 0x10000 + ((high - 0xD800) << 10 | (low - 0xDC00));
    }
    const auto which = std::string_view("\"\\/bfnrt").find(c);
    expect(which != std::string_view::npos, "the header has a wrong escape");
    return static_cast<unsigned char>("\"\\/\b\f\n\r\t"[which]);
  }

  std::uint32_t multibyte(std::uint32_t first) {
    const int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    expect(first >= 0xC2 && first <= 0xF4, "the header is not UTF-8");
    std::uint32_t code = first & (0x3Fu >> more);
    for (int i = 0; i < more; ++i) {
      const std::uint32_t byte = next();
      expect((byte & 0xC0) == 0x80, "the header is not UTF-8");
      code = code << 6 | (byte & 0x3F);
    }
    const std::uint32_t least[] = {0x80, 0x800, 0x10000};
    expect(code >= least[more - 1] && code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF), "the header is not UTF-8");
    return code;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

inline Tensor parse_tensor(Scanner& scanner) {
  Tensor tensor;
  std::vector<std::uint64_t> offsets;
  bool dtype = false, shape = false, place = false;
  const auto once = [](bool& seen) {
    expect(!seen, "the header has a key twice");
    seen = true;
  };
  scanner.object([&](const std::string& key) {
    if (key == "dtype") {
      once(dtype);
      tensor.dtype = scanner.string();
    } else if (key == "shape") {
      once(shape);
      tensor.shape = scanner.integers();
    } else {
      expect(key == "data_offsets", "a tensor has a key other than dtype, shape and data_offsets");
      once(place);
      offsets = scanner.integers();
    }
  });
  expect(dtype && shape && offsets.size() == 2, "a tensor lacks its dtype, shape or two data_offsets");
  tensor.begin = offsets[0];
  tensor.end = offsets[1];
  return tensor;
}

/// Tensors must fill the data one after the other, each with the bytes of its shape.
inline void check_places(const Header& header, std::uint64_t data_size) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> places;
  for (const auto& [name, tensor] : header.tensors) {
    // Without its zeros too a shape may not overflow: NumPy has no such arrays.
    std::uint64_t size = item_size(tensor.dtype), whole = 1;
    for (const std::uint64_t n : tensor.shape) {
      expect(n == 0 || size <= std::uint64_t{std::numeric_limits<std::int64_t>::max()} / n,
             "a tensor has a shape too large");
      if (n == 0)
        whole = 0;
      else
        size *= n;
    }
    expect(tensor.begin <= tensor.end && tensor.end - tensor.begin == size * whole,
           "a tensor has data_offsets that do not fit its shape");
    places.emplace_back(tensor.begin, tensor.end);
  }
  std::sort(places.begin(), places.end());
  std::uint64_t at = 0;
  for (const auto& [begin, end] : places) {
    expect(begin == at, "tensors overlap or leave a gap");
    at = end;
  }
  expect(at == data_size, "the file is not as long as its header says");
}

inline void write_string(std::ostream& out, std::string_view text) {
  static constexpr char digits[] = "0123456789abcdef";
  out << '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20)
      out << "\\u00" << digits[byte >> 4] << digits[byte & 15];
    else if (c == '"' || c == '\\')
      out << '\\' << c;
    else
      out << c;
  }
  out << '"';
}

}  // namespace detail

/// The header in `text`, of a file with `data_size` bytes after it.
/// \throws ModelFileError unless it is valid and its tensors fill the data exactly
inline Header parse_header(std::string_view text, std::uint64_t data_size) {
  Header header;
  bool described = false;
  detail::Scanner scanner(text);
  scanner.object([&](const std::string& name) {
    if (name == "__metadata__") {
      detail::expect(!described, "the header has a key twice");
      described = true;
      scanner.object([&](const std::string& key) {
        detail::expect(header.metadata.emplace(key, scanner.string()).second, "the header has a key twice");
        detail::expect(header.metadata.size() <= max_entries, "the header has too many strings");
      });
    } else {
      detail::expect(header.tensors.emplace(name, detail::parse_tensor(scanner)).second, "the header has a key twice");
      detail::expect(header.tensors.size() <= max_entries, "the header has too many tensors");
    }
  });
  scanner.end();
  detail::check_places(header, data_size);
  return header;
}

/// Reads the header of a stream that has `size` bytes left; what follows in the stream are the data.
/// \throws ModelFileError as `parse_header`, or if the stream is too short; std::system_error if it fails
inline Header read_header(std::istream& in, std::uint64_t size) {
  unsigned char bytes[8];
  detail::expect(size >= 8, "the file is too short");
  detail::read_bytes(in, bytes, sizeof bytes);
  std::uint64_t length = 0;
  for (int i = 0; i < 8; ++i) length |= std::uint64_t{bytes[i]} << 8 * i;
  detail::expect(length <= size - 8, "the file is shorter than its header says");
  detail::expect(length <= max_header, "the header is longer than 16 MiB");
  std::string text(static_cast<std::size_t>(length), '\0');
  detail::read_bytes(in, text.data(), text.size());
  return parse_header(text, size - 8 - length);
}

/// Writes the length and the header, filled up with spaces so that the data begin at a multiple of 8.
/// The tensors stand in the order of their names; the text must be UTF-8.
/// \throws std::invalid_argument if it is longer than a header may be
inline void write_header(std::ostream& out, const Header& header) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  const char* comma = "";
  text << "{\"__metadata__\":{";
  for (const auto& [key, value] : header.metadata) {
    text << comma;
    detail::write_string(text, key);
    text << ':';
    detail::write_string(text, value);
    comma = ",";
  }
  text << '}';
  for (const auto& [name, tensor] : header.tensors) {
    text << ',';
    detail::write_string(text, name);
    text << ":{\"dtype\":\"" << tensor.dtype << "\",\"shape\":[";
    comma = "";
    for (const std::uint64_t n : tensor.shape) {
      text << comma << n;
      comma = ",";
    }
    text << "],\"data_offsets\":[" << tensor.begin << ',' << tensor.end << "]}";
  }
  text << '}';
  std::string bytes = text.str();
  bytes.resize((bytes.size() + 7) / 8 * 8, ' ');
  require(bytes.size() <= max_header, "the header of a model file cannot be longer than 16 MiB");
  for (int i = 0; i < 8; ++i) out.put(static_cast<char>(static_cast<unsigned char>(bytes.size() >> 8 * i)));
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace safetensors
}  // namespace GAUSSMIX_ABI
}  // namespace gaussmix
