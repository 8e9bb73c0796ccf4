"""What a model can be asked for. Metrics, figures and commands ask for abilities, never for a model's name.

Which fields give a model which ability stands in `reparam.core.model.ABILITIES`.
"""

from enum import StrEnum


class Ability(StrEnum):
    """Equal to its text, which messages and tables show."""

    ENCODE = "encode"
    RECONSTRUCT = "reconstruct"
    DECODE = "decode"
    SAMPLE = "sample"
    SAMPLE_BY_CLASS = "sample by class"
    DRAW = "draw"
    BOUND = "bound"
    LIKELIHOOD = "likelihood"
    CONDITIONAL_LIKELIHOOD = "conditional likelihood"
    FACTORISE = "factorise"
    CLUSTER = "cluster"
    STANDARD_NORMAL = "standard normal prior"
    PREDICT = "predict"
    COMPLETE = "complete"
    SEGMENT = "segment"
    CLASSIFY = "classify"
    AUGMENT = "augment"
    KEEP_CLASS = "keep the class"
