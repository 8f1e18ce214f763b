"""Shape annotations: jaxtyping where it is installed (tests check them), plain subscriptable names elsewhere."""

try:
    from jaxtyping import Bool, Float, Int
except ImportError:  # a user without the dev extra: annotations are text only

    class _Shape:
        def __class_getitem__(cls, item: object) -> object:
            return item[0] if isinstance(item, tuple) else item

    Bool = Float = Int = _Shape  # type: ignore[assignment]

__all__ = ["Bool", "Float", "Int"]
