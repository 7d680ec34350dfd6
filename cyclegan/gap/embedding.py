"""t-SNE of the patches of several samples."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PERPLEXITY = 30.0

MISSING = "There is no t-SNE map: scikit-learn is not installed (pip install 'sim2sem[analysis]')."


def embed(samples: Sequence[Array], seed: int = 0) -> list[Array] | None:
    """One map (patches, 2) for each sample (images, patches, F); None without scikit-learn.

    References
    ----------
    van der Maaten and Hinton, J. Mach. Learn. Res. 9, 2579 (2008).
    """
    if find_spec("sklearn") is None:
        return None
    from sklearn.manifold import TSNE

    flat = [one.reshape(-1, one.shape[2]) for one in samples]
    every = np.concatenate(flat).astype(np.float32)
    perplexity = min(PERPLEXITY, (len(every) - 1) / 3)
    mapped = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(every)
    return np.split(mapped, np.cumsum([len(one) for one in flat])[:-1])
