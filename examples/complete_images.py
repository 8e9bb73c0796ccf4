"""Complete images of which a half is seen, with several predictions, and see how sure the model is."""

import reparam
from reparam.reports.figures.predictions import predictions
from reparam.reports.options import PredictionOptions
from reparam.reports.run_view import RunView

run = reparam.train(
    "cvae", data="digits", task="half", half="top", hidden=(200,), batch_size=32, epochs=30, out="runs/c"
)
batch = run.examples(8)  # x is the target, c the condition: the upper half, and its mask

best = run.predict(batch.c)  # [8, 1, 8, 8]: the prediction at z* = E[z|c]
several = run.predictions(batch.c, n=10, seed=1)  # [8, 10, 1, 8, 8]: at ten draws of p(z|c)
print(f"predictions differ by {several.std(1).mean():.3f} a pixel; {best.shape[0]} completed")

for name, measure in run.evaluate(["cnll_is", "cnll_mc", "class_hit"]).items():
    print(f"{name}: {measure.value:.3f} ({measure.unit}; {measure.note})")

own = batch.x.flip(-1)  # images of one's own: float, [n, C, H, W], in [0, 1]
print(run.predictions(run.condition(own), n=3).shape)
predictions(RunView(run, batch=batch), PredictionOptions()).picture().save(run.path / "completed.png")
print(f"picture: {run.path / 'completed.png'}")
