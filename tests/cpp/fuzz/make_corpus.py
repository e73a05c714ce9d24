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
# Each with as many bytes of data as it asks for, so that no other reason is there to refuse it.
HEADERS = {
    "empty": ("", 0),
    "nothing": ("{}", 0),
    "deep": ('{"a":{"shape":' + "[" * 500, 0),
    "key_twice": ('{"__metadata__":{"a":"","a":""}}', 0),
    "tensor_twice": ("{" + ONE.format("a", 0, 8) + "," + ONE.format("a", 0, 8) + "}", 8),
    "overlap": ("{" + ONE.format("a", 0, 8) + "," + ONE.format("b", 4, 12) + "}", 12),
    "gap": ("{" + ONE.format("a", 0, 8) + "," + ONE.format("b", 16, 24) + "}", 24),
    "huge_shape": ('{"a":{"dtype":"F64","shape":[4294967296,4294967297],"data_offsets":[0,8]}}', 8),
    "huge_number": ('{"a":{"dtype":"F64","shape":[99999999999999999999],"data_offsets":[0,8]}}', 8),
    "wrong_dtype": ('{"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}', 8),
    "escapes": (r'{"__metadata__":{"\ud83d\ude00\u00e9\n\\\/":"\b\f\r\t\""}}', 0),
    "half_surrogate": (r'{"__metadata__":{"a":"\ud83d"}}', 0),
    "version_2": ("{" + METADATA.replace('"1"', '"2"') + "}", 0),
    "spaces": ("\t{ " + METADATA.replace(",", " ,\n") + " }\r\n", 0),
}
COVARIANCES = {
    "full": [[[2, 0.5], [0.5, 1]], [[1, -0.25], [-0.25, 3]]],
    "tied": [[2, 0.5], [0.5, 1]],
    "diag": [[2, 0.5], [1, 3]],
    "spherical": [0.5, 2],
}


def main() -> None:
    """Write the files."""
    CORPUS.mkdir(exist_ok=True)
    for name, (text, n_data) in HEADERS.items():
        (CORPUS / name).write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(n_data))
    (CORPUS / "huge_header").write_bytes(b"\xff" * 8)
    for kind, covariances in COVARIANCES.items():
        for dtype in (np.float64, np.float32):
            weights, means = np.array([0.25, 0.75], dtype), np.array([[0, 1], [2, 3]], dtype)
            model = GaussianMixture.from_parameters(weights, means, np.array(covariances, dtype), covariance_type=kind)
            model.save(CORPUS / f"{kind}_{np.dtype(dtype).name}")


if __name__ == "__main__":
    main()
