"""What runs `embedder` and `submitter` in an AWS account: a CDK app, one stack a stage.

    app.py          settings to stacks             settings.py     what can be chosen, checked
    silo.py         the stack, joins the nouns     stages.py       from stages.toml and `-c` to settings
    storage.py      bucket and table               network.py      VPC and endpoints
    workers.py      one kind of worker:            image.py        its container image
    machines.py     its machines and queue         job.py          its job definition and role
    retry_rules.py  what an exit code leads to     submitter.py    the Lambda
    functions.py    a Lambda's role and log        triggers.py     schedule, notifications, Function URL
    watching.py     the watchman, and mail         watcher/        the watchman's own code
    alarms.py       what mail is about             dashboard.py    the same as pictures
    metrics.py      what both look at              logs.py         log groups
    permissions.py  policies, with their reasons   pipeline.py     delivery to several accounts

Imports nothing of `embedder` and `submitter`: it deploys them. `settings`, `stages` and `retry_rules` need the standard
library alone; the rest needs what requirements.txt names.
"""
