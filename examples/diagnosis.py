"""Three models that went wrong, and what `evaluate` says of them.

python examples/diagnosis.py
"""

import reparam

TROUBLES = {
    "hardly trained": {"epochs": 0.1},
    "a KL weight of 20": {"epochs": 10, "beta": 20, "batch_size": 32},
    "a large network on 1,197 small images": {
        "epochs": 60,
        "hidden": (512, 256),
        "latent": 16,
        "likelihood": "gaussian-learned",
        "batch_size": 32,
        "keep": "last",
        "learning_rate": 2e-3,
    },
}

for name, options in TROUBLES.items():
    run = reparam.train("vae", data="digits", **{"hidden": (64,), "latent": 4, "pictures": 0, **options})
    print(f"{name}:")
    for finding in run.diagnose():
        print(f"  {finding.state}: {finding.evidence}")
        if finding.advice:
            print(f"    what helps: {finding.advice}")
