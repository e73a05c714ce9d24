"""Pictures of a mixture: where its components lie, what they overlap, how many there should be, how the fit went.

Each class follows scikit-learn's Display convention: ``from_estimator`` computes and draws, the object keeps the
computed data, ``plot`` draws them again, and the artists are attributes that end in an underscore. matplotlib comes
with the extra ``plot`` (``pip install gaussmix[plot]``) and is imported when something is drawn.

The colours of up to eight components are those of Okabe and Ito (2008), "Color universal design", which colour-blind
people tell apart; components also carry their numbers.
"""

from gaussmix.plot._convergence import ConvergenceDisplay
from gaussmix.plot._criterion import CriterionDisplay
from gaussmix.plot._density import DensityDisplay
from gaussmix.plot._ellipse import EllipseDisplay
from gaussmix.plot._pair import PairDisplay
from gaussmix.plot._uncertainty import UncertaintyDisplay

__all__ = [
    "ConvergenceDisplay",
    "CriterionDisplay",
    "DensityDisplay",
    "EllipseDisplay",
    "PairDisplay",
    "UncertaintyDisplay",
]
