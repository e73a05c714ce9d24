"""Make the first inputs of the fuzzer: a small valid file of each kind, and headers with each kind of flaw.

Run it with gaussmix installed; it writes into the folder `corpus` beside it.
"""

import struct
from pathlib import Path

import numpy as np

from gaussmix import GaussianMixture

CORPUS = Path(__file__).parent / "corpus"
METADATA = '"__metadata__":{"format":"gaussmix","version":"1","covariance_type":"spherical","dtype":"float64"}'
ONE = '"{}":{{"dtype":"F64","shape":[1],"data_offsets":[{},{}]}}'
HEADERS = {
    "empty": "",
    "nothing": "{}",
    "deep": '{"a":{"shape":' + "[" * 500,
    "key_twice": '{"__metadata__":{"a":"","a":""}}',
    "tensor_twice": "{" + ONE.format("a", 0, 8) + "," + ONE.format("a", 0, 8) + "}",
    "overlap": "{" + ONE.format("a", 0, 8) + "," + ONE.format("b", 4, 12) + "}",
    "gap": "{" + ONE.format("a", 0, 8) + "," + ONE.format("b", 16, 24) + "}",
    "huge_shape": '{"a":{"dtype":"F64","shape":[4294967296,4294967297],"data_offsets":[0,8]}}',
    "huge_number": '{"a":{"dtype":"F64","shape":[99999999999999999999],"data_offsets":[0,8]}}',
    "wrong_dtype": '{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}',
    "escapes": r'{"__metadata__":{"\ud83d\ude00\u00e9\n\\\/":"\b\f\r\t\""}}',
    "half_surrogate": r'{"__metadata__":{"a":"\ud83d"}}',
    "version_2": "{" + METADATA.replace('"1"', '"2"') + "}",
    "spaces": "\t{ " + METADATA.replace(",", " ,\n") + " }\r\n",
}
SHAPES = {"full": lambda k: [np.eye(2)] * k, "tied": lambda k: np.eye(2), "diag": lambda k: np.ones((k, 2))}


def main() -> None:
    """Write the files."""
    CORPUS.mkdir(exist_ok=True)
    for name, text in HEADERS.items():
        (CORPUS / name).write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(8))
    (CORPUS / "huge_header").write_bytes(b"\xff" * 8)
    for kind in ("full", "tied", "diag", "spherical"):
        covariances = SHAPES.get(kind, np.ones)(2)
        model = GaussianMixture.from_parameters(
            np.array([0.25, 0.75], np.float32),
            np.array([[0, 1], [2, 3]], np.float32),
            np.asarray(covariances, np.float32),
            covariance_type=kind,
        )
        model.save(CORPUS / kind)


if __name__ == "__main__":
    main()
