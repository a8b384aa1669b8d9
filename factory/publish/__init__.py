"""`factory publish`: all released datasets as configs of one dataset repository of a Hub, and models beside it.

checks.py    what may be published: audited, current, of one purpose, under licences that go together
licences.py  which licence of a row fits under which licence of a collection
lock.py      dvc.lock as a graph: which stage made what of what
shards.py    the Parquet files: as the gate wrote them, or cut anew where they are too large or too many
facts.py     what the card says, from the rows themselves
card.py      README.md with the front matter that the Hub reads, and that of a model
croissant.py croissant.json: the same for machines, with provenance
bundle.py    every file that is sent, by its path in the repository
upload.py    compare, send, commit once

No stage imports it: what a line makes does not depend on a network.
"""
