"""What every part agrees on: batches, specifications, models, objectives."""
