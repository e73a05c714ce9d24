"""
Colours of a photograph
=======================

Every pixel of a photograph is a point in a cube of red, green and blue. A mixture finds the groups of colours there,
and a picture painted with their means needs only a handful of them.
"""

import os
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_image

from gaussmix import GaussianMixture

QUICK = os.environ.get("GAUSSMIX_EXAMPLES_QUICK") == "1"

# %%
# A photograph that comes with scikit-learn: 427 x 640 pixels, all of which are fitted.

image = load_sample_image("china.jpg") / 255
pixels = image.reshape(-1, 3)
fitted = pixels[::20] if QUICK else pixels
print(f"{len(pixels)} pixels, {len(np.unique(pixels, axis=0))} colours")

# %%
# K colours: each pixel gets the mean of its component. With ``predict_proba`` it gets the mean of all, by their
# probabilities: soft edges between as few groups.

painted = {}
for k in (4, 8, 16):
    started = perf_counter()
    gm = GaussianMixture(k, random_state=0).fit(fitted)
    painted[k] = gm.means_[gm.predict(pixels)].reshape(image.shape)
    print(f"{k:2} colours: {gm.n_iter_} iterations, {perf_counter() - started:.1f} s")
soft = (gm.predict_proba(pixels) @ gm.means_).reshape(image.shape)

# %%
# Four colours are enough to recognise the picture; with sixteen, roofs, columns and trees have colours of their own.
# Mixed by probability, the ragged edges in the sky become softer. A mixture is not the way to the smallest error in
# colour, since it spends its components where the density asks for them; k-means aims at that error itself,
# and makes it smaller. The last panel is the palette: the width of a stripe is the weight of its component.

fig, axes = plt.subplots(2, 3, figsize=(12, 5.8), layout="constrained")
pictures = {"the photograph": image} | {f"{k} colours": picture for k, picture in painted.items()}
pictures["16 colours, mixed"] = soft
for ax, (title, picture) in zip(axes.flat, pictures.items(), strict=False):
    ax.imshow(picture.clip(0, 1))
    ax.set_title(title)
    ax.set_axis_off()

order = gm.means_.sum(axis=1).argsort()
ax = axes[1, 2]
ends = np.cumsum(gm.weights_[order])
ax.barh(0, gm.weights_[order], left=ends - gm.weights_[order], color=gm.means_[order].clip(0, 1), height=1)
ax.set(title="the 16 colours, by weight", xlim=(0, 1), ylim=(-0.5, 0.5))
ax.set_axis_off()
fig.savefig("09_colours.png", dpi=110)
