"""Which columns of a table name other rows, and which name requests."""

SCALARS = ("problem_id", "parent_id", "chosen_id", "rejected_id")  # the id of another row
LISTS = ("parents", "template_ids", "similar_ids")  # several
REQUESTS = ("request_ids", "request_id")  # keys of the request store
IN_REJECTS = ("id", "problem_id")  # of a rejected row's JSON
