# SPDX-License-Identifier: Apache-2.0
"""Shapes in signatures: the vocabulary of dimensions, checked in tests and free at run time.

Dimensions: ``b`` sample or batch, ``n`` token, ``m`` MSA row, ``a`` atom, ``t`` template,
``w`` atom window, ``q``/``k`` 32 queries / 128 keys of a window, ``h`` head,
``c_s c_z c_m c_a c_p`` channels of single, pair, MSA, atom and atom-pair representations.

`Array` is a numpy array, `Tensor` a MindSpore tensor. Modules of floors 0-3 use only `Array`;
`Tensor` is resolved lazily so that importing this module does not load MindSpore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a type checker sees arrays without shapes
    from typing import Annotated as Bool
    from typing import Annotated as Float
    from typing import Annotated as Int
    from typing import Annotated as Shaped
    from typing import TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Tensor: TypeAlias = Any
else:
    from numpy import ndarray as Array  # noqa: N812

    try:
        from jaxtyping import Bool, Float, Int, Shaped
    except ImportError:  # jaxtyping is a test dependency; without it annotations are plain text

        class _Shape:
            """Stands in for a jaxtyping dtype: `Float[Tensor, "n c"]` is just `Tensor`."""

            def __class_getitem__(cls, item):
                return item[0]

        Bool = Float = Int = Shaped = _Shape

__all__ = ["Array", "Bool", "Float", "Int", "Shaped", "Tensor"]  # noqa: F822


def __getattr__(name: str) -> Any:
    if name == "Tensor":
        from mindspore import Tensor

        return Tensor
    raise AttributeError(f"module 'protenix_ms.typing' has no attribute '{name}'")
