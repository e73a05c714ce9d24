"""Make mutations.txt: damaged model files, of which the readers of Python and C++ must say the same.

Each line has the name of a file in this folder, whether what it becomes is loaded or refused, and the edits that make
it: offset:bytes to remove:bytes to put there, in hexadecimal. The files are by the C++ library: those of Python hold
the record of the estimator, which C++ passes over. Run it with gaussmix installed; it writes what Python says, and the
tests of both languages check it.
"""

import json
import random
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import gaussmix

HERE = Path(__file__).parent
BASES = [f"0.1.0/cpp_{kind}.safetensors" for kind in ("full_float64", "tied_float32", "diag_float64")]
Edits = list[tuple[int, int, bytes]]


def mutated(content: bytes, edits: Edits) -> bytes:
    """Return a file after the edits, one after the other."""
    for offset, removed, put in edits:
        content = content[:offset] + put + content[offset + removed :]
    return content


def parts(content: bytes) -> tuple[bytes, bytes]:
    """Return header and data of a file."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def with_header(content: bytes, text: bytes) -> Edits:
    """Return the edits that give a file another header: where the two differ, and the length."""
    old, _ = parts(content)
    begin = next((i for i, (a, b) in enumerate(zip(old, text, strict=False)) if a != b), min(len(old), len(text)))
    end = 0
    while end < min(len(old), len(text)) - begin and old[-1 - end] == text[-1 - end]:
        end += 1
    change = (8 + begin, len(old) - begin - end, text[begin : len(text) - end])
    return [(0, 8, struct.pack("<Q", len(text))), change] if len(old) != len(text) else [change]


# What is replaced in a header, once, by what.
REPLACED: list[tuple[str, str]] = [
    ('"format"', '"more":"\\u0000\\ud83d\\ude00","format"'),
    ('"format"', '"more":"\\ud83d","format"'),
    ('"format"', '"more":"\\ude00\\ud83d","format"'),
    ('"format"', '"more":"\x01","format"'),
    ('"format"', '"more":"\x7f\u2028","format"'),
    ('"format"', '"more":"\\x41","format"'),
    ('"format"', '"":"","format"'),
    ('"format"', '"more":null,"format"'),
    ('"format"', '"more":["a"],"format"'),
    ('"format"', '"form\\u0061t"'),
    ('"format"', '"format":"gaussmix","format"'),
    ('"format"', "'format'"),
    ('"gaussmix"', '"\\u0067aussmix"'),
    ('"gaussmix"', '"gaussmix "'),
    ('"gaussmix"', '"Gaussmix"'),
    ('"1"', '"1.0"'),
    ('"1"', '"01"'),
    ('"1"', "1"),
    ('"1"', '"2"'),
    ('"__metadata__"', '"__metadata__ "'),
    ('"__metadata__"', '"__metadata__":{},"__metadata__"'),
    ('"__metadata__"', '"empty":{"dtype":"F64","shape":[0],"data_offsets":[0,0]},"__metadata__"'),
    ('"__metadata__"', '"empty":{"dtype":"I64","shape":[0,0],"data_offsets":[8,8]},"__metadata__"'),
    ('"__metadata__"', '"empty":{"dtype":"F64","shape":[],"data_offsets":[0,0]},"__metadata__"'),
    ('"__metadata__"', '"":{"data_offsets":[0,0],"shape":[0],"dtype":"F32"},"__metadata__"'),
    ('"__metadata__"', '"a":{"dtype":"F64","shape":[0,1,1,1,1,1,1,1],"data_offsets":[0,0]},"__metadata__"'),
    ('"__metadata__"', '"a":{"dtype":"F64","shape":[0,1,1,1,1,1,1,1,1],"data_offsets":[0,0]},"__metadata__"'),
    (
        '"__metadata__"',
        '"a":{"dtype":"F64","shape":[0,18446744073709551615],"data_offsets":[0,0]},"__metadata__"',
    ),
    ('"__metadata__"', '"a":{"dtype":"F64","shape":[0,1152921504606846975],"data_offsets":[0,0]},"__metadata__"'),
    ('"__metadata__"', '"a":{"dtype":"F64","shape":[0,1152921504606846976],"data_offsets":[0,0]},"__metadata__"'),
    (
        '"__metadata__"',
        '"a":{"dtype":"F64","shape":[18446744073709551615,18446744073709551615,0],"data_offsets":[0,0]},"__metadata__"',
    ),
    ('"__metadata__"', '"a":{"dtype":"F64","shape":[0,18446744073709551616],"data_offsets":[0,0]},"__metadata__"'),
    ('"__metadata__"', '"a":{"dtype":"I8","shape":[0],"data_offsets":[0,0]},"__metadata__"'),
    ('"__metadata__"', '"a":{"dtype":"f64","shape":[0],"data_offsets":[0,0]},"__metadata__"'),
    ('"means"', '"me\\u0061ns"'),
    ('"means"', '"Means"'),
    ('"means"', '"means\\u0000"'),
    ('"weights"', '"means"'),
    ('"shape":[', '"shape":[ '),
    ('"shape":[', '"shape":[1,'),
    ('"shape":[', '"shape":[0'),
    ('"shape":[', '"shape":[-'),
    ('"shape":[', '"shape":[+'),
    ('"shape":[', '"shape":[['),
    ('"shape":[', '"shape":[null,'),
    ('"shape":[', '"shape":[true,'),
    ("],", ",],"),
    ("],", ".0],"),
    ("],", "e0],"),
    ('"dtype":"F', '"dtype" : "F'),
    ('"dtype":"F', '"dtype":"\\u0046'),
    ('"dtype":"F', '"dtype":"F64","dtype":"F'),
    ('"data_offsets":[0', '"data_offsets":[00'),
    ('"data_offsets":[0', '"data_offsets":[-0'),
    ('"data_offsets":[0', '"data_offsets":[0.0'),
    ('"data_offsets":[0', '"data_offsets":[1'),
    ('"data_offsets":[0', '"data_offsets":[0,0'),
    ('"data_offsets":[0', '"extra":[0],"data_offsets":[0'),
    ("{", "\ufeff{"),
    ("{", " \t\r\n{"),
    ("{", "\x0b{"),
    ("{", "\x00{"),
    ("{", "{{"),
    ("{", "[{"),
    ("{", "{,"),
    ("}}", "}},"),
    ("}}", "},}"),
    ("}}", "}}{}"),
    ("}}", "}}\n \t\r"),
    ("}}", "}}\x00"),
    ("}}", "}}\u00a0"),
    ("}}", "}} // end"),
    ("}}", "}"),
    ('"float', '"Float'),
    ('"covariance_type":"', '"covariance_type":"full","covariance_type":"'),
    ('"dtype":"float64"', '"dtype":"float32"'),
    ('"dtype":"float32"', '"dtype":"float64"'),
]
# Lists of the names of three features.
NAMES = [
    '["a","b","c"]',
    ' [ "a" ,\n"b","c"\t]\r',
    '["","",""]',
    '["a","a","a"]',
    '["\\u00e9","\u00e9","\\ud83d\\ude00"]',
    '["\\u0000","\\n","\\/"]',
    '["a","b"]',
    '["a","b","c","d"]',
    '["a","b","c",]',
    '["a","b","c"',
    '["a","b","c"]]',
    '["a","b","c"]x',
    '["a","b",3]',
    '["a","b",null]',
    '["a","b",NaN]',
    '["a","b",["c"]]',
    '["a","b","\\ud800"]',
    '["a","b","\\udc00"]',
    '["a","b","\\ud800\\u0041"]',
    '["a","b","\\u12"]',
    '["a","b","\\u+123"]',
    '["a","b","\\uD83D\\uDE00"]',
    '["a","b","\n"]',
    '["a","b","\\q"]',
    "['a','b','c']",
    '{"a":"b","c":"d"}',
    '"abc"',
    "3",
    "null",
    "",
    " ",
    "[]",
    '\ufeff["a","b","c"]',
    "[" * 100,
]


def headers(text: str) -> Iterator[bytes]:
    """Yield headers of a file with a flaw, or in another form."""
    for old, new in REPLACED:
        if old in text:
            yield text.replace(old, new, 1).encode()
    for names in NAMES:
        yield text.replace('"format"', f'"feature_names":{json.dumps(names, ensure_ascii=False)},"format"', 1).encode()


def edits(content: bytes, chance: random.Random) -> Iterator[Edits]:
    """Yield the edits of each damaged file."""
    text, data = parts(content)
    for header in headers(text.decode()):
        yield with_header(content, header)
    yield [(len(content), 0, b"\0")]
    yield [(len(content) - 1, 1, b"")]
    marks = b'{}[]:,"\\ 09eE.-n\x00\x1f\x80\xc3\xff'
    for _ in range(60):
        at, mark = chance.randrange(len(text)), bytes([chance.choice(marks)])
        removed = chance.choice([0, 1, 1, chance.randrange(12)])
        put = chance.choice([b"", mark, mark, mark + mark])
        yield with_header(content, text[:at] + put + text[at + removed :])
    for _ in range(40):
        at = len(content) - 1 - chance.randrange(len(data))
        yield [(at, 1, bytes([content[at] ^ 1 << chance.randrange(8)]))]


def main() -> None:
    """Write the file."""
    chance = random.Random(0)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        for base in BASES:
            content = (HERE / base).read_bytes()
            for steps in edits(content, chance):
                path.write_bytes(mutated(content, steps))
                try:
                    gaussmix.load(path)
                    verdict = "loaded"
                except gaussmix.ModelFileError:
                    verdict = "refused"
                lines.append(" ".join([base, verdict, *(f"{at}:{n}:{put.hex()}" for at, n, put in steps)]))
    (HERE / "mutations.txt").write_text("".join(f"{line}\n" for line in dict.fromkeys(lines)), encoding="ascii")


if __name__ == "__main__":
    main()
