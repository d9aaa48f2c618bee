"""What an array is in type annotations, and the letters that these use for sizes.

`Float[Array, 'N M']` is an array of floats with N rows and M columns. A letter has one value in all arguments and
results of a function. The letters are those of CONTRIBUTING.md; these are added to them:

- `_N`: a size that may differ among the arrays of that type, such as the number of profiles in each screen.
- `*batch`: any number of dimensions, the same wherever the name stands; with `#`, dimensions that broadcast.
- `' N'`: the space keeps a single letter from being read as the name of a type.

The tests check the annotations of some rooms while they run, see `tests/conftest.py`.
"""

from typing import TypeAlias

import jax
import numpy as np

# Most functions take either; a function that gives one of them says which.
Array: TypeAlias = jax.Array | np.ndarray
