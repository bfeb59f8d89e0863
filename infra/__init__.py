"""The AWS resources that run `embedder` and `submitter`: a CDK app with one stack for each stage.

    app.py              from settings to stacks        stages.py           from stages.toml and `-c` to settings
    settings.py         the settings and their meaning settings_checks.py  which values fit together
    instance_types.py   what EC2's types have          worker_sizes.py     what a worker needs
    stack.py            the stack of a stage           delivery.py         the settings of the pipeline
    storage.py          bucket and table               network.py          VPC and endpoints
    worker_kind.py      one kind of worker:            container_image.py  its container image
    machines.py         its machines and queue         job_definition.py   its job definition and role
    worker_container.py its container                  retry_rules.py      which exit codes are retried
    submitter.py        the submitting functions       lambda_function.py  a function, its role and log
    triggers.py         schedule, uploads and URL      monitoring.py       metrics of jobs, and mail
    job_monitor/        the code behind those metrics  alarms.py           what raises an alarm
    dashboard.py        the same as graphs             metrics.py          the metrics of both
    log_groups.py       log groups                     permissions.py      policies with their reasons
    pipeline.py         delivery to several accounts

Imports nothing of `embedder` and `submitter`: it deploys them. The settings, the retry rules and the worker's container
need only the standard library; the rest needs what requirements.txt names.
"""
