"""Pure functions from (model, data, seed) to frozen records."""

from reparam.evaluation.context import EvaluationOptions, Measure
from reparam.evaluation.diagnosis import Finding, diagnose
from reparam.evaluation.metrics.table import METRICS
from reparam.evaluation.of_run import evaluate_run, run_context

__all__ = ["METRICS", "EvaluationOptions", "Finding", "Measure", "diagnose", "evaluate_run", "run_context"]
