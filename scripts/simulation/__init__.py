"""The whole cloud on one machine: `scripts/simulate`, and the end-to-end test.

    cloud.py         S3 and Batch (moto), DynamoDB Local, and the resources that a submission needs
    gateway.py       their one address; records, intercepts and denies requests
    runtime_api.py   Lambda: AWS's own awslambdaric, against a small Runtime API
    batch.py         Batch's scheduler: every child is a real `embedder run`
    workers.py       how a machine of Batch starts and stops a worker: as a process, or
    containers.py    as a container of the built image, limited as the job definition says
    faults.py        what goes wrong on purpose
    attempts.py      the children of a job and their attempts
    retry_rules.py   evaluateOnExit, as Batch documents it; the rules are those of infra/retry_rules.py
    books.py         does every image have exactly one right vector, or a reason why not?
    logbook.py       the same, from nothing but the workers' log lines
    story.py         all of it in order, told to a person
    command.py       the command line

Nothing in `submitter/` and `embedder/` knows about this package.
"""
