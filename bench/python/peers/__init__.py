"""The libraries: each runs a number of EM iterations from an explicit start. All but scikit-learn are optional."""

from __future__ import annotations

from bench.python.peers import gaussmix, gmmx, mlpack, onedal, opencv, pomegranate, scikit_learn, tgmm, torchgmm
from bench.python.peers.peer import Peer

__all__ = ["PEERS", "Peer", "gaussmix", "installed"]

PEERS: tuple[Peer, ...] = (
    gaussmix.PEER,
    scikit_learn.PEER,
    onedal.PEER,
    mlpack.PEER,
    opencv.PEER,
    pomegranate.PEER,
    tgmm.PEER,
    torchgmm.PEER,
    gmmx.PEER,
)


def installed() -> tuple[Peer, ...]:
    """Return those that are here."""
    return tuple(peer for peer in PEERS if peer.version())
