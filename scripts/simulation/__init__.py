"""The whole cloud on one machine: `scripts/simulate`, and the end-to-end test.

    cloud.py         S3 and Batch (moto), DynamoDB Local, and what a submission needs in them
    gateway.py       the one address they are reached at; counts requests
    runtime_api.py   Lambda: awslambdaric, AWS's own, against a small Runtime API
    batch.py         Batch's scheduler: every child a real `embedder run`
    attempts.py      what became of each child, attempt by attempt
    retry_rules.py   evaluateOnExit, as Batch documents it; the rules are infra/retry_rules.py's
    books.py         does every image have exactly one right vector, or a reason?
    logbook.py       the same from nothing but the workers' log lines
    story.py         all of it in order, told to a person

Nothing in `submitter/` and `embedder/` knows of this.
"""
