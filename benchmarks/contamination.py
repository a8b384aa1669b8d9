"""What do decontamination and the search for duplicates find? Precision and recall per kind of copy, with 95 % intervals, and time at size.

    python -m benchmarks.contamination                     → the tables of docs/contamination.md
    python -m benchmarks.contamination --each 50           → the same with 50 questions a benchmark, in seconds
    python -m benchmarks.contamination --size 550000       → seconds and peak memory of a synthetic set of so many problems

Copies are made by rule (`benchmarks/copies.py`) of the test questions of the shared data sets; unrelated ones are other sets' problems and
train rows. The public files are found by COAT_DATA, or at ../shared/data.
"""
