"""Pure functions from (model, data, seed) to frozen records."""

from reparam.evaluation.metrics import METRICS, EvaluationOptions, Measure, evaluate

__all__ = ["METRICS", "EvaluationOptions", "Measure", "evaluate"]
